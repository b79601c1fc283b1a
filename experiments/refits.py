"""What one finished run's students say under other fits of their likelihood: nothing is trained, seconds a table.

    .venv/bin/python experiments/refits.py RUN [RUN ...] [--per-type 40] [--part 'num_([0-9]+)' --gap 200]

Each RUN is a finished run without labels on a set with several defect types and masks; tables give means over the
runs. The features are the student's, the likelihood and the defect head are fitted anew
(`likelihood.labels.fit_with_labels`):

1. labelled defects of all types but one, drawn from the test images by seed: does the left-out type lose anything?
2. labelled defects of all types: what the rest of the test images gains.
3. training normals contaminated with 5 % unnoticed defects, with and without the robust fit.
4. parts of the likelihood removed once each.
5. pixel AUROC of each type alone (its images and the normal ones), with and without the map's prototypes.

Some sets show a part several times (magnetic tiles: under up to six exposures, with running numbers in the file
names). A defect that was labelled, or hid among the training normals, is then known from another picture. With
--part, a pattern that finds a file's number, defects within --gap of each other (in a row) count as one part, and
rows that end in "parts unseen" leave pictures of parts that were used out of the test.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.metrics import PixelHistograms, fnr_at_fpr, image_auroc
from likelihood import FeatureLikelihood, LikelihoodConfig
from likelihood.labels import fit_with_labels
from likelihood.level import enlarge
from student_vae import StudentVAE, load_student
from wafer_data.store import ImageStore

Table = dict[str, tuple[float, ...]]
NONE = np.array([], int)


class Tested:
    """Features of a run's training normals and test images, as one student gives them."""

    def __init__(self, run: Path, name: str, part: str | None = None, gap: int = 200) -> None:
        self.store = ImageStore.open(run / "data")
        self.student = load_student(run / name)
        self.test = self.store.indices("test")
        self.labels = np.array([self.store.records[i].label for i in self.test])
        self.types = np.array([self.store.records[i].type for i in self.test])
        self.normals = self._features(self.store.indices("train", label=0))
        self.features = self._features(self.test)
        self.parts = self._parts(part, gap) if part else None

    def _parts(self, pattern: str, gap: int) -> np.ndarray:
        """Number of the part that each test image shows; runs of file numbers without a step above `gap`."""
        found = [re.search(pattern, Path(self.store.records[i].path).name) for i in self.test]
        if not all(found):
            raise SystemExit(f"--part {pattern!r} does not fit the name of every test image")
        numbers = np.array([int(match.group(1)) for match in found if match])
        order = np.argsort(numbers, kind="stable")
        parts = np.zeros(len(numbers), int)
        parts[order] = np.cumsum(np.r_[0, np.diff(numbers[order]) > gap])
        return parts

    def unseen(self, used: np.ndarray) -> np.ndarray:
        """Test images but `used` and the defects of the same parts."""
        assert self.parts is not None
        known = np.isin(self.parts, self.parts[used]) & (self.labels == 1)
        return np.flatnonzero(~known)

    @torch.no_grad()
    def _features(self, indices: np.ndarray) -> Tensor:
        starts = range(0, len(indices), 32)
        student: StudentVAE = self.student
        return torch.cat(
            [student.features(torch.from_numpy(self.store.batch(indices[s : s + 32]))) for s in starts]
        )

    @property
    def config(self) -> LikelihoodConfig:
        """Of the student's likelihood, with the coordinates that it has."""
        return self.student.config.likelihood.for_images(len(self.normals))

    def fit(
        self,
        labelled: np.ndarray = NONE,
        seed: int = 0,
        config: LikelihoodConfig | None = None,
        unnoticed: np.ndarray = NONE,
    ) -> FeatureLikelihood:
        """The likelihood, with a head taught by test images `labelled`, and with `unnoticed` ones among the normals."""
        defects = [self.features[labelled]] if len(labelled) else []
        normals = torch.cat([self.normals, self.features[unnoticed]])
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(normals)))
        normals = normals[order] if len(unnoticed) else normals
        return fit_with_labels(
            lambda: iter(normals.split(64)), defects, config or self.config, seed
        ).likelihood

    def figures(self, likelihood: FeatureLikelihood, rows: np.ndarray) -> tuple[float, float]:
        """AUROC and FNR at 5 % FPR over the test images `rows`."""
        scores = self.scores(likelihood, rows)
        return image_auroc(self.labels[rows], scores), fnr_at_fpr(self.labels[rows], scores)

    def choose(self, per_type: int, seed: int) -> dict[str, np.ndarray]:
        """Test images of each type that play labelled ones: at most `per_type`, at most half."""
        random = np.random.default_rng(seed)
        chosen = {}
        for name in sorted(set(self.types) - {"good"}):
            rows = np.flatnonzero(self.types == name)
            chosen[name] = random.permutation(rows)[: min(per_type, len(rows) // 2)]
        return chosen

    @torch.no_grad()
    def scores(self, likelihood: FeatureLikelihood, rows: np.ndarray) -> np.ndarray:
        """(len(rows),) scores of test images."""
        return torch.cat([likelihood(part).score for part in self.features[rows].split(64)]).numpy()

    @torch.no_grad()
    def maps(self, likelihood: FeatureLikelihood) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        """Type, heat map and mask of each test image but defects without a mask: those do not say where they are."""
        for row, index in enumerate(self.test):
            heat = likelihood(self.features[row : row + 1]).map
            mask = self.store.mask(int(index))
            if mask is None:
                if self.labels[row]:
                    continue
                mask = np.zeros((self.store.size, self.store.size), bool)
            yield self.types[row], enlarge(heat[:, None], self.store.size)[0, 0].numpy(), mask


def left_out(tested: Tested, per_type: int, seed: int) -> Table:
    """By left-out type: AUROC and FNR without labels, and with labels of the other types."""
    chosen = tested.choose(per_type, seed)
    nothing = tested.fit(seed=seed)
    found: Table = {}
    for name in chosen:
        labelled = np.concatenate([rows for other, rows in chosen.items() if other != name])
        rows = np.flatnonzero(np.isin(tested.types, ["good", name]))
        found[name] = (
            *tested.figures(nothing, rows),
            *tested.figures(tested.fit(labelled, seed), rows),
        )
    found["mean"] = tuple(np.mean(list(found.values()), axis=0))
    return found


def labelled_all(tested: Tested, per_type: int, seed: int) -> Table:
    """AUROC and FNR on the images that are left, without and with labels."""
    labelled = np.concatenate(list(tested.choose(per_type, seed).values()))
    rest = np.setdiff1d(np.arange(len(tested.labels)), labelled)
    before, after = tested.fit(seed=seed), tested.fit(labelled, seed)
    found = {f"{len(labelled)} labels": (*tested.figures(before, rest), *tested.figures(after, rest))}
    if tested.parts is not None:
        rest = tested.unseen(labelled)
        found["the same, parts unseen"] = (*tested.figures(before, rest), *tested.figures(after, rest))
    return found


def contaminated(tested: Tested, seed: int, share: float = 0.05) -> Table:
    """AUROC and FNR on the other images, with `share` of the training normals really defects."""
    random = np.random.default_rng(seed)
    number = round(share / (1 - share) * len(tested.normals))
    unnoticed = random.permutation(np.flatnonzero(tested.labels == 1))[:number]
    robust = tested.config.model_copy(update={"contamination": 0.1})
    fits = {
        "clean": tested.fit(),
        "clean, robust fit": tested.fit(config=robust),
        f"{share:.0%} defects among them": tested.fit(seed=seed, unnoticed=unnoticed),
        "the same, robust fit (contamination 0.1)": tested.fit(seed=seed, config=robust, unnoticed=unnoticed),
    }
    rests = {"": np.setdiff1d(np.arange(len(tested.labels)), unnoticed)}
    if tested.parts is not None:
        rests[", parts unseen"] = tested.unseen(unnoticed)
    return {
        name + which: tested.figures(fit, rest) for which, rest in rests.items() for name, fit in fits.items()
    }


def without(tested: Tested) -> Table:
    """AUROC and FNR with one part of the likelihood changed at a time."""
    config = tested.config
    scored = [level for level in config.levels if level.scored]
    changes: dict[str, dict[str, Any]] = {
        "as configured": {},
        "one coordinate": {"latent": 1, "extra_coordinates": 0},
        "32 coordinates": {"latent": 32, "extra_coordinates": 0},
        "64 coordinates": {"latent": 64, "extra_coordinates": 0},
        "128 coordinates": {"latent": 128, "extra_coordinates": 0},
        "256 coordinates": {"latent": 128, "extra_coordinates": 128},
        "latent of the first eight directions, 8 x 8 cells": {"latent_grid": 8, "latent_directions": 8},
        "coarsest scored level only": {"levels": scored[:1]},
        "finest scored level only": {"levels": scored[-1:]},
        "one covariance for all cells": {
            "levels": [level.model_copy(update={"covariance_block": level.grid}) for level in config.levels]
        },
        "only the highest-scoring cell counts": {"top_positions": 1e-6},
        "no floor under the covariance": {"floor": 1e-6},
    }
    rows = np.arange(len(tested.labels))
    return {
        name: tested.figures(tested.fit(config=config.model_copy(update=change)), rows)
        for name, change in changes.items()
    }


def pixel_by_type(tested: Tested) -> Table:
    """Pixel AUROC of each type together with the normal images, and of all; as configured, without prototypes."""
    names = [*sorted(set(tested.types) - {"good"}), "all"]
    found: dict[str, tuple[float, ...]] = dict.fromkeys(names, ())
    for change in ({}, {"prototypes": 0}):
        likelihood = tested.fit(config=tested.config.model_copy(update=change))
        histograms = {name: PixelHistograms() for name in names}
        for kind, heat, mask in tested.maps(likelihood):
            for name in names if kind == "good" else (kind, "all"):
                histograms[name].update(heat, mask)
        found = {name: (*found[name], histograms[name].auroc()) for name in names}
    return found


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
    parser.add_argument("--part", metavar="PATTERN", help="finds the number in a file name; see above")
    parser.add_argument("--gap", type=int, default=200, help="largest step of numbers within a part")
    arguments = parser.parse_args()
    runs = [Tested(run, arguments.student, arguments.part, arguments.gap) for run in arguments.runs]
    print(f"{arguments.student} student, mean of {len(runs)} runs\n")
    pair = "AUROC | FNR at 5 % FPR"
    both = "AUROC without labels | FNR without | AUROC with | FNR with"
    seeds = list(enumerate(runs))
    show("left-out type", both, [left_out(t, arguments.per_type, seed) for seed, t in seeds])
    show("labels of all types", both, [labelled_all(t, arguments.per_type, seed) for seed, t in seeds])
    show("training normals", pair, [contaminated(t, seed) for seed, t in seeds])
    show("likelihood", pair, [without(t) for t in runs])
    show("type", "pixel AUROC | without prototypes", [pixel_by_type(t) for t in runs])


def show(first: str, others: str, tables: list[Table]) -> None:
    """Print the mean of tables of the same rows as Markdown."""
    names = others.split(" | ")
    print(f"| {first} | {others} |\n" + "|---" * (len(names) + 1) + "|")
    for row in tables[0]:
        values = np.mean([table[row] for table in tables], axis=0)
        cells = [f"{v:.1%}" if "FNR" in name else f"{v:.4f}" for name, v in zip(names, values, strict=True)]
        print(f"| {row} | {' | '.join(cells)} |")
    print()


if __name__ == "__main__":
    main()
