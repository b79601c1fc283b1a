"""Gradient noise: smooth random fields without a visible grid."""

import math

import numpy as np


def smooth_noise(shape: tuple[int, ...], period: float, rng: np.random.Generator) -> np.ndarray:
    """Perlin noise (Perlin, "An image synthesizer", 1985; "Improving noise", 2002) as float32 of `shape`.

    Values lie within [-1, 1] with mean near 0; `period` is the distance of lattice points in pixels. Each
    lattice point has a random unit gradient; a pixel's value is the smoothly weighted mean of the linear
    functions that the four gradients around it define, times sqrt(2), the inverse of its largest value.
    """
    height, width = shape
    offsets = rng.uniform(0, 1, 2).astype(np.float32)  # the lattice does not start at the image's corner
    y = np.arange(height, dtype=np.float32) / np.float32(period) + offsets[0]
    x = np.arange(width, dtype=np.float32) / np.float32(period) + offsets[1]
    row, column = y.astype(np.intp), x.astype(np.intp)  # y and x are positive: this is the floor
    angles = rng.uniform(0, math.tau, (row[-1] + 2, column[-1] + 2)).astype(np.float32)
    fy, fx = y - np.floor(y), x - np.floor(x)
    sy, sx = _fade(fy)[:, None], _fade(fx)[None]

    # Along a row everything is linear in the row's position: work column by column on the few lattice rows
    # first, which costs (lattice rows x width) instead of (height x width).
    slope_x, slope_y = np.cos(angles), np.sin(angles)
    left, right = column, column + 1
    value = (1 - sx) * slope_x[:, left] * fx + sx * slope_x[:, right] * (fx - 1)
    slope = (1 - sx) * slope_y[:, left] + sx * slope_y[:, right]
    upper = value[row] + slope[row] * fy[:, None]
    lower = value[row + 1] + slope[row + 1] * (fy - 1)[:, None]
    return np.float32(math.sqrt(2)) * (upper + sy * (lower - upper))


def _fade(t: np.ndarray) -> np.ndarray:
    """6 t^5 - 15 t^4 + 10 t^3: first and second derivative vanish at 0 and 1 (Perlin 2002)."""
    return t * t * t * (t * (t * 6 - 15) + 10)
