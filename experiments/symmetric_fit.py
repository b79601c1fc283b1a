"""The likelihood fitted to mirrored and turned copies too, where a surface cannot be told from its mirror image.

    .venv/bin/python experiments/symmetric_fit.py RUN ... [--changes vertical_flip ...]

Each RUN is a finished run (`waferroute run`). The features of its two students are kept; their likelihoods are fitted
anew without copies and with those of the changes that `teacher.exact_symmetry` admits there (or of `--changes`),
and measured on the run's test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from refits import Tested

from distill.augmentation import choose_augmentation
from distill.config import PoolConfig
from likelihood.fit import fit_likelihood
from wafer_data.allocator import keep_freed_memory
from wafer_data.errors import InputError
from wafer_data.symmetric_copies import Change, changes_from, normals_and_copies, within


@torch.no_grad()
def measure(tested: Tested, changes: list[Change]) -> tuple[float, float]:
    """AUROC and FNR at 5 % FPR of a student whose likelihood is fitted to training normals with all `changes`."""
    student, normals = tested.student, tested.store.indices("train", label=0)
    changes = within(changes, len(normals))
    images = normals_and_copies(tested.store, normals, changes, tested.config.folds)
    features = [student.features(torch.from_numpy(part)).half() for part in images]
    likelihood = fit_likelihood(
        lambda: features, tested.student.config.likelihood.for_images(len(normals), len(changes))
    )
    return tested.figures(likelihood, np.arange(len(tested.labels)))


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
                tested = Tested(run, name)
                for chosen in dict.fromkeys([(), tuple(flips)]):
                    auroc, fnr = measure(tested, changes_from(chosen))
                    print(
                        f"| {run.name} | {name} | {', '.join(chosen) or '-'} | {auroc:.4f} | {fnr:.1%} |",
                        flush=True,
                    )
        except InputError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
