"""The runs to compare, and the test images that all of them share, known by their content."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.current_route import require_current_route
from eval.metrics.sketch import ImageSketch
from eval.run import FinishedRun, ImageKey, ScoredImages
from wafer_data.errors import InputError


@dataclass(frozen=True)
class Compared:
    """One run in a comparison.

    Attributes:
        name: tells it from the others.
        images: its test images, or those of them that are compared.
        sketches: the pixels of image n by model.
        whole: whether these are all of its test images, those that its report speaks of.
    """

    run: FinishedRun
    name: str
    images: ScoredImages
    sketches: dict[str, dict[int, ImageSketch]]
    whole: bool = True

    @property
    def labels(self) -> np.ndarray:
        """(N,) 0 normal, 1 defective."""
        return self.images.labels

    @property
    def synthetic(self) -> str | None:
        """In words how a program made the images, if it did and the data say so."""
        try:
            return self.run.synthetic
        except InputError:  # the comparison does not need the images themselves
            return None


def open_runs(folders: Sequence[Path]) -> list[Compared]:
    """The runs in these folders, under names that tell them apart.

    Raises `InputError` for fewer than two folders, one folder given twice, one without a finished report, one that was
    calibrated or exported anew since its report, or damaged files.
    """
    if len(folders) < 2:
        raise InputError("a comparison needs at least two runs: waferroute compare RUN RUN")
    resolved = [folder.resolve() for folder in folders]
    for folder, count in Counter(resolved).items():
        if count > 1:
            raise InputError(f"{folder} is given {count} times: a run is compared with others")
    runs = [FinishedRun(folder) for folder in resolved]
    for run in runs:
        _ = run.report, run.settings  # what is damaged or outdated is said before minutes of resampling
        # a report that was copied without its run's models has nothing beside it that it could contradict
        if run.images.routed is not None and run.has_policy:
            require_current_route(run)
    names = _names(resolved)
    return [Compared(run, name, run.images, run.sketches) for run, name in zip(runs, names, strict=True)]


def on_common_images(runs: Sequence[Compared], only_common: bool) -> list[Compared]:
    """The runs with their test images cut to those of all, in one order.

    Raises `InputError` when the runs' test images differ and `only_common` is not asked for, when too few are common to
    compare anything, or when runs disagree about an image's label.
    """
    common = set(runs[0].images.keys).intersection(*(run.images.keys for run in runs[1:]))
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
    order = [key for key in runs[0].images.keys if key in common]
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


def _cut(run: Compared, order: Sequence[ImageKey]) -> Compared:
    place = {key: row for row, key in enumerate(run.images.keys)}
    rows = np.array([place[key] for key in order], dtype=np.int64)
    return replace(
        run,
        images=run.images.at(rows),
        whole=len(order) == len(run.images),
        sketches={
            name: {new: sketches[int(old)] for new, old in enumerate(rows) if int(old) in sketches}
            for name, sketches in run.sketches.items()
        },
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many as it takes to tell them apart."""
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            break
    return names
