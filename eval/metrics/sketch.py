"""One image's pixel scores in a few hundred numbers, whatever its size.

Bins of equal count adapt to any range of scores, need no second look at the maps, and give the resampling of images
what it needs: how every image's pixels are distributed.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label as connected_components

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)
BINS = 128
"""About how many bins normal, and defective, pixels of an image get."""


@dataclass(frozen=True)
class DefectPixels:
    """The defective pixels of an image: their scores, and the regions they form (8 neighbours)."""

    scores: np.ndarray
    """(D,) float."""
    overlaps: np.ndarray
    """(D,) float64, 1 / (pixels of its region): over all pixels they sum to the number of regions."""
    regions: int

    @classmethod
    def of(cls, one_map: np.ndarray, mask: np.ndarray) -> "DefectPixels":
        """From a map (H, W) and its boolean mask."""
        if not mask.any():
            return cls(one_map[mask], np.empty(0), 0)
        regions, count = connected_components(mask, structure=_EIGHT_NEIGHBOURS)
        region_of_pixel = regions[mask]
        return cls(one_map[mask], 1.0 / np.bincount(region_of_pixel)[region_of_pixel], int(count))


@dataclass(frozen=True)
class ImageSketch:
    """An image's pixels in about `BINS` bins of each kind, each bin as its median score and what it holds.

    Up to `BINS` pixels of a kind the sketch is exact. Two kilobytes, four for an image with defects.
    """

    scores: np.ndarray
    """(b,) float32."""
    weights: np.ndarray
    """(3, b) float32: normal pixels, defective pixels, and the shares of their regions that those are, summed."""
    regions: int

    @classmethod
    def of(cls, normal: np.ndarray, defect: DefectPixels) -> "ImageSketch":
        """From the scores of the normal pixels (n,), which may be none, and the defective ones."""
        ordered, order = np.sort(normal), np.argsort(defect.scores)
        overlaps = defect.overlaps[order]
        scores, weights = _bins(ordered, np.ones((1, len(ordered))))
        # A pixel of a small region moves the overlap curve as much as many of a large one.
        defect_scores, defect_weights = _bins(defect.scores[order], np.stack([np.ones(len(order)), overlaps]))
        table = np.zeros((3, len(scores) + len(defect_scores)), dtype=np.float32)
        table[0, : len(scores)] = weights[0]
        table[1:, len(scores) :] = defect_weights
        return cls(np.concatenate([scores, defect_scores]), table, defect.regions)


def group_evenly(steps: np.ndarray, groups: int) -> np.ndarray:
    """Put neighbours into about `groups` groups of equal sums of `steps`: the group of each, (L,), from 0 up.

    A step as large as a whole group stands alone.
    """
    width = steps.sum() / groups
    alone = steps >= width
    begins = np.diff(np.floor((np.cumsum(steps) - steps) / width), prepend=-1) > 0
    begins |= alone
    begins[1:] |= alone[:-1]
    return np.cumsum(begins) - 1


def _bins(ordered: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Median score, and sum of each row of `weights` (k, n), of each bin of the ascending scores (n,)."""
    count = len(ordered)
    if count <= BINS:
        return ordered.astype(np.float32), weights
    group = group_evenly((weights / weights.sum(axis=1, keepdims=True)).sum(axis=0), BINS)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.r_[starts[1:], count]
    # The mean of the two middle scores: always the lower one would shift small bins against single pixels.
    medians = (ordered[(starts + ends - 1) // 2] + ordered[(starts + ends) // 2]) / 2
    return medians.astype(np.float32), np.add.reduceat(weights, starts, axis=1)
