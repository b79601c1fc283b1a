"""PCA reconstruction error: what the leading directions of normal images cannot explain is anomalous."""

from collections.abc import Iterable

import numpy as np
from sklearn.decomposition import PCA

from eval.baselines.base import shrunk, stacked


class PcaBaseline:
    """Scores an image by the mean squared error of its reconstruction; the map is the squared error."""

    def __init__(self, mean: np.ndarray, directions: np.ndarray, size: int) -> None:
        """mean: (size * size,).

        Args:
            directions: (k, size * size), orthonormal, the one with most variance first.
        """
        self._mean = mean.astype(np.float32)
        self._directions = directions.astype(np.float32)
        self.components = len(directions)
        self.input_size = size
        self.parameter_count = self._mean.size + self._directions.size

    def with_components(self, components: int) -> "PcaBaseline":
        """The same with its first `components` directions only, at most `self.components`."""
        return PcaBaseline(self._mean, self._directions[:components], self.input_size)

    def scores(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (B,) and maps (B, size, size) of images (B, 1, S, S) in [0, 1]."""
        centred = shrunk(images, self.input_size).reshape(len(images), -1) - self._mean
        error = (centred - centred @ self._directions.T @ self._directions) ** 2
        return error.mean(axis=1), error.reshape(len(images), self.input_size, self.input_size)


def fit_pca(
    normals: Iterable[np.ndarray], components: int = 50, size: int = 64, seed: int = 0
) -> PcaBaseline:
    """Fit on batches of normal images (B, 1, S, S) in [0, 1], shrunk to `size` px as they arrive.

    Keeps at most one component fewer than there are images. Raises `InputError` for fewer than 3 images.
    """
    rows = stacked((shrunk(batch, size).reshape(len(batch), -1) for batch in normals), minimum=3)
    kept = min(components, len(rows) - 1, rows.shape[1])
    pca = PCA(kept, svd_solver="randomized", random_state=seed).fit(rows)
    return PcaBaseline(pca.mean_, pca.components_, size)
