"""What a defect looks like to a backbone that sees a crop around it, and where in an image it is to look.

The highest cell of a heat map is not always on the defect: one in four of the circuits' is beside it, half of the
magnetic tiles'. So the highest few places are looked at, and the one that looks least like no defect at all is taken.

numpy only: this runs on the inspection tool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SIDE = 96
"""Of a crop, pixels of the models' input."""
VIEWS = 8
"""Mirrored and turned copies of a crop: a defect keeps its type in all of them."""
PLACES = 3
"""Of an image that are looked at for what its defect is."""
APART = 24
"""Pixels between two of them, at least."""
_NOTHING = 5
"""Places of a labelled image that may lie beside its defect and teach what no defect looks like."""

Look = Callable[[np.ndarray], np.ndarray]
"""Crops float32 (n, C, SIDE, SIDE) -> what the backbone makes of them, float32 (n, f)."""
Place = tuple[int, int]
"""Row and column of a cell of a heat map."""


class Example(NamedTuple):
    """A labelled image as a classifier of types learns from it.

    Attributes:
        views: Features of its defect and of copies of the same type, (v, f).
        offered: Those of the places among which the tool will choose, (k, f).
        nothing: Those of places beside the defect and of their copies, (m, w, f).
    """

    views: np.ndarray
    offered: np.ndarray
    nothing: np.ndarray


def peaks(heat: np.ndarray, most: int, size: int) -> list[Place]:
    """The highest cells of a heat map that are `APART`, the highest first; at most `most`, at least one.

    Args:
        heat: (h, w); a value that is not a number counts as very high.
        most: How many.
        size: Pixels of the image along a side of the map.
    """
    left = np.nan_to_num(heat.astype(np.float64), nan=np.inf, posinf=np.inf)
    rows, columns = np.ogrid[: heat.shape[0], : heat.shape[1]]
    reach = (APART * heat.shape[1] / size) ** 2
    found: list[Place] = []
    while len(found) < most and (not found or left.max() > -np.inf):
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        found.append((int(row), int(column)))
        left[(rows - row) ** 2 + (columns - column) ** 2 < reach] = -np.inf
    return found


def look_at(image: np.ndarray, heat: np.ndarray, places: Sequence[Place], look: Look) -> np.ndarray:
    """The backbone's look at places of an image's heat map, float32 (n, f)."""
    return look(np.stack([_crop(image, heat, place) for place in places]))


def example_of(
    image: np.ndarray, heat: np.ndarray, place: Place | None, mask: np.ndarray | None, look: Look
) -> Example:
    """What an image teaches whose defect is at `place`, or where its mask says.

    With a mask the defect is seen from its middle and from the highest place on it; places beside it teach what no
    defect looks like. Without one nobody knows which places are beside it.

    Args:
        image: (S, S) of grey or (C, S, S).
        heat: Its heat map (h, w).
        place: Of the defect; None: the highest cell.
        mask: Bool (S, S), or None.
        look: The backbone.
    """
    size = image.shape[-1]
    offered = peaks(heat, PLACES, size)
    first = offered[0] if place is None else place
    where, beside = [_crop(image, heat, first)], []
    if mask is not None and mask.any():
        every = peaks(heat, _NOTHING, size)
        on = [one for one in every if _touches(mask, heat, one)]
        beside = [one for one in every if one not in on]
        where = [crop_at(image, *_middle(mask)), *(_crop(image, heat, one) for one in on[:1])]
    seen = np.concatenate([look(views(crop)) for crop in where])
    if len(where) == 1:  # so that each example has the same number of views
        seen = np.concatenate([seen, seen])
    nothing = [look(views(_crop(image, heat, one))) for one in beside]
    return Example(
        seen,
        look_at(image, heat, offered, look),
        np.stack(nothing) if nothing else np.empty((0, VIEWS, seen.shape[1]), np.float32),
    )


def crop_at(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """The square of `SIDE` pixels around a place, float32 (C, SIDE, SIDE); beyond the border the image is mirrored.

    Args:
        image: (S, S) of grey or (C, S, S), S > SIDE / 2.
        row, column: The place, pixels.
    """
    planes = image if image.ndim == 3 else image[None]
    rows = _mirrored(int(row) - SIDE // 2, planes.shape[1])
    columns = _mirrored(int(column) - SIDE // 2, planes.shape[2])
    found: np.ndarray = planes[:, rows[:, None], columns]
    return found


def views(crop: np.ndarray) -> np.ndarray:
    """A crop (C, s, s) turned and mirrored, (VIEWS, C, s, s); the first is the crop itself."""
    turned = [np.rot90(crop, quarter, (1, 2)) for quarter in range(4)]
    return np.stack([*turned, *(one[..., ::-1] for one in turned)])


def _crop(image: np.ndarray, heat: np.ndarray, place: Place) -> np.ndarray:
    cell = image.shape[-1] / heat.shape[-1]
    return crop_at(image, (place[0] + 0.5) * cell, (place[1] + 0.5) * cell)


def _middle(mask: np.ndarray) -> np.ndarray:
    """Row and column of the mask's pixel nearest to its middle."""
    pixels = np.argwhere(mask)
    found: np.ndarray = pixels[np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()]
    return found


def _touches(mask: np.ndarray, heat: np.ndarray, place: Place) -> bool:
    """Whether the mask has a pixel within a third of `APART` of a place."""
    cell, reach = mask.shape[1] / heat.shape[1], APART // 3
    row, column = (int((index + 0.5) * cell) for index in place)
    return bool(mask[max(row - reach, 0) : row + reach, max(column - reach, 0) : column + reach].any())


def _mirrored(start: int, length: int) -> np.ndarray:
    """Indices of `SIDE` pixels from `start` on, those outside 0..length-1 mirrored at the border pixel."""
    index = np.abs(np.arange(start, start + SIDE))
    return np.minimum(index, 2 * (length - 1) - index)
