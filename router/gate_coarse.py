"""The coarse figures of the quality gate, `profile` and `cells`, of several images of one size at a time.

A call of numpy takes as long as a few thousand pixels, and an image, shrunk four times, has no more of them: so each
step is made for all images at once. What an image is given does not depend on its neighbours, to the last bit.
"""

from __future__ import annotations

import math

import numpy as np

GRID = 8
"""Cells a side over which the coarse figures are taken."""
_BANDS = 8
_QUANTILES = [5, 16, 47, 58]  # of the ordered cells; beyond them a defect of some cells may lie
_CELL_FLOOR, _ENERGY_FLOOR = 0.02, 1e-6


def coarse_figures(
    upper: np.ndarray, lower: np.ndarray, binned: np.ndarray, count: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """`profile` and `cells` of each of n images.

    Medians over parts of the image throughout: a defect, however strong, must not look like a fault of the whole.

    Args:
        upper, lower: both halves of the bands of 4 rows, averaged over 2 x 2 pixels, (n groups, bands, columns), image
            after image: these figures take no notice of where a group of bands begins.
        binned: the bands averaged over 4 x 4 pixels, (n groups, bands, columns / 2).
        count: n.
    """
    groups, bands, width = binned.shape
    planes = np.empty((3, groups, bands, width), binned.dtype)
    planes[0] = binned
    planes[1, :, :, 0] = planes[2, :, 0] = 0
    np.subtract(binned[:, :, 1:], binned[:, :, :-1], out=planes[1, :, :, 1:])
    np.subtract(binned[:, 1:], binned[:, :-1], out=planes[2, :, 1:])
    np.multiply(planes[1:], planes[1:], out=planes[1:])
    cells = _cell_means(planes.reshape(3 * count, -1, width)).reshape(3, count, -1)
    ordered = np.sort(cells, axis=2)
    brightness, across, down = ((ordered[:, :, 31] + ordered[:, :, 32]) / 2).tolist()
    even, pairs = bands // 2 * 2, bands // 4 * 2
    coarser = halve_columns(binned[:, 0:even:2] + binned[:, 1:even:2], 0.25)
    energies = zip(
        _typical_squares(upper - lower, count),
        _typical_squares(upper[:, :, 1:] - upper[:, :, :-1], count),
        down,
        across,
        _typical_squares(coarser[:, 1:pairs:2] - coarser[:, 0:pairs:2], count),
        _typical_squares(coarser[:, :, 1:] - coarser[:, :, :-1], count),
        strict=True,
    )
    # logarithms and powers are Python's: numpy's may differ by the last bit, and limits are fitted on these
    middles = [max(value, 1e-4) for value in brightness]
    log_middles, powers = [math.log(value) for value in middles], [value**-2 for value in middles]
    profiles = []
    for log_middle, power, own, places in zip(
        log_middles, powers, energies, ordered[0].tolist(), strict=True
    ):
        profile = [log_middle]
        profile += [0.5 * math.log(energy * power + _ENERGY_FLOOR / 10) for energy in own]
        profile += [math.log(places[k] + _CELL_FLOOR) - log_middle for k in _QUANTILES]
        profiles.append(np.array(profile))
    cells[0] += np.float32(_CELL_FLOOR)
    cells[1:] *= np.array(powers, np.float32)[:, None]
    cells[1:] += np.float32(_ENERGY_FLOOR)
    logs = np.log(cells)
    logs[0] -= np.array(log_middles, np.float32)[:, None]
    logs[1:] *= np.float32(0.5)
    return profiles, list(logs.transpose(1, 0, 2).reshape(count, -1))


def halve_columns(values: np.ndarray, factor: float) -> np.ndarray:
    """Sums of neighbouring columns times `factor`; an odd last one is left out."""
    width = values.shape[-1] // 2 * 2
    return (values[..., 0:width:2] + values[..., 1:width:2]) * values.dtype.type(factor)


def _typical_squares(values: np.ndarray, count: int) -> list[float]:
    """Median over up to 8 bands of rows of the mean square in each, of each image; values (n groups, rows, columns)."""
    values = values.reshape(count, -1, values.shape[-1])
    bands = min(_BANDS, values.shape[1])
    rows = values[:, : values.shape[1] // bands * bands].reshape(count * bands, -1)
    squares = np.einsum("ij,ij->i", rows, rows).reshape(count, bands).tolist()
    low, high = (bands - 1) // 2, bands // 2
    return [(own[low] + own[high]) / (2 * rows.shape[1]) for own in map(sorted, squares)]


def _cell_means(planes: np.ndarray) -> np.ndarray:
    """Means of planes (n, h, w) over GRID x GRID equal cells, (n, GRID, GRID); the rest beyond them is left out."""
    count, (height, width) = len(planes), (side // GRID for side in planes.shape[1:])
    rows = planes[:, : height * GRID, : width * GRID].reshape(count * GRID, height, width * GRID)
    sums = np.add.reduce(np.add.reduce(rows, axis=1).reshape(count * GRID, GRID, width), axis=2)
    return (sums * planes.dtype.type(1 / (height * width))).reshape(count, GRID, GRID)
