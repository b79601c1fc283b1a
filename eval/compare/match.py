"""The test images that all runs share, known by their content."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eval.compare.load import FinishedRun
from wafer_data.errors import InputError


def on_common_images(runs: Sequence[FinishedRun], only_common: bool) -> list[FinishedRun]:
    """The runs with their test images cut to those of all, in one order.

    Raises `InputError` when the runs' test images differ and `only_common` is not asked for, when too few are common to
    compare anything, or when runs disagree about an image's label.
    """
    common = set(runs[0].images).intersection(*(run.images for run in runs[1:]))
    if any(len(run.images) != len(common) for run in runs) and not only_common:
        counts = ", ".join(f"{run.name} {len(run.images)}" for run in runs)
        advice = (
            "add --common to compare on those alone"
            if common
            else "their data sets or splits have nothing in common"
        )
        raise InputError(
            f"the runs were not tested on the same images ({counts}), and {len(common)} are common to all: {advice}"
        )
    order = [key for key in runs[0].images if key in common]
    cut = [_cut(run, order) for run in runs]
    for run in cut[1:]:
        differing = np.flatnonzero(run.labels != cut[0].labels)
        if len(differing):
            raise InputError(
                f"{len(differing)} images are defective in one of {cut[0].name} and {run.name} and normal in the other "
                f"(sha256 {order[differing[0]][0][:16]}...): bring the labels into line first"
            )
    labels = cut[0].labels
    if not ((labels == 0).any() and (labels == 1).any()):
        raise InputError(
            f"the {len(order)} common test images hold {int((labels == 0).sum())} normal and "
            f"{int((labels == 1).sum())} defective ones: comparing needs both"
        )
    return cut


def _cut(run: FinishedRun, order: Sequence[tuple[str, int]]) -> FinishedRun:
    place = {key: row for row, key in enumerate(run.images)}
    rows = np.array([place[key] for key in order], dtype=np.int64)
    return replace(
        run,
        images=list(order),
        whole=len(order) == len(run.images),
        labels=run.labels[rows],
        scores={name: values[rows] for name, values in run.scores.items()},
        passed=None if run.passed is None else run.passed[rows],
        sketches={
            name: {new: sketches[int(old)] for new, old in enumerate(rows) if int(old) in sketches}
            for name, sketches in run.sketches.items()
        },
    )
