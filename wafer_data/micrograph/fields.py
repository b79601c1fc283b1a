"""Random fields of a micrograph: correlated edge displacement and uneven illumination.

Elementwise numpy and scipy.ndimage only: matrix products would make the last bits, and so the images, depend
on the number of threads.
"""

import math
from functools import lru_cache

import numpy as np
from scipy import ndimage

_GRID_SIGMA = 2.0  # width of the smoothing kernel in steps of the coarse grid
_SPLINE_VARIANCE = 1 / 3  # of the cubic B-spline, in squared steps


def correlated_field(size: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian random field of unit variance, float32 (size, size), with R(d) = exp(-(d / length)^2).

    White noise on a coarse grid, smoothed by a Gaussian there and interpolated by cubic B-splines, which
    together make a Gaussian kernel of standard deviation s = length / 2 pixels: the autocorrelation of white
    noise smoothed by such a kernel is exp(-d^2 / (4 s^2)).
    """
    step = length / 2 / math.sqrt(_GRID_SIGMA**2 + _SPLINE_VARIANCE)  # pixels between grid points
    count = math.ceil(size / step) + 4
    grid = rng.standard_normal((count, count), dtype=np.float32)
    # "wrap" keeps the variance the same everywhere, also at the border.
    grid = ndimage.gaussian_filter(grid, _GRID_SIGMA, mode="wrap", truncate=4)
    # Variance of white noise behind a two-dimensional Gaussian kernel of variance v: 1 / (4 pi v).
    grid *= np.float32(math.sqrt(4 * math.pi * (_GRID_SIGMA**2 + _SPLINE_VARIANCE)))
    first, weights = _spline(size, step)
    rows = sum(weights[k][:, None] * grid[first + k] for k in range(4))
    field = np.zeros((size, size), dtype=np.float32)
    for k in range(4):
        field += weights[k][None] * rows[:, first + k]
    return field


def illumination(size: int, strength: float, rng: np.random.Generator) -> np.ndarray:
    """1 + a quadratic polynomial in x and y, float32 (size, size).

    `strength` is the polynomial's root mean square, averaged over images and pixels.
    """
    t = np.linspace(-1, 1, size, dtype=np.float32)
    linear, square = np.float32(math.sqrt(3)) * t, np.float32(math.sqrt(5) / 2) * (3 * t * t - 1)
    # Products of normalised Legendre polynomials: five terms of unit variance each.
    a = rng.normal(0, strength / math.sqrt(5), 5).astype(np.float32)
    along = 1 + a[0] * linear + a[1] * square
    down = a[2] * linear + a[3] * square
    return along[None] + down[:, None] + (a[4] * linear)[:, None] * linear[None]


@lru_cache(maxsize=8)
def _spline(size: int, step: float) -> tuple[np.ndarray, np.ndarray]:
    """First grid point (size,) and the four weights (4, size) of cubic B-spline interpolation."""
    place = np.arange(size) / step
    first = np.floor(place).astype(np.intp)
    t = (place - first).astype(np.float32)
    weights = np.stack(
        [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    ) / np.float32(6)
    return first, weights
