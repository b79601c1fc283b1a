"""Small defects: specks as faint as the noise beside them allows, and slips of the printed pattern's outline.

Real wafers are lost to defects of a few pixels that are no stronger than what lies beside them. So contrasts follow
the noise of the neighbourhood here, not the spread of the whole image, which its pattern makes large.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from wafer_data.synthetic.blend import add
from wafer_data.synthetic.colour import painted_in_colour
from wafer_data.synthetic.pattern import blot
from wafer_data.synthetic.spots import uneven_distance
from wafer_data.synthetic.structures import Structures, draw_opacity, find_structures

_FAINTEST = 0.03
"""Of a speck, in units of grey: eight steps of 8 bits."""
_QUIET = 0.006
_INSIDE = 0.15  # a pixel belongs to a speck from this share of its contrast on
_COVERED = 0.12  # and to a slip from this share of its opacity on
_SEEN = 0.08  # a slip is where it changes the grey by that many standard deviations of the image
_KINDS = ("protrusion", "intrusion", "pinhole", "island")


@painted_in_colour()
def speck(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One to three spots, each 0.4-2 % of the shorter side in radius, anywhere; 3-15 times the noise beside them.

    Bright or dark, uneven in outline; three in ten carry a rim of the other sign.
    """
    side = min(image.shape)
    change = np.zeros(image.shape, np.float32)
    footprint = np.zeros(image.shape, bool)
    for _ in range(1 + int(rng.integers(0, 3)) * int(rng.random() < 0.3)):
        radius = side * math.exp(rng.uniform(math.log(0.004), math.log(0.02)))
        row, column = (int(rng.integers(0, length)) for length in image.shape)
        noise = _noise_at(image, row, column, int(4 * radius) + 6)
        height = rng.choice([-1.0, 1.0]) * max(
            noise * math.exp(rng.uniform(math.log(3), math.log(15))), _FAINTEST
        )
        reach = int(3 * radius) + 3
        rows = np.arange(max(0, row - reach), min(image.shape[0], row + reach + 1))
        columns = np.arange(max(0, column - reach), min(image.shape[1], column + reach + 1))
        y = (rows[:, None] - row + rng.uniform(-0.5, 0.5)).astype(np.float32)
        x = (columns[None] - column + rng.uniform(-0.5, 0.5)).astype(np.float32)
        distance = uneven_distance(x, y, rng) / np.float32(max(radius, 0.7))
        profile = np.exp(-(distance ** np.float32(rng.uniform(1.5, 6))))
        if rng.random() < 0.3:
            profile = profile - np.float32(0.5) * np.exp(-(((distance - 1.6) / 0.4) ** 2))
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        change[window] += np.float32(height) * profile
        footprint[window] |= np.abs(profile) > _INSIDE
    return add(image, change, footprint)


@painted_in_colour(own=True)
def slip(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A structure's outline gone wrong: protrusion, intrusion, pinhole or island, 0.8-5 % of the side in radius.

    The pattern's own greys where they do not belong, opaque or nearly so (`draw_opacity`); the fine noise under them
    stays. Where there is no place for it: a round blot.
    """
    structures = find_structures(image, rng)
    if structures is None:
        return blot(image, rng)
    kind = _KINDS[rng.integers(len(_KINDS))]
    radius = min(image.shape) * math.exp(rng.uniform(math.log(0.008), math.log(0.05)))
    where, radius = _places(structures.inside, kind, radius)
    found = np.flatnonzero(where)
    if not found.size:
        return blot(image, rng)
    row, column = divmod(int(rng.choice(found)), where.shape[1])
    y = np.arange(where.shape[0], dtype=np.float32)[:, None] - row
    x = np.arange(where.shape[1], dtype=np.float32)[None] - column
    distance = uneven_distance(x, y, rng) / np.float32(radius)
    alpha = np.clip((1 - distance) * np.float32(radius) + np.float32(0.5), 0, 1)
    grey = _grey_near(structures, distance, on_structure=kind in ("protrusion", "island"))
    change = structures.misprint(draw_opacity(rng) * alpha, grey)
    footprint = (alpha > _COVERED) & (np.abs(change) > _SEEN * float(image.std()))
    if not footprint.any():
        return blot(image, rng)
    return add(image, change, footprint, structures.corner)


def _noise_at(image: np.ndarray, row: int, column: int, reach: int) -> float:
    """Robust standard deviation of the fine grain around a pixel, in units of grey."""
    near = image[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
    grain = near - ndimage.uniform_filter(near, 5, mode="nearest")
    return max(1.4826 * float(np.median(np.abs(grain))), _QUIET)


def _places(inside: np.ndarray, kind: str, radius: float) -> tuple[np.ndarray, float]:
    """Where the middle of a slip may lie, and its radius: holes and islands have to fit."""
    if kind in ("protrusion", "intrusion"):
        return inside ^ ndimage.binary_erosion(inside), radius
    depth = ndimage.distance_transform_edt(inside if kind == "pinhole" else ~inside)
    if (depth > radius + 1).any():
        return depth > radius + 1, radius
    deepest = float(depth.max())
    return depth >= max(1.0, 0.7 * deepest), max(1.0, 0.6 * deepest)


def _grey_near(structures: Structures, distance: np.ndarray, on_structure: bool) -> float:
    """Median grey of the structures, or of what surrounds them, beside a place."""
    near = (distance < 4) & (structures.inside if on_structure else ~structures.inside)
    if near.sum() >= 4:
        return float(np.median(structures.smooth[near]))
    return structures.grey if on_structure else structures.surroundings
