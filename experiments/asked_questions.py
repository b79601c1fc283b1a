"""What each question that a teacher asks tells of real defects, beside what was chosen: after the choice, never for it.

    .venv/bin/python experiments/asked_questions.py RUN [--images 150]

RUN is a run whose stage `adapt` is done. Prints one line a question, image AUROC and missed defects at 5 % false
alarms on the test images (at most so many of each class, evenly spaced), then the same of the weighted mean that was
chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from eval.metrics import fnr_at_fpr, image_auroc
from teacher import Teacher, load_teacher
from wafer_data.spread import spread
from wafer_data.store import ImageStore

BATCH = 16


@torch.inference_mode()
def answered(teacher: Teacher, store: ImageStore, rows: np.ndarray) -> Iterator[np.ndarray]:
    """(B, 1 + Q) standardised scores: of the place-bound likelihood, then of the answers."""
    assert teacher.likelihood is not None and teacher.likelihood.answers is not None
    likelihood, answers = teacher.likelihood, teacher.likelihood.answers
    for start in range(0, len(rows), BATCH):
        features = teacher.features(torch.from_numpy(store.batch(rows[start : start + BATCH])))
        directions = features[:, answers.count :]
        residuals = likelihood.residuals(directions, likelihood.encode(directions))
        own = likelihood.combine(likelihood.compare(directions, residuals)[0])
        yield answers.standard(own, features[:, : answers.count]).numpy()


def main() -> None:
    """Score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--images", type=int, default=150, help="test images of each class at most (150)")
    arguments = parser.parse_args()
    store, teacher = ImageStore.open(arguments.run / "data"), load_teacher(arguments.run / "teacher")
    if teacher.likelihood is None or teacher.likelihood.answers is None:
        raise SystemExit("this teacher asks for places alone: report.json has its figures")
    answers = teacher.likelihood.answers
    classes = [spread(store.indices("test", label), arguments.images) for label in (0, 1)]
    scores = np.concatenate([part for rows in classes for part in answered(teacher, store, rows)])
    labels = np.repeat([0, 1], [len(rows) for rows in classes])
    columns = dict(zip(answers.names, scores.T, strict=True)) | {"together": scores @ answers.weights}
    for name, column in columns.items():
        weight = f"weight {dict(zip(answers.names, answers.weights, strict=True)).get(name, 1):.2f}"
        auroc, missed = image_auroc(labels, column), fnr_at_fpr(labels, column)
        print(f"{name:10} {weight}  AUROC {auroc:.4f}  missed at 5 % {missed:.1%}")


if __name__ == "__main__":
    main()
