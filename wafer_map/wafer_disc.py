"""The wafer under its dies, where a list gives its centre and diameter: which dies are whole, and how far out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wafer_map.klarf.model import WaferResult

LARGEST_SIDE = 4096


@dataclass(frozen=True)
class WaferDisc:
    """A wafer and the grid of its dies; all lengths in one unit.

    Attributes:
        center: (x, y) of the wafer's centre, seen from the lower left corner of die (0, 0).
        radius: of the wafer.
        pitch: width and height of a die, positive.
    """

    center: tuple[float, float]
    radius: float
    pitch: tuple[float, float]

    @classmethod
    def from_klarf(cls, wafer: WaferResult) -> WaferDisc | None:
        """That of a KLARF wafer, in micrometres; None where its pitch, centre or diameter is not known.

        Die (0, 0) begins at DieOrigin, as in `WaferResult.position`.
        """
        if wafer.die_pitch is None or wafer.center is None or not wafer.diameter:
            return None
        radius = wafer.diameter / 2
        if min(wafer.die_pitch) <= 0 or radius <= 0 or radius / min(wafer.die_pitch) > LARGEST_SIDE:
            return None
        x, y = wafer.die_origin or (0.0, 0.0)
        return cls((wafer.center[0] - x, wafer.center[1] - y), radius, wafer.die_pitch)

    def whole_dies(self) -> list[tuple[int, int]]:
        """(column, row) of every die that lies on the wafer as a whole, column by column."""
        return [(column, row) for column, low, high in self._columns() for row in range(low, high + 1)]

    @cached_property
    def reach(self) -> float:
        """Distance from the wafer's centre to the centre of the outermost whole die; 0 where no die is whole."""
        ends = [(column, row) for column, *both in self._columns() for row in both]
        return float(np.hypot(*self.centers(np.asarray(ends)).T).max()) if ends else 0.0

    def centers(self, dies: np.ndarray) -> np.ndarray:
        """Centres of dies seen from the wafer's centre, float (n, 2); `dies` is int (n, 2) of columns and rows."""
        return (dies + 0.5) * self.pitch - self.center

    def touches_all(self, dies: np.ndarray) -> bool:
        """Whether a part of each die, int (n, 2), lies on the wafer."""
        nearest = np.maximum(np.abs(self.centers(dies)) - np.asarray(self.pitch) / 2, 0.0)
        return bool((np.hypot(nearest[:, 0], nearest[:, 1]) <= self.radius).all())

    def _columns(self) -> Iterator[tuple[int, int, int]]:
        """(column, lowest row, highest row) of the whole dies."""
        (width, height), (x, y), radius = self.pitch, self.center, self.radius
        rows = np.arange(math.floor((y - radius) / height), math.ceil((y + radius) / height) + 1)
        far = np.maximum(np.abs(rows * height - y), np.abs((rows + 1) * height - y))
        for column in range(math.floor((x - radius) / width), math.ceil((x + radius) / width) + 1):
            aside = max(abs(column * width - x), abs((column + 1) * width - x))
            whole = rows[np.hypot(aside, far) <= radius]
            if len(whole):
                yield column, int(whole[0]), int(whole[-1])
