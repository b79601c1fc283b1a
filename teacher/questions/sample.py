"""What the questions are fitted to and tried on: features of some training normals, and of the same with defects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wafer_data.imaging.planes import stacked
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore
from wafer_data.synthetic import GENERATORS

PAINTED_LEAST = 150
"""Painted images there are at least: with few normals each is painted several times."""
PAINTED_SHARE = 0.1
"""A cell is a painted one from this share of its pixels on; in between it is neither painted nor clean."""


@dataclass(frozen=True)
class Sample:
    """Training normals and painted copies of them; all of one fold share their originals and kinds of defect.

    normal: (n, d, h, h) float16 features. places: (n,) of these images among all training normals. painted: (m, d,
    h, h) float16. source: (m,) row of `normal` that an image was painted on. cover: (m, h, h) float32, share of each
    cell's pixels that the paint changed. kinds: (m,) names of the defects. folds: into how many parts it is divided.
    """

    normal: Tensor
    places: np.ndarray
    painted: Tensor
    source: np.ndarray
    cover: Tensor
    kinds: np.ndarray
    folds: int

    def batches(self, size: int = 32) -> Iterator[Tensor]:
        """The normals' features in float32, (B, d, h, h)."""
        for part in self.normal.split(size):
            yield part.float()

    def normals_of(self, fold: int) -> np.ndarray:
        """Rows of `normal` in one fold."""
        return np.flatnonzero(np.arange(len(self.normal)) % self.folds == fold)

    def painted_of(self, fold: int) -> np.ndarray:
        """Rows of `painted` in one fold."""
        return np.flatnonzero(self.source % self.folds == fold)


def kind_of(row: int, turn: int, folds: int) -> str:
    """Kind of the defect painted on normal number `row` the `turn`th time: kinds belong to the folds of the normals."""
    own = list(GENERATORS)[row % folds :: folds]
    return own[(row // folds + turn) % len(own)]


def _places(count: int, most: int, folds: int) -> np.ndarray:
    """Which normals are looked at, evenly spaced; each at a row of the sample that is its place, modulo `folds`.

    So tiles of one large image stay in one fold (`wafer_data.training_tiles`).
    """
    if folds == 1 or count <= most:
        return spread(np.arange(count), most)
    groups = spread(np.arange(count // folds), max(1, most // folds))
    return np.asarray(groups[:, None] * folds + np.arange(folds)).ravel()


def draw_sample(
    store: ImageStore,
    features_of: Callable[[Tensor], Tensor],
    images: int,
    folds: int,
    batch: int,
    seed: int,
) -> Sample:
    """Read, paint and describe the sample.

    Args:
        features_of: (B, C, S, S) images in [0, 1] -> (B, d, h, h).
        images: normals at most.
        batch: images a call of `features_of`.
        seed: of the painting.
    """
    normals = store.indices("train", label=0)
    places = _places(len(normals), images, 1 if store.folds is None or store.folds % folds else folds)
    turns = -(-PAINTED_LEAST // len(places))
    jobs = [(row, turn) for turn in range(turns) for row in range(len(places))]
    covers: list[np.ndarray] = []

    def painted(row: int, turn: int) -> np.ndarray:
        rng = np.random.default_rng((seed, 41, row, turn))
        donor = store.pixels(int(normals[rng.choice(places)]))
        paint = GENERATORS[kind_of(row, turn, folds)]
        image, mask = paint(store.pixels(int(normals[places[row]])), rng, donor)
        covers.append(mask)
        return image.astype(np.float32)

    def described(count: int, picture: Callable[[int], np.ndarray], title: str) -> Tensor:
        parts = []
        for start in track(range(0, count, batch), title):
            part = stacked(picture(i) for i in range(start, min(start + batch, count)))
            parts.append(features_of(torch.from_numpy(part)).half().cpu())
        return torch.cat(parts)

    plain = described(len(places), lambda i: store.pixels(int(normals[places[i]])), "questions: normals")
    changed = described(len(jobs), lambda i: painted(*jobs[i]), "questions: painted defects")
    masks = torch.from_numpy(np.stack(covers).astype(np.uint8))[:, None]
    side = plain.shape[-1]
    cover = torch.cat([F.adaptive_avg_pool2d(part.float(), side)[:, 0] for part in masks.split(64)])
    kinds = np.array([kind_of(row, turn, folds) for row, turn in jobs])
    source = np.array([row for row, _ in jobs])
    return Sample(plain, places, changed, source, cover, kinds, folds)
