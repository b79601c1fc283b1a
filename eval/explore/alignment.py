"""Do normal images show the same thing at the same place? Measured by correlating them pair by pair."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft

from wafer_data.imaging.read import to_square

SIDE = 64
"""Images are compared at this many pixels a side: enough for layout, too few for fine noise."""

PAIRS = 300
ALIGNED, PARTLY = 0.5, 0.1
"""Least mean correlation to be called aligned, and partly aligned."""

SHIFT_GAIN = 0.25
Verdict = Literal["aligned", "partly aligned", "unaligned"]


@dataclass(frozen=True)
class Alignment:
    """How alike normals are.

    Attributes:
        images: How many.
        correlation: Mean over all pairs, in [-1, 1]; the share of the images' contrast (variance around their
            own mean) that all have in common, the rest being each image's own.
        pair_quartiles: Of the correlation over `pairs` random pairs.
        shifted_correlation: Mean over these pairs of the best correlation under any shift (round the edges).
        shift_px: Median length of that shift, in pixels of the stored images.
        same_but_shifted: Whether a shift would align what is not aligned.
    """

    images: int
    correlation: float
    verdict: Verdict
    pairs: int
    pair_quartiles: tuple[float, float, float]
    shifted_correlation: float
    shift_px: float
    same_but_shifted: bool


class AlignmentSums:
    """Collects images at 64 px; 16 KiB an image."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: list[np.ndarray] = []

    def add(self, _index: int, grey: np.ndarray) -> None:
        """Count one image (S, S) in [0, 1]; one without any contrast at 64 px is passed over."""
        small = to_square(grey, SIDE).astype(np.float32)
        small -= small.mean()
        length = float(np.linalg.norm(small))
        if length > 1e-6:
            self._rows.append(small / length)

    def measure(self, rng: np.random.Generator) -> Alignment:
        """Needs two images with contrast; with fewer all correlations are 0."""
        count = len(self._rows)
        if count < 2:
            return Alignment(count, 0.0, "unaligned", 0, (0.0, 0.0, 0.0), 0.0, 0.0, False)
        images = np.stack(self._rows)
        # The squared length of a sum of unit vectors is their number plus twice the sum of all correlations.
        together = float(np.sum(np.sum(images, axis=0, dtype=np.float64) ** 2))
        correlation = (together - count) / (count * (count - 1))
        first = rng.integers(0, count, PAIRS)
        second = (first + rng.integers(1, count, PAIRS)) % count
        still = np.einsum("nij,nij->n", images[first], images[second])
        best, lengths = _best_shifts(images[first], images[second])
        verdict: Verdict = (
            "aligned"
            if correlation >= ALIGNED
            else "partly aligned"
            if correlation >= PARTLY
            else "unaligned"
        )
        shifted = float(best.mean())
        quartiles = np.quantile(still, [0.25, 0.5, 0.75])
        return Alignment(
            images=count,
            correlation=correlation,
            verdict=verdict,
            pairs=PAIRS,
            pair_quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
            shifted_correlation=shifted,
            shift_px=float(np.median(lengths)) * self._size / SIDE,
            same_but_shifted=verdict != "aligned" and shifted >= max(ALIGNED, correlation + SHIFT_GAIN),
        )


def _best_shifts(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best correlation of each pair over all shifts round the edges, and that shift's length in pixels."""
    products = scipy.fft.rfft2(first) * np.conj(scipy.fft.rfft2(second))
    found = scipy.fft.irfft2(products, (SIDE, SIDE)).reshape(len(first), -1)
    places = found.argmax(axis=1)
    down, right = np.divmod(places, SIDE)
    down, right = np.minimum(down, SIDE - down), np.minimum(right, SIDE - right)
    return found[np.arange(len(found)), places], np.hypot(down, right)
