"""Which images each bootstrap resample holds, as counts, in blocks of bounded size."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from wafer_data.errors import InputError

# Numbers a block may hold for each class: 16 MB as int64.
_BLOCK = 2_000_000


def resample_counts(
    first: int, second: int, draws: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each member of two groups of `first` and `second` images is drawn: blocks (b, first), (b, second).

    The blocks hold `draws` rows in all, int64. Each group is drawn with replacement apart from the other and in its
    own number, so every resample has both in their true proportion. The rows depend on the sizes, `draws` and
    `seed` alone: two models on the same images meet the same resamples, which is what pairs them.
    """
    generators = [np.random.default_rng([seed, group]) for group in (0, 1)]
    rows = max(1, min(draws, _BLOCK // max(first, second, 1)))
    for start in range(0, draws, rows):
        block = min(rows, draws - start)
        counts = [
            _counts(generator, size, block)
            for generator, size in zip(generators, (first, second), strict=True)
        ]
        yield counts[0], counts[1]


def positions_by_class(labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Where the normals and where the defects stand. Raises `InputError` when either is missing."""
    classes = np.asarray(labels)
    normal, defect = np.flatnonzero(classes == 0), np.flatnonzero(classes == 1)
    if len(normal) == 0 or len(defect) == 0:
        raise InputError(
            f"a bootstrap interval needs normal and defective images, and there are {len(normal)} and {len(defect)}"
        )
    return normal, defect


def _counts(generator: np.random.Generator, size: int, rows: int) -> np.ndarray:
    if size == 0:
        return np.zeros((rows, 0), dtype=np.int64)
    drawn = generator.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
