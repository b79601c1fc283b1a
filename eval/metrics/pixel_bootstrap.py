"""Bootstrap of pixel metrics: images are drawn, not pixels, because neighbouring pixels are not independent.

A resample is the same images some several times, some never. Each image's pixels are known as a sketch
(`eval.metrics.sketch`), so a resample's histogram is a weighted sum of rows, and all resamples are one product of
matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eval.metrics.bootstrap import Interval, central
from eval.metrics.curves import area_up_to
from eval.metrics.resampling import resample_counts
from eval.metrics.sketch import ImageSketch, group_evenly

# Scores are sorted into about this many columns, each with an equal share of what the curves climb.
_COLUMNS = 1024


class PixelTable:
    """The pixels of all images by image and score: rows are images, columns are score bins from the top down.

    Memory: three arrays of float32 with about 1 000 columns, 120 MB for 10 000 images; held only while intervals
    are computed.
    """

    def __init__(self, sketches: Sequence[ImageSketch]) -> None:
        # Images of each kind are drawn apart; those with defects come last.
        rows = sorted(sketches, key=lambda sketch: sketch.regions > 0)
        self.defective = sum(sketch.regions > 0 for sketch in rows)
        self.clean = len(rows) - self.defective
        row = np.repeat(np.arange(len(rows)), [len(sketch.scores) for sketch in rows])
        weights = np.concatenate([sketch.weights for sketch in rows], axis=1)
        levels, level = np.unique(-np.concatenate([sketch.scores for sketch in rows]), return_inverse=True)
        column_of_level = _column_of_level(np.stack([np.bincount(level, w, len(levels)) for w in weights]))
        column, shape = column_of_level[level], (len(rows), int(column_of_level[-1]) + 1)
        self._normal, self._defect, self._overlap = (_table(row, column, one, shape) for one in weights)

    def curves(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """False-positive, true-positive and overlap rates (b, T) when image r counts `counts[:, r]` times.

        NaN in the rows of a resample that holds only one kind of pixel.
        """
        normal = _climb(counts, self._normal)
        defect, overlap = (
            _climb(counts[:, self.clean :], table[self.clean :]) for table in (self._defect, self._overlap)
        )
        return normal, defect, overlap


@dataclass(frozen=True)
class Draws:
    """A metric of every resample, and of the sample itself."""

    values: np.ndarray
    """(n,), NaN for a resample that holds only one kind of pixel."""
    whole: float

    def interval_around(self, point: float, confidence: float = 0.95) -> Interval:
        """The interval of a metric that is `point` when computed from all pixels.

        The sketches' own small error is the same in every resample: it is taken out of the interval's place.
        """
        low, high = central(self.values[np.isfinite(self.values)] + (point - self.whole), confidence)
        return max(0.0, low), min(1.0, high)


def pixel_draws(
    sketches: Sequence[ImageSketch], fpr_limit: float = 0.3, n: int = 1000, seed: int = 0
) -> dict[str, Draws]:
    """Draw "pixel_auroc" and "pixel_aupro" of `n` resamples of the images, from their sketches.

    Images with and without defects are drawn apart, each in their own number. Resamples depend on these numbers
    and `seed` alone, and follow the order of the sketches: two models' draws over the same images are paired.
    """
    table = PixelTable(sketches)
    areas = []
    for clean, defective in resample_counts(table.clean, table.defective, n, seed):
        # A block of the product takes (block, columns) numbers three times; keep it small.
        for start in range(0, len(clean), 100):
            part = slice(start, start + 100)
            areas.append(_areas(table, np.hstack([clean[part], defective[part]]), fpr_limit))
    whole = _areas(table, np.ones((1, len(sketches))), fpr_limit)[:, 0]
    names = ("pixel_auroc", "pixel_aupro")
    return {
        name: Draws(values, float(point))
        for name, values, point in zip(names, np.concatenate(areas, axis=1), whole, strict=True)
    }


def _areas(table: PixelTable, counts: np.ndarray, fpr_limit: float) -> np.ndarray:
    rates, found, overlap = table.curves(counts)
    return np.stack([area_up_to(rates, found), area_up_to(rates, overlap, fpr_limit)])


def _climb(counts: np.ndarray, table: np.ndarray) -> np.ndarray:
    sums = np.zeros((len(counts), table.shape[1] + 1))
    np.cumsum(counts.astype(np.float32) @ table, axis=1, out=sums[:, 1:])
    with np.errstate(invalid="ignore"):
        return sums / sums[:, -1:]


def _column_of_level(mass: np.ndarray) -> np.ndarray:
    """The column of each score level, from the top, by what the levels hold, (3, L) as in a sketch's weights."""
    shares = mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)
    # The top of the curve, which AUPRO looks at, gets as many columns again.
    top = np.diff(np.minimum(np.cumsum(shares[0]), 0.3), prepend=0.0) / 0.3
    return group_evenly(shares.sum(axis=0) + top, _COLUMNS)


def _table(rows: np.ndarray, columns: np.ndarray, weights: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    flat = np.bincount(rows * shape[1] + columns, weights, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float32)
