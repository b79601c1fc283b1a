"""Pixel metrics over any number of heat maps in constant memory.

Pixels are counted in bins of equal *relative* width: the leading bits of a float32, read as an integer, order
the numbers as the numbers themselves are ordered, so no range has to be known before the first map arrives.
Scores closer than 0.05 % of their size may share a bin and are then treated as tied.
"""

from collections.abc import Iterable

import numpy as np

from eval.metrics.bootstrap import Interval
from eval.metrics.curves import area_up_to
from eval.metrics.pixel_bootstrap import pixel_draws
from eval.metrics.sketch import DefectPixels, ImageSketch
from wafer_data.errors import InputError

# 1 sign, 8 exponent and 11 mantissa bits.
_BITS = 20
_BINS = 1 << _BITS


class PixelHistograms:
    """Counts of normal and defective pixels by score, fed map by map, and the metrics they carry.

    Memory: three arrays of 2^20 numbers (24 MiB) whatever the number of maps, and for the intervals a sketch of
    each image (2 kB, 4 kB with defects: 20 to 40 MB for 10 000 maps of any size).
    """

    def __init__(self) -> None:
        self._normal = np.zeros(_BINS, dtype=np.int64)
        self._defect = np.zeros(_BINS, dtype=np.int64)
        # Each defective pixel weighs 1 / (pixels of its region), so that the tail sum of this histogram over
        # the number of regions is the mean overlap per region: no histogram for each region is needed.
        self._overlap = np.zeros(_BINS, dtype=np.float64)
        self._regions = 0
        self.sketches: list[ImageSketch] = []
        """One a map, in the order of their arrival."""

    def update(self, maps: np.ndarray, masks: np.ndarray) -> None:
        """Add maps of shape (B, H, W) or (H, W), larger = more anomalous, with boolean masks of the same shape.

        A mask without a set pixel marks an image that is normal everywhere. Raises `InputError` for NaN
        scores, masks that are not boolean, and unequal shapes; nothing is added then.
        """
        maps, masks = np.asarray(maps), np.asarray(masks)
        if maps.shape != masks.shape or maps.ndim not in (2, 3):
            raise InputError(
                f"maps and masks must share a shape (B, H, W), not {maps.shape} and {masks.shape}"
            )
        if masks.dtype != np.bool_:
            raise InputError(f"masks must be boolean, not {masks.dtype}")
        bins = _bin_of(maps)
        self._normal += np.bincount(bins[~masks], minlength=_BINS)
        for one_map, one_bins, one_mask in zip(*map(_as_stack, (maps, bins, masks)), strict=True):
            defect = DefectPixels.of(one_map, one_mask)
            self.sketches.append(ImageSketch.of(one_map[~one_mask], defect))
            hit = one_bins[one_mask]
            # Small next to the histogram: adding in place beats a full-length bincount for each image.
            np.add.at(self._defect, hit, 1)
            np.add.at(self._overlap, hit, defect.overlaps)
            self._regions += defect.regions

    def auroc(self) -> float:
        """Pixel AUROC: every pixel of every map is one sample.

        Range [0, 1]. Raises `InputError` without both kinds.
        """
        return float(area_up_to(*self._curve(self._defect)))

    def aupro(self, fpr_limit: float = 0.3) -> float:
        """Area under the per-region overlap curve up to `fpr_limit`, divided by it. Range [0, 1].

        At each threshold the overlap is the mean, over connected defect regions (8 neighbours), of the share
        of the region that is flagged; the false-positive rate is taken over all normal pixels (Bergmann et
        al., "Uninformed students", CVPR 2020). Unlike the pixel AUROC, a small defect counts as much as a
        large one.
        """
        if not 0.0 < fpr_limit <= 1.0:
            raise InputError(f"the false-positive limit must lie in (0, 1], not {fpr_limit}")
        return float(area_up_to(*self._curve(self._overlap), fpr_limit))

    def intervals(
        self, fpr_limit: float = 0.3, n: int = 1000, seed: int = 0, confidence: float = 0.95
    ) -> dict[str, Interval]:
        """Bootstrap intervals of "pixel_auroc" and "pixel_aupro" over `n` resamples of the images.

        Images, not pixels, are drawn: the pixels of one image resemble each other. Images with and without
        defective pixels are drawn apart (see `pixel_draws`). Raises `InputError` as the metrics do.
        """
        points = {"pixel_auroc": self.auroc(), "pixel_aupro": self.aupro(fpr_limit)}
        draws = pixel_draws(self.sketches, fpr_limit, n, seed)
        return {name: draws[name].interval_around(point, confidence) for name, point in points.items()}

    def _curve(self, positives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of normal pixels and of `positives` at or above each occupied bin, from the top; both start at 0."""
        if self._regions == 0 or not self._normal.any():
            raise InputError("a pixel metric needs both normal and defective pixels")
        occupied = np.flatnonzero((self._normal > 0) | (self._defect > 0))[::-1]
        fpr = np.cumsum(self._normal[occupied]) / self._normal.sum()
        tpr = np.cumsum(positives[occupied]) / positives.sum()
        return np.r_[0.0, fpr], np.r_[0.0, tpr]


def pixel_auroc(maps: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> float:
    """Pixel AUROC over pairs of maps and boolean masks, taken one pair at a time (see `PixelHistograms`)."""
    return _filled(maps, masks).auroc()


def pixel_aupro(maps: Iterable[np.ndarray], masks: Iterable[np.ndarray], fpr_limit: float = 0.3) -> float:
    """AUPRO over pairs of maps and boolean masks (see `PixelHistograms`)."""
    return _filled(maps, masks).aupro(fpr_limit)


def _filled(maps: Iterable[np.ndarray], masks: Iterable[np.ndarray]) -> PixelHistograms:
    histograms = PixelHistograms()
    for one_map, one_mask in zip(maps, masks, strict=True):
        histograms.update(one_map, one_mask)
    return histograms


def _as_stack(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 3 else array[None]


def _bin_of(maps: np.ndarray) -> np.ndarray:
    """The bin of each score, int32 in [0, 2^20), non-decreasing in the score."""
    values = np.ascontiguousarray(maps, dtype=np.float32) + np.float32(0.0)  # -0.0 becomes 0.0
    if np.isnan(values).any():
        raise InputError(f"{np.isnan(values).sum()} map values are NaN")
    bits = values.view(np.uint32)
    # The usual order-preserving map of IEEE 754 numbers: flip all bits of negatives, the sign bit of the
    # others.
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return (ordered >> np.uint32(32 - _BITS)).astype(np.int32)
