"""How well the teachers of runs that stopped there tell the test images apart: grey beside colour, say.

    .venv/bin/waferroute data configs/mvtec.yaml data.root=DIR data.colour=true run.dir=RUN
    .venv/bin/waferroute adapt configs/mvtec.yaml data.root=DIR data.colour=true run.dir=RUN
    .venv/bin/python experiments/teachers_of_runs.py RUN [RUN ...]

Prints a line a run: channels, test images, image AUROC, missed defects at 5 % false alarms, pixel AUROC, and what the
teacher asks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from eval.metrics import fnr_at_fpr, image_auroc
from eval.scoring import upsample
from likelihood.arrays import on_arrays
from teacher.model import load_teacher, teacher_answers
from wafer_data.store import ImageStore

BATCH = 16


def described(run: Path) -> str:
    """The line of one run."""
    store, teacher = ImageStore.open(run / "data"), on_arrays(load_teacher(run / "teacher"))
    tests = store.indices("test")
    labels = np.array([store.records[int(i)].label for i in tests])
    scores, truth, heat = [], [], []
    for start in range(0, len(tests), BATCH):
        part = tests[start : start + BATCH]
        found = teacher(store.batch(part))
        scores.append(found.score)
        for index, plane in zip(part, upsample(found.map, store.size), strict=True):
            mask = store.mask(int(index))
            if mask is not None or not store.records[int(index)].label:
                truth.append(np.zeros(plane.shape, bool) if mask is None else mask)
                heat.append(plane)
    every = np.concatenate(scores)
    asked = teacher_answers(run / "teacher")
    asks = (
        ""
        if asked is None
        else ", ".join(f"{n} {w:.2f}" for n, w in zip(asked.names, asked.weights, strict=True))
    )
    pixels = image_auroc(np.stack(truth).ravel().astype(int), np.stack(heat).ravel())
    return (
        f"| {run.name} | {store.channels} | {int((labels == 0).sum())} + {int(labels.sum())} | "
        f"{image_auroc(labels, every):.4f} | {fnr_at_fpr(labels, every):.1%} | {pixels:.3f} | {asks} |"
    )


if __name__ == "__main__":
    print("| run | channels | normals + defects | AUROC | FNR at 5 % FPR | pixel AUROC | asked |")
    print("|---|---|---|---|---|---|---|")
    for folder in sys.argv[1:]:
        print(described(Path(folder)))
