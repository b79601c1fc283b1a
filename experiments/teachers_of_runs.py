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
from typing import Any

import numpy as np

from eval.metrics import fnr_at_fpr, image_auroc
from eval.scoring import upsample
from likelihood.arrays import on_arrays
from teacher.model import load_teacher, teacher_answers
from wafer_data.progress import track
from wafer_data.store import ImageStore

BATCH = 16


def figures(run: Path) -> dict[str, Any]:
    """What the teacher of a run makes of its test images, named as in `report.json`."""
    store, model = ImageStore.open(run / "data"), load_teacher(run / "teacher")
    teacher = on_arrays(model)
    tests = store.indices("test")
    labels = np.array([store.records[int(i)].label for i in tests])
    scores, truth, heat = [], [], []
    for start in track(range(0, len(tests), BATCH), "test images"):
        part = tests[start : start + BATCH]
        found = teacher(store.batch(part))
        scores.append(found.score)
        for index, plane in zip(part, upsample(found.map, store.size), strict=True):
            mask = store.mask(int(index))
            if mask is not None or not store.records[int(index)].label:
                truth.append(np.zeros(plane.shape, bool) if mask is None else mask)
                heat.append(plane)
    every, marked = np.concatenate(scores), np.stack(truth).ravel()
    return {
        "channels": store.channels,
        "normals": int((labels == 0).sum()),
        "defects": int(labels.sum()),
        "params": model.parameter_count,
        "image_auroc": image_auroc(labels, every),
        "fnr_at_fpr5": fnr_at_fpr(labels, every),
        "pixel_auroc": image_auroc(marked.astype(int), np.stack(heat).ravel()) if marked.any() else None,
        "pixel_aupro": None,
    }


def described(run: Path) -> str:
    """The line of one run."""
    found, asked = figures(run), teacher_answers(run / "teacher")
    weights = zip(asked.names, asked.weights, strict=True) if asked is not None else ()
    pixels = "-" if found["pixel_auroc"] is None else f"{found['pixel_auroc']:.3f}"
    return (
        f"| {run.name} | {found['channels']} | {found['normals']} + {found['defects']} | {found['image_auroc']:.4f} | "
        f"{found['fnr_at_fpr5']:.1%} | {pixels} | {', '.join(f'{n} {w:.2f}' for n, w in weights)} |"
    )


if __name__ == "__main__":
    print("| run | channels | normals + defects | AUROC | FNR at 5 % FPR | pixel AUROC | asked |")
    print("|---|---|---|---|---|---|---|")
    for folder in sys.argv[1:]:
        print(described(Path(folder)))
