"""Critical areas of a die: boxes, or a mask image of the layout."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from wafer_data.errors import InputError
from wafer_data.imaging.read import UnreadableImage, read_grey

MOST_PIXELS = 64_000_000
_HALF_OF_WHITE = {"uint8": 128, "uint16": 32_768, "float32": 0.5}


class Area(Protocol):
    """A part of the die."""

    def touches(self, x: float, y: float, reach: float) -> bool:
        """Whether something that reaches so far around (x, y) touches it.

        Args:
            x, y: micrometres from the die's lower left corner, y up. reach: micrometres, >= 0.
        """
        ...


@dataclass(frozen=True)
class Boxes:
    """Boxes (left, bottom, right, top) in micrometres from the die's lower left corner."""

    boxes: tuple[tuple[float, float, float, float], ...]

    def touches(self, x: float, y: float, reach: float) -> bool:
        """See `Area.touches`."""
        return any(
            left - reach <= x <= right + reach and bottom - reach <= y <= top + reach
            for left, bottom, right, top in self.boxes
        )


@dataclass(frozen=True, eq=False)
class AreaMask:
    """A picture of the die in which the critical parts are bright; what lies outside of it is not critical.

    Attributes:
        critical: bool (rows, columns), the first row at the die's top, its lower left corner the die's.
        pixel_um: side of a pixel in micrometres, > 0.
    """

    critical: np.ndarray
    pixel_um: float

    def touches(self, x: float, y: float, reach: float) -> bool:
        """See `Area.touches`; the reach is that of a square."""
        rows, columns = self.critical.shape
        left, right = ((x + side) / self.pixel_um for side in (-reach, reach))
        top, bottom = (rows - (y + side) / self.pixel_um for side in (reach, -reach))
        inside = self.critical[
            _pixel(top, rows) : _pixel(bottom, rows, last=True),
            _pixel(left, columns) : _pixel(right, columns, last=True),
        ]
        return bool(inside.any())


def read_mask(path: Path, pixel_um: float) -> AreaMask:
    """A mask from an image file of any depth: grey levels of at least half of white are critical.

    Raises:
        InputError: The file cannot be read, or has more than 64 million pixels.
    """
    try:
        grey = read_grey(path, max_pixels=MOST_PIXELS, min_side=1)
    except UnreadableImage as error:
        raise InputError(f"{path}: the mask of a critical area cannot be read ({error.reason})") from error
    return AreaMask(grey >= _HALF_OF_WHITE[grey.dtype.name], pixel_um)


def _pixel(place: float, count: int, *, last: bool = False) -> int:
    """The first pixel at a place, or the one after the last; never outside."""
    at = math.floor(place) + 1 if last else math.floor(place)
    return min(max(at, 0), count)
