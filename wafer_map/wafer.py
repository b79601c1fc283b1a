"""One wafer as a map: which dies were inspected, and which have a defect."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wafer_data.errors import DataError
from wafer_map.klarf.model import Defect, WaferResult
from wafer_map.signature_features import BAD, GOOD, OFF

LARGEST_SIDE = 4096


@dataclass(frozen=True)
class WaferMap:
    """The inspected dies of a wafer.

    Attributes:
        dies: (column, row) of every inspected die; rows count upwards.
        bad: whether each has a defect.
        pitch: width and height of a die, any unit.
    """

    dies: tuple[tuple[int, int], ...]
    bad: tuple[bool, ...]
    pitch: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if len(self.dies) != len(self.bad) or not self.dies:
            raise DataError(
                f"a wafer map needs dies, each good or bad; got {len(self.dies)} and {len(self.bad)}"
            )
        if len(set(self.dies)) != len(self.dies):
            raise DataError("a wafer map holds a die twice")
        if not all(0 < side < math.inf for side in self.pitch):
            raise DataError(f"the pitch of the dies must be positive, got {self.pitch}")
        columns, rows = zip(*self.dies, strict=True)
        if max(max(columns) - min(columns), max(rows) - min(rows)) >= LARGEST_SIDE:
            raise DataError(f"a wafer map of more than {LARGEST_SIDE} dies across: damaged die indices")

    @property
    def positions(self) -> np.ndarray:
        """Centres of the dies on the unit disc, float (n, 2): the outermost die lies at distance 1."""
        place = np.asarray(self.dies, dtype=float) * self.pitch
        place -= (place.max(axis=0) + place.min(axis=0)) / 2
        far = float(np.hypot(place[:, 0], place[:, 1]).max())
        return place / far if far > 0 else place

    def grid(self) -> np.ndarray:
        """int8 (rows, columns), the top row first: OFF, GOOD or BAD."""
        dies = np.asarray(self.dies)
        low, high = dies.min(axis=0), dies.max(axis=0)
        grid = np.full((high[1] - low[1] + 1, high[0] - low[0] + 1), OFF, dtype=np.int8)
        grid[high[1] - dies[:, 1], dies[:, 0] - low[0]] = np.where(self.bad, BAD, GOOD)
        return grid

    @classmethod
    def from_grid(cls, grid: np.ndarray) -> WaferMap:
        """The map of such a grid; what is neither GOOD nor BAD was not inspected."""
        rows, columns = np.nonzero((grid == GOOD) | (grid == BAD))
        top = grid.shape[0] - 1
        dies = tuple((int(column), int(top - row)) for row, column in zip(rows, columns, strict=True))
        return cls(dies, tuple(bool(value) for value in grid[rows, columns] == BAD))

    @classmethod
    def from_klarf(cls, wafer: WaferResult, counts: Callable[[Defect], bool] = lambda _: True) -> WaferMap:
        """The map of a KLARF wafer.

        Args:
            wafer: its sample plan says which dies were inspected; without one, all that lie on the wafer.
            counts: which defects make a die bad.

        Returns:
            The map. Dies with a defect outside the plan were evidently inspected, too.

        Raises:
            DataError: neither a plan, nor pitch, centre and diameter, nor a defect with a die is known.
        """
        hit = {
            (d.x_index, d.y_index)
            for d in wafer.defects
            if d.x_index is not None and d.y_index is not None and counts(d)
        }
        seen = {
            (d.x_index, d.y_index) for d in wafer.defects if d.x_index is not None and d.y_index is not None
        }
        dies = list(dict.fromkeys([*(wafer.plan or dies_on_wafer(wafer)), *sorted(seen)]))
        if not dies:
            raise DataError(f"wafer {wafer.wafer}: no die is known to have been inspected")
        pitch = wafer.die_pitch or (1.0, 1.0)
        return cls(
            tuple(dies), tuple(die in hit for die in dies), (abs(pitch[0]) or 1.0, abs(pitch[1]) or 1.0)
        )


def dies_on_wafer(wafer: WaferResult) -> Sequence[tuple[int, int]]:
    """All whole dies of a KLARF wafer, from its pitch, centre and diameter; none where these are not known."""
    if wafer.die_pitch is None or wafer.center is None or not wafer.diameter or min(wafer.die_pitch) <= 0:
        return []
    (width, height), (x, y), radius = wafer.die_pitch, wafer.center, wafer.diameter / 2
    if radius / min(width, height) > LARGEST_SIDE:
        return []
    found = []
    for column in range(math.floor((x - radius) / width), math.ceil((x + radius) / width) + 1):
        for row in range(math.floor((y - radius) / height), math.ceil((y + radius) / height) + 1):
            corners = [
                math.hypot((column + i) * width - x, (row + j) * height - y) for i in (0, 1) for j in (0, 1)
            ]
            if max(corners) <= radius:
                found.append((column, row))
    return found
