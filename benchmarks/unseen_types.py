"""What labels of some defect types do to a type that nobody has labelled, and where the heat map is right.

    .venv/bin/python benchmarks/unseen_types.py RUN [RUN ...] [--per-type 40]

Each RUN is a finished run without labels on a set with several defect types. Its students are kept as they are: the
likelihood and the defect head are fitted anew (`student_vae.labels.fit_with_labels`, closed form), with labelled defects
of all types but one, drawn from the test images by seed; the left-out type is tested with and without them. A
second table gives the pixel AUROC of each type alone (its images and the normal ones).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from eval.metrics import PixelHistograms, fnr_at_fpr, image_auroc
from student_vae import FeatureLikelihood, StudentVAE, load_student
from student_vae.labels import fit_with_labels
from student_vae.level import enlarge
from wafer_data.store import ImageStore


class Tested:
    """Features of a run's training normals and test images, as one student gives them."""

    def __init__(self, run: Path, name: str) -> None:
        self.store = ImageStore.open(run / "data")
        self.student = load_student(run / name)
        self.test = self.store.indices("test")
        self.labels = np.array([self.store.records[i].label for i in self.test])
        self.types = np.array([self.store.records[i].type for i in self.test])
        self.normals = self._features(self.store.indices("train", label=0))
        self.features = self._features(self.test)

    @torch.no_grad()
    def _features(self, indices: np.ndarray) -> Tensor:
        starts = range(0, len(indices), 32)
        student: StudentVAE = self.student
        return torch.cat(
            [student.features(torch.from_numpy(self.store.batch(indices[s : s + 32]))) for s in starts]
        )

    def fit(self, labelled: np.ndarray, seed: int) -> FeatureLikelihood:
        """The likelihood with a head taught by the test images at `labelled`."""
        defects = [self.features[labelled]] if len(labelled) else []
        config = self.student.config.likelihood
        return fit_with_labels(lambda: iter(self.normals.split(64)), defects, config, seed)

    @torch.no_grad()
    def scores(self, likelihood: FeatureLikelihood, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) scores of test images."""
        return torch.cat([likelihood(part).score for part in self.features[rows].split(64)]).numpy()

    @torch.no_grad()
    def maps(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Type, heat map and mask of each test image."""
        for row, index in enumerate(self.test):
            heat = self.student.likelihood(self.features[row : row + 1]).map
            mask = self.store.mask(int(index))
            if mask is None:
                mask = np.zeros((self.store.size, self.store.size), bool)
            yield self.types[row], enlarge(heat[:, None], self.store.size)[0, 0].numpy(), mask


def left_out(tested: Tested, per_type: int, seed: int) -> dict[str, tuple[float, float, float, float]]:
    """By left-out type: AUROC without and with labels of the other types, FNR at 5 % FPR likewise."""
    random = np.random.default_rng(seed)
    chosen = {
        name: random.permutation(rows)[: min(per_type, len(rows) // 2)]
        for name in sorted(set(tested.types) - {"good"})
        for rows in [np.flatnonzero(tested.types == name)]
    }
    nothing = tested.fit(np.array([], int), seed)
    found = {}
    for name in chosen:
        labelled = np.concatenate([rows for other, rows in chosen.items() if other != name])
        rows = np.flatnonzero(np.isin(tested.types, ["good", name]))
        labels = tested.labels[rows]
        scores = [tested.scores(model, rows) for model in (nothing, tested.fit(labelled, seed))]
        found[name] = (
            *(image_auroc(labels, s) for s in scores),
            *(fnr_at_fpr(labels, s) for s in scores),
        )
    return found


def pixel_by_type(tested: Tested) -> dict[str, float]:
    """Pixel AUROC of each type together with the normal images, and of all."""
    names = [*sorted(set(tested.types) - {"good"}), "all"]
    histograms = {name: PixelHistograms() for name in names}
    for kind, heat, mask in tested.maps():
        for name in names if kind == "good" else (kind, "all"):
            histograms[name].update(heat, mask)
    return {name: histogram.auroc() for name, histogram in histograms.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument(
        "--per-type", type=int, default=40, help="labelled defects a type, at most half of it"
    )
    parser.add_argument("--student", default="full", choices=("full", "lowres", "target", "intermediate"))
    arguments = parser.parse_args()
    runs = [Tested(run, arguments.student) for run in arguments.runs]
    table = [left_out(tested, arguments.per_type, seed) for seed, tested in enumerate(runs)]
    print(f"{arguments.student} student, {len(runs)} runs, mean")
    print(
        "| left-out type | AUROC without labels | with labels of the others | FNR without | with |\n"
        + "|---" * 5
        + "|"
    )
    names = list(table[0])
    means = {name: np.mean([entry[name] for entry in table], axis=0) for name in names}
    means["mean"] = np.mean(list(means.values()), axis=0)
    for name, (before, after, missed, missed_after) in means.items():
        print(f"| {name} | {before:.4f} | {after:.4f} | {missed:.1%} | {missed_after:.1%} |")
    pixels = [pixel_by_type(tested) for tested in runs]
    print("\n| type | pixel AUROC |\n|---|---|")
    for name in pixels[0]:
        print(f"| {name} | {np.mean([entry[name] for entry in pixels]):.4f} |")


if __name__ == "__main__":
    main()
