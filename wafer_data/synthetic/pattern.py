"""Defects of the printed pattern: structures joined that should be apart, and structures that are not there.

Both find the structures in the image itself, so they suit lines, contacts, grids and grains alike. Where an
image has none (it is even, or only shaded), a small bar or blot of its own contrast takes their place.
"""

import math

import numpy as np
from scipy import ndimage

from wafer_data.synthetic.blend import add, contrast
from wafer_data.synthetic.colour import painted_in_colour
from wafer_data.synthetic.structures import Structures, draw_opacity, find_structures

_WIDEST_GAP = 0.2  # of the shorter side: structures further apart are not neighbours
_INSIDE = 0.12  # a pixel belongs to the defect from this share of its opacity on


@painted_in_colour(own=True)
def bridge(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two neighbouring structures joined: the gap between them is filled with their grey.

    The gap, 2 pixels to 20 % of the shorter side, is looked for along rows and columns, near ones preferred;
    the bridge is 0.3-1.5 times as wide as it is long (at most 8 % of the side), thinner or thicker in its
    middle, and opaque or nearly so (`draw_opacity`). The fine noise under it stays.
    """
    structures = find_structures(image, rng)
    gap = None if structures is None else _gap(structures, _WIDEST_GAP * min(image.shape), rng)
    if structures is None or gap is None:
        return _bar(image, rng)
    row, start, stop, upright = gap
    smooth = structures.smooth.T if upright else structures.smooth
    ends = [_grey_behind(smooth[row, :start][::-1], structures), _grey_behind(smooth[row, stop:], structures)]
    length = stop - start
    width = length * math.exp(rng.uniform(math.log(0.3), math.log(1.5)))
    width = min(max(width, 1.5), max(1.5, 0.08 * min(image.shape)))
    alpha = _strut(smooth.shape, row, (start - 0.5, stop - 0.5), width, rng)
    x = np.arange(smooth.shape[1], dtype=np.float32)
    grey = np.interp(x, [start, max(stop - 1, start + 1)], ends).astype(np.float32)
    fill = np.broadcast_to(grey, alpha.shape)
    if upright:
        alpha, fill = alpha.T, fill.T
    change = structures.misprint(draw_opacity(rng) * alpha, fill)
    return add(image, change, alpha > _INSIDE, structures.corner)


@painted_in_colour(own=True)
def missing_feature(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A structure, or a piece of a long one, erased: filled with the grey that surrounds it.

    Structures up to about 25 % of the shorter side vanish whole; of others a piece of 3-12 % in radius. The
    fill is opaque or nearly so (`draw_opacity`); the fine noise under it stays.
    """
    structures = find_structures(image, rng)
    if structures is None:
        return blot(image, rng)
    smooth, inside = structures.smooth, structures.inside
    side = min(image.shape)
    row, column = _inner_place(inside, rng)
    reach = math.ceil(0.15 * side) + 4
    rows = slice(max(row - reach, 0), row + reach + 1)
    columns = slice(max(column - reach, 0), column + reach + 1)
    near, smooth = inside[rows, columns], smooth[rows, columns]
    row, column = row - rows.start, column - columns.start
    labels, _ = ndimage.label(near)
    lost = labels == labels[row, column]
    if _touches_border(lost) or rng.random() < 0.2:  # too long to vanish whole
        radius = side * math.exp(rng.uniform(math.log(0.03), math.log(0.12)))
        radius = max(2.0, min(radius, *_distances_to_border(row, column, near.shape)))
        y = np.arange(near.shape[0], dtype=np.float32)[:, None] - row
        x = np.arange(near.shape[1], dtype=np.float32)[None] - column
        lost &= x * x + y * y <= radius * radius
    grown = ndimage.binary_dilation(lost, iterations=2)  # a structure's edge is a slope: take it along
    alpha = ndimage.uniform_filter(grown.astype(np.float32), 3)
    ring = ndimage.binary_dilation(grown, iterations=3) & ~near
    grey = float(np.median(smooth[ring])) if ring.sum() >= 4 else structures.surroundings
    change = structures.misprint(draw_opacity(rng) * alpha, grey, (rows, columns))
    corner = (structures.corner[0] + rows.start, structures.corner[1] + columns.start)
    return add(image, change, alpha > _INSIDE, corner)


def _inner_place(inside: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """(row, column) of a pixel on a structure, away from the window's border if there is one."""
    margin = inside.shape[0] // 5
    inner = inside[margin:-margin, margin:-margin]
    found = np.flatnonzero(inner)
    if not found.size:
        row, column = divmod(int(rng.choice(np.flatnonzero(inside))), inside.shape[1])
        return row, column
    row, column = divmod(int(rng.choice(found)), inner.shape[1])
    return row + margin, column + margin


def _distances_to_border(row: int, column: int, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    return row, column, shape[0] - 1 - row, shape[1] - 1 - column


def _gap(
    structures: Structures, longest: float, rng: np.random.Generator
) -> tuple[int, int, int, bool] | None:
    """A gap between two structures: (row, first and one past the last column); upright: rows are columns."""
    first = bool(rng.random() < 0.5)
    for upright in (first, not first):
        inside = structures.inside.T if upright else structures.inside
        steps = np.diff(inside.astype(np.int8), axis=1)
        rows, columns = np.nonzero(steps)
        falls = steps[rows, columns] < 0
        lengths = columns[1:] - columns[:-1]
        same = (rows[1:] == rows[:-1]) & falls[:-1] & ~falls[1:] & (lengths >= 2) & (lengths <= longest)
        found = np.flatnonzero(same)
        if found.size:
            odds = 1 / np.maximum(lengths[found], 0.2 * longest)  # the shortest are often noise at an edge
            chosen = found[rng.choice(found.size, p=odds / odds.sum())]
            return int(rows[chosen]), int(columns[chosen]) + 1, int(columns[chosen + 1]) + 1, upright
    return None


def _grey_behind(ray: np.ndarray, structures: Structures) -> float:
    """Grey of the structure that `ray` enters: near its border it is mixed with what lies beside it."""
    near = ray[:4]
    brighter = structures.grey > structures.surroundings
    local = float(near.max() if brighter else near.min())
    return max(local, structures.grey) if brighter else min(local, structures.grey)


def _strut(
    shape: tuple[int, ...], row: float, span: tuple[float, float], width: float, rng: np.random.Generator
) -> np.ndarray:
    """Opacity (0..1, float32 of `shape`) of a bar along `row` over the columns `span`, uneven in width."""
    middle, half = (span[0] + span[1]) / 2, (span[1] - span[0]) / 2
    x = (np.arange(shape[1], dtype=np.float32) - np.float32(middle))[None]
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(row + rng.uniform(-0.5, 0.5))
    pinch, lean = rng.uniform(-0.3, 0.5), rng.normal(0, 0.15)
    along = np.clip(x / np.float32(max(half, 1)), -1, 1)
    halfwidth = np.float32(width / 2) * (1 - np.float32(pinch) * (1 - along * along))
    across = np.clip(halfwidth + 0.5 - np.abs(y - np.float32(lean) * x), 0, 1)
    return np.asarray(across * np.clip(np.float32(half) + 1 - np.abs(x), 0, 1), dtype=np.float32)


def _touches_border(region: np.ndarray) -> bool:
    return bool(region[[0, -1]].any() or region[:, [0, -1]].any())


def _bar(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What stands for a bridge where there is nothing to join: a short bar, upright or lying."""
    side = min(image.shape)
    length = max(3.0, side * math.exp(rng.uniform(math.log(0.03), math.log(0.15))))
    width = max(1.5, length * rng.uniform(0.2, 0.8))
    row, middle = rng.uniform(0.1, 0.9, 2) * (side - 1)
    alpha = _strut((side, side), row, (middle - length / 2, middle + length / 2), width, rng)
    alpha = alpha.T if rng.random() < 0.5 else alpha
    return _paint(image, alpha, rng)


def blot(image: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """What stands for a missing feature where there is no feature: a round blot."""
    side = min(image.shape)
    radius = max(1.5, side * math.exp(rng.uniform(math.log(0.02), math.log(0.08))))
    row, column = rng.uniform(0.1, 0.9, 2) * (side - 1)
    y = np.arange(side, dtype=np.float32)[:, None] - np.float32(row)
    x = np.arange(side, dtype=np.float32)[None] - np.float32(column)
    return _paint(image, np.clip(np.float32(radius + 0.5) - np.sqrt(x * x + y * y), 0, 1), rng)


def _paint(image: np.ndarray, alpha: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    corner = tuple(
        int(rng.integers(0, whole - part + 1)) for whole, part in zip(image.shape, alpha.shape, strict=True)
    )
    height = rng.choice([-1.0, 1.0]) * contrast(image, rng)
    return add(image, np.float32(height) * alpha, alpha > _INSIDE, (corner[0], corner[1]))
