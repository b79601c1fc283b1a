"""What a defect looks like, as one vector: from what the full student computed already, pooled at the defect.

numpy only: this runs on the inspection tool, for flagged images, in about a tenth of a millisecond. A backbone's look
at a crop (`classify.crops`) takes longer and tells types better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from wafer_data.imaging.planes import luminance

Cells = tuple[np.ndarray, np.ndarray]
"""Row and column of each cell of a defect on the heat map, the highest first, int (n,) each."""
BY_CELLS, BY_CROPS = 2, 3
"""Numbers of the ways to measure a defect: this module's, and that of `classify.crops`. Others are refused."""
TOP_CELLS = 20
"""Cells of the heat map at which a defect is looked at: its highest ones."""
_SIDE = 32
_LEVELS = (0.02, 0.25, 0.5, 0.75, 0.98)
_TINY = 1e-3


@dataclass(frozen=True)
class Seen:
    """An image as the full student saw it.

    Attributes:
        image: The model input, float32 (S, S) in [0, 1], S >= 64.
        heat: Heat map (h, w), >= 0.
        latent: (k,).
        cells: The trunk's activations, float32 (c, m, m) each, the finest first (`StudentOutput.cells`); empty for a
            graph that does not give them.
    """

    image: np.ndarray
    heat: np.ndarray
    latent: np.ndarray
    cells: tuple[np.ndarray, ...] = ()


def measure(seen: Seen, defects: Sequence[Cells], reference: float) -> np.ndarray:
    """The features of the defects of an image.

    Of each defect its geometry, the grey levels of a crop around its peak, and the mean and maximum of the trunk's
    channels at its highest cells. Of the image the mean, spread and maximum of every channel. The latent, which is
    nearly a name of the part that is shown, takes the channels' place only where the graph does not give them.

    Args:
        seen: The image.
        defects: Row and column on the heat map of each defect's cells, the highest first
            (`wafer_map.geometry.find_regions`).
        reference: The model's `map_reference`, > 0.

    Returns:
        float32 (n, f), finite where the inputs are.
    """
    shared = _of_image(seen.cells) if seen.cells else np.asarray(seen.latent, dtype=np.float32)
    height, width = seen.heat.shape
    rows = []
    for row, column in defects:
        parts = [_geometry(seen.heat, row, column, reference), _grey(seen, row[0], column[0]), shared]
        row, column = row[:TOP_CELLS], column[:TOP_CELLS]
        for plane in seen.cells:
            at = plane[:, row * plane.shape[1] // height, column * plane.shape[2] // width]
            parts += [at @ _share(at.shape[1]), np.maximum.reduce(at, axis=1)]
        rows.append(np.concatenate(parts))
    return np.stack(rows)


def _of_image(cells: tuple[np.ndarray, ...]) -> np.ndarray:
    parts = []
    for plane in cells:
        flat = plane.reshape(len(plane), -1)
        mean = flat @ _share(flat.shape[1])  # a matrix product takes a fifth of the time of `mean`
        square = np.vecdot(flat, flat) / flat.shape[1]
        spread = np.log(np.sqrt(np.maximum(square - mean * mean, 0)) + _TINY)
        parts += [mean, spread, np.maximum.reduce(flat, axis=1)]
    return np.concatenate(parts)


@lru_cache(maxsize=256)
def _share(count: int) -> np.ndarray:
    return np.full(count, 1 / count, dtype=np.float32)


def _geometry(heat: np.ndarray, row: np.ndarray, column: np.ndarray, reference: float) -> np.ndarray:
    """Size, elongation, direction, distance from the border, height: lengths in shares of the image's side, (10,)."""
    height, width = heat.shape
    y, x = (row + 0.5) / height, (column + 0.5) / width
    my, mx = float(y.mean()), float(x.mean())
    dy, dx = y - my, x - mx
    # a cell has the variance side^2 / 12 along each axis
    yy, xx = float(dy @ dy) / len(y) + 1 / 12 / height**2, float(dx @ dx) / len(x) + 1 / 12 / width**2
    xy = float(dy @ dx) / len(y)
    middle, spread = (yy + xx) / 2, math.hypot((xx - yy) / 2, xy)
    long, short = math.sqrt(middle + spread), math.sqrt(max(middle - spread, 0.0))
    border = min(y.min(), x.min(), 1 - y.max(), 1 - x.max())
    return np.array(
        [
            math.log(len(y) / heat.size), math.log(long + _TINY), math.log(short + _TINY),
            (long - short) / (long + short + _TINY),
            # a mirrored defect is the same defect, a turned one need not be
            (xx - yy) / (2 * middle + 1e-9), abs(xy) / (middle + 1e-9),
            min(my, 1 - my), min(mx, 1 - mx), border, math.log(float(heat[row[0], column[0]]) / reference + _TINY),
        ],
        dtype=np.float32,
    )  # fmt: skip


def _grey(seen: Seen, row: int, column: int) -> np.ndarray:
    """Grey levels of a crop around the peak, from the image's mean, and how pixels differ from their neighbours."""
    image, heat = luminance(seen.image), seen.heat
    coarse = image[::8, ::8]
    mean = float(coarse.mean())
    top = int((row + 0.5) * image.shape[0] / heat.shape[0]) - _SIDE // 2
    left = int((column + 0.5) * image.shape[1] / heat.shape[1]) - _SIDE // 2
    top, left = min(max(top, 0), image.shape[0] - _SIDE), min(max(left, 0), image.shape[1] - _SIDE)
    crop = image[top : top + _SIDE, left : left + _SIDE]
    ordered = np.sort(crop, axis=None)
    levels = ordered[[int(share * (ordered.size - 1)) for share in _LEVELS]] - mean
    across, down = (crop[:, 1:] - crop[:, :-1]).ravel(), (crop[1:] - crop[:-1]).ravel()
    steep = [math.log(float(step @ step) / step.size + 1e-6) for step in (across, down)]
    coarse = coarse.ravel()
    spread = math.sqrt(max(float(coarse @ coarse) / coarse.size - mean * mean, 0.0))
    return np.concatenate([levels, np.array([*steep, mean, spread], np.float32)])
