"""Find the structures of an image (lines, contacts, grains): what stands out from its surroundings in grey."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wafer_data.synthetic.blend import VISIBLE

_ATTEMPTS = 4
_LEAST_DIFFERENCE = 0.5  # of structures and surroundings, in standard deviations of the image
_SURROUNDS = 0.6  # a grey that covers more of the window than this is what surrounds the structures
_BINS = 64
_NOISE = 3.0  # robust standard deviations
_OPAQUE, _FAINTEST = 0.6, 0.35


@dataclass(frozen=True)
class Structures:
    """The structures in a window of an image.

    Attributes:
        corner: The window's upper left pixel.
        window: The window as it is, float32 (h, w).
        smooth: The window without its finest noise, float32 (h, w).
        inside: Bool (h, w), True on structures.
        grey, surroundings: Grey of the structures and beside them: medians away from their edges.
    """

    corner: tuple[int, int]
    window: np.ndarray
    smooth: np.ndarray
    inside: np.ndarray
    grey: float
    surroundings: float

    def misprint(
        self,
        alpha: np.ndarray,
        grey: np.ndarray | float,
        place: tuple[slice, ...] = (slice(None), slice(None)),
    ) -> np.ndarray:
        """What to add for `grey` to show through the opacity `alpha`, float32 (h, w) of `place` in the window.

        The fine noise stays. An edge is no noise, though it is what smoothing takes away, too: noise is kept up to
        three robust standard deviations, else the old outline would stand in the new grey like a ghost.
        """
        noise = self.window - self.smooth
        most = np.float32(_NOISE * 1.4826 * float(np.median(np.abs(noise))))
        fill = np.asarray(grey, np.float32) + np.clip(noise[place], -most, most)
        return np.asarray(alpha * (fill - self.window[place]), dtype=np.float32)


def find_structures(image: np.ndarray, rng: np.random.Generator) -> Structures | None:
    """Structures in a random window of 35-60 % of the shorter side: bright or dark, whichever covers less.

    Where both cover 40-60 % of the window either is taken, by chance.

    The window is divided in two by Otsu's threshold ("A threshold selection method from gray-level
    histograms", 1979) after a 3 x 3 mean. None where a few windows show no two greys that differ by half a
    standard deviation of the image and by a visible step: then there is nothing that could be called one.
    """
    side = min(image.shape)
    span = int(np.clip(side * rng.uniform(0.35, 0.6), min(24, side), side))
    least = max(_LEAST_DIFFERENCE * float(image.std()), VISIBLE)
    for _ in range(_ATTEMPTS):
        top, left = (int(rng.integers(0, length - span + 1)) for length in image.shape)
        window = image[top : top + span, left : left + span].astype(np.float32)
        smooth = ndimage.uniform_filter(window, 3, mode="nearest")
        bright = smooth > _otsu(smooth)
        if not bright.any() or bright.all():
            continue
        light, dark = _grey_of(smooth, bright), _grey_of(smooth, ~bright)
        if light - dark < least:
            continue
        share = bright.mean()
        if share < _SURROUNDS and (share <= 1 - _SURROUNDS or rng.random() < 0.5):
            return Structures((top, left), window, smooth, bright, light, dark)
        return Structures((top, left), window, smooth, ~bright, dark, light)
    return None


def draw_opacity(rng: np.random.Generator) -> np.float32:
    """Of a misprint: six of ten are as opaque as the pattern itself, the others 35-100 % (log-uniform)."""
    if rng.random() < _OPAQUE:
        return np.float32(1)
    return np.float32(math.exp(rng.uniform(math.log(_FAINTEST), 0)))


def _grey_of(smooth: np.ndarray, region: np.ndarray) -> float:
    """Median grey of a region away from its edges, where smoothing has mixed it with what lies beside it."""
    inner = ndimage.binary_erosion(region)
    return float(np.median(smooth[inner if inner.any() else region]))


def _otsu(values: np.ndarray) -> float:
    """The threshold that divides `values` into two classes with the largest variance between them."""
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-6:
        return high
    steps = ((values - low) * ((_BINS - 1e-3) / (high - low))).astype(np.intp)
    counts = np.bincount(steps.ravel(), minlength=_BINS)[:_BINS].astype(float)
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * np.arange(_BINS))
    gap = sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)
    best = int(np.argmax(below * above * gap * gap))
    return low + (best + 1) * (high - low) / _BINS
