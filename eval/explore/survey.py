"""One pass over a group of images: every image is read once and shown to all who measure something."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eval.explore.statistics import image_statistics
from wafer_data.progress import track
from wafer_data.store import ImageStore


@dataclass(frozen=True)
class Survey:
    """What every group is measured for."""

    levels: np.ndarray
    """int64 (256,) or (65536,): number of pixels at each grey level of the store."""
    statistics: np.ndarray
    """float64 (images, 8), see `STATISTICS`."""


def survey(
    store: ImageStore, indices: np.ndarray, what: str, *listeners: Callable[[int, np.ndarray], None]
) -> Survey:
    """Read the images once, with progress; each listener is given the index and the image (S, S) in [0, 1]."""
    levels = np.zeros(level_count(store), np.int64)
    rows = []
    for index in track(indices, what):
        grey = store.grey(int(index))
        levels += count_levels(grey, len(levels))
        rows.append(image_statistics(grey))
        for listener in listeners:
            listener(int(index), grey)
    return Survey(levels, np.array(rows).reshape(len(rows), -1))


def level_count(store: ImageStore) -> int:
    """Number of grey levels the store can hold: 256 or 65536."""
    return 1 << (8 * store.dtype.itemsize)


def count_levels(grey: np.ndarray, levels: int) -> np.ndarray:
    """Number of pixels at each of `levels` grey levels, int64 (levels,), for intensities in [0, 1]."""
    places = np.rint(grey.ravel() * np.float32(levels - 1)).astype(np.int64)
    return np.bincount(places, minlength=levels)


class MeanImage:
    """Mean and standard deviation of each pixel over images of one size, in one pass.

    Welford, "Note on a method for calculating corrected sums of squares and products", Technometrics 1962.
    """

    def __init__(self, size: int) -> None:
        self.count = 0
        self.mean = np.zeros((size, size))
        self._squares = np.zeros((size, size))

    def add(self, _index: int, grey: np.ndarray) -> None:
        """Count one image (S, S)."""
        self.count += 1
        change = grey - self.mean
        self.mean += change / self.count
        self._squares += change * (grey - self.mean)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation over the images, (S, S); zero for a single image."""
        return np.sqrt(self._squares / max(1, self.count - 1))
