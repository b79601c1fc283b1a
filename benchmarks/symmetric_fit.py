"""The likelihood fitted to mirrored and turned copies too, where a surface cannot be told from its mirror image.

    .venv/bin/python benchmarks/symmetric_fit.py RUN ... [--changes vertical_flip ...]

Each RUN is a finished run (`waferroute run`). The features of its two students are kept; their likelihoods are fitted
anew without copies and with those of the changes that `distill.pool.exact_symmetry` admits there (or of `--changes`),
and measured on the run's test images.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.augmentation import choose_augmentation
from distill.config import PoolConfig
from distill.symmetric_copies import SAME, Change, changes_from, normals_and_copies
from eval.metrics import fnr_at_fpr, image_auroc
from student_vae import load_student
from student_vae.fit import fit_likelihood
from wafer_data.errors import InputError
from wafer_data.store import ImageStore
from waferroute.allocator import keep_freed_memory


@torch.no_grad()
def measure(run: Path, name: str, changes: list[Change]) -> tuple[float, float]:
    """AUROC and FNR at 5 % FPR of one student of the run, its likelihood fitted to normals with all `changes`."""
    store, student = ImageStore.open(run / "data"), load_student(run / name)
    config = student.config.likelihood

    def features(indices: np.ndarray, changes: list[Change]) -> Iterator[Tensor]:
        for images in normals_and_copies(store, indices, changes, config.folds):
            yield student.features(torch.from_numpy(images))

    normals = [part.half() for part in features(store.indices("train", label=0), changes)]
    likelihood = fit_likelihood(lambda: (part.float() for part in normals), config)
    tests = store.indices("test")
    labels = np.array([store.records[i].label for i in tests])
    scores = torch.cat([likelihood(part).score for part in features(tests, [SAME])]).numpy()
    return image_auroc(labels, scores), fnr_at_fpr(labels, scores)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--changes", nargs="+", choices=["horizontal_flip", "vertical_flip", "rotate90"])
    args = parser.parse_args()
    keep_freed_memory()
    print("| run | student | copies | AUROC | FNR |\n|---|---|---|---|---|")
    for run in args.runs:
        try:
            flips = args.changes or choose_augmentation(PoolConfig(), run / "teacher").exact
            for name in ("full", "lowres"):
                for chosen in dict.fromkeys([(), tuple(flips)]):
                    auroc, fnr = measure(run, name, changes_from(chosen))
                    print(
                        f"| {run.name} | {name} | {', '.join(chosen) or '-'} | {auroc:.4f} | {fnr:.1%} |",
                        flush=True,
                    )
        except InputError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
