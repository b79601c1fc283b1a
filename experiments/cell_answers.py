"""How should an image's cells make its answer: by how many of the top ones, or by a soft maximum, and how soft?

    .venv/bin/python experiments/cell_answers.py RUN [--model teacher] [--model full]

RUN is a run on a surface of which more than places is asked. Prints, for each model, image AUROC and missed defects at
5 % false alarms on all test images by the mean of the top cells, several shares, and by the soft maximum, several
softnesses; the questions' answers in standard deviations of the calibration normals, with the teacher's weights. The
likelihood's own score is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.special import logsumexp

from distill.targets import load_model
from eval.metrics import fnr_at_fpr, image_auroc
from teacher.model import teacher_answers
from wafer_data.store import ImageStore

BATCH = 16
SHARES = (0.003, 0.01, 0.03, 0.1, 1.0)
SOFTNESSES = (0.15, 0.25, 0.35, 0.5, 0.65, 0.8)
Reading = Callable[[np.ndarray], np.ndarray]
"""(N, Q, cells) -> (N, Q)."""


def top(share: float) -> Reading:
    """The mean of so large a share of the cells, the highest ones."""

    def read(cells: np.ndarray) -> np.ndarray:
        count = max(1, round(share * cells.shape[2]))
        return np.asarray(np.sort(cells, 2)[..., -count:].mean(2))

    return read


def soft(softness: float) -> Reading:
    """See `likelihood.answers.soft_maximum`."""
    return lambda cells: np.asarray(softness * (logsumexp(cells / softness, axis=2) - np.log(cells.shape[2])))


@torch.inference_mode()
def cells_of(run: Path, name: str, store: ImageStore, rows: np.ndarray, count: int) -> np.ndarray:
    """(N, Q, cells) answers of a model."""
    model = load_model(run, name).eval()
    parts = [
        model.features(torch.from_numpy(store.batch(rows[start : start + BATCH])))[:, :count].flatten(2)
        for start in range(0, len(rows), BATCH)
    ]
    return torch.cat(parts).double().numpy()


def main() -> None:
    """Read, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", action="append", help="teacher, full or lowres (default: teacher)")
    arguments = parser.parse_args()
    asked, store = teacher_answers(arguments.run / "teacher"), ImageStore.open(arguments.run / "data")
    if asked is None:
        raise SystemExit("this teacher asks for places alone")
    test = [store.indices("test", label) for label in (0, 1)]
    labels = np.repeat([0, 1], [len(rows) for rows in test])
    readings = {f"top {share:.1%}": top(share) for share in SHARES}
    readings |= {f"softness {softness}": soft(softness) for softness in SOFTNESSES}
    for name in arguments.model or ["teacher"]:
        usual = cells_of(arguments.run, name, store, store.indices("calibration", 0), asked.count)
        found = cells_of(arguments.run, name, store, np.concatenate(test), asked.count)
        for title, read in readings.items():
            known = read(usual)
            scores = (read(found) - known.mean(0)) / known.std(0) @ np.array(asked.weights[1:])
            auroc, missed = image_auroc(labels, scores), fnr_at_fpr(labels, scores)
            print(f"{name:8} {title:14} AUROC {auroc:.4f}  missed at 5 % {missed:.1%}")


if __name__ == "__main__":
    main()
