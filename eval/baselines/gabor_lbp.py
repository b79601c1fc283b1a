"""Hand-made texture features into a one-class SVM, the rule-based inspection many fabs run today.

Gabor filter energies (Jain and Farrokhnia, "Unsupervised texture segmentation using Gabor filters", Pattern
Recognition 1991) and uniform local binary patterns (Ojala et al., "Multiresolution gray-scale and rotation
invariant texture classification with local binary patterns", TPAMI 2002); the one-class SVM is Schoelkopf et
al., "Estimating the support of a high-dimensional distribution", Neural Computation 2001.
"""

from collections.abc import Iterable

import numpy as np
from scipy import fft
from skimage.feature import local_binary_pattern
from skimage.filters import gabor_kernel
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

from eval.baselines.base import shrunk, stacked

_FREQUENCIES = (0.1, 0.2, 0.4)
_ORIENTATIONS = 4
# (neighbours, radius in pixels) of the binary patterns.
_PATTERNS = ((8, 1), (16, 2))


class TextureFeatures:
    """Gabor energies (mean and standard deviation of each response) and pattern histograms of an image."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._filters = np.stack(
            [
                fft.fft2(gabor_kernel(frequency, theta=np.pi * k / _ORIENTATIONS), (size, size), workers=1)
                for frequency in _FREQUENCIES
                for k in range(_ORIENTATIONS)
            ]
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features (B, 52) of images (B, 1, S, S) in [0, 1]."""
        return np.stack([self._of_one(image) for image in shrunk(images, self.size)])

    def _of_one(self, image: np.ndarray) -> np.ndarray:
        # Without the mean, the filters' small response to a constant does not follow the brightness.
        response = np.abs(fft.ifft2(fft.fft2(image - image.mean()) * self._filters, workers=1))
        grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        histograms = []
        for neighbours, radius in _PATTERNS:
            codes = local_binary_pattern(grey, neighbours, radius, method="uniform").astype(np.int64)
            histograms.append(np.bincount(codes.ravel(), minlength=neighbours + 2) / codes.size)
        return np.concatenate([response.mean(axis=(1, 2)), response.std(axis=(1, 2)), *histograms])


class GaborLbpBaseline:
    """Scores an image by its distance outside the SVM's boundary around normal texture; it has no map."""

    def __init__(self, features: TextureFeatures, scaler: StandardScaler, svm: OneClassSVM) -> None:
        self._features, self._scaler, self._svm = features, scaler, svm
        self.input_size = features.size
        self.parameter_count = int(
            svm.support_vectors_.size + svm.dual_coef_.size + 1 + 2 * scaler.mean_.size
        )

    def scores(self, images: np.ndarray) -> tuple[np.ndarray, None]:
        """Scores (B,) of images (B, 1, S, S) in [0, 1], and None."""
        return -self._svm.decision_function(self._scaler.transform(self._features(images))), None


def fit_gabor_lbp_ocsvm(
    normals: Iterable[np.ndarray], size: int = 128, outliers: float = 0.05
) -> GaborLbpBaseline:
    """Fit on batches of normal images (B, 1, S, S) in [0, 1], looked at in `size` px.

    `outliers` (nu of the SVM) is the share of training normals left outside the boundary. Raises `InputError`
    for fewer than 10 images.
    """
    features = TextureFeatures(size)
    rows = stacked((features(batch) for batch in normals), minimum=10)
    scaler = StandardScaler().fit(rows)
    return GaborLbpBaseline(features, scaler, OneClassSVM(nu=outliers).fit(scaler.transform(rows)))
