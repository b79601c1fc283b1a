"""One wafer as a map: which dies were inspected, and which have a defect."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wafer_data.errors import DataError
from wafer_map.klarf.fill import NO_SCORE, SCORE_COLUMN
from wafer_map.klarf.model import Defect, WaferResult
from wafer_map.signature_features import BAD, GOOD, OFF
from wafer_map.wafer_disc import LARGEST_SIDE, WaferDisc

_BIN_COLUMN = "ROUGHBINNUMBER"
Die = tuple[int, int]
Counts = Callable[[Defect], bool | None]
"""Whether a defect makes its die bad; None: it was not judged."""


@dataclass(frozen=True)
class WaferMap:
    """The inspected dies of a wafer.

    Attributes:
        dies: (column, row) of every inspected die; rows count upwards.
        bad: whether each has a defect.
        pitch: width and height of a die, any unit.
        disc: the wafer that they lie on, in the unit of the pitch; None where that is not known.
        mirrored: whether columns count to the left instead of the right.
    """

    dies: tuple[tuple[int, int], ...]
    bad: tuple[bool, ...]
    pitch: tuple[float, float] = (1.0, 1.0)
    disc: WaferDisc | None = None
    mirrored: bool = False

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
    def centers(self) -> np.ndarray:
        """Centres of the dies as seen from the wafer's centre, x to the right, y up, in the unit of the pitch.

        Returns:
            float (n, 2). Of a wafer that is not known the centre is that of the box around the dies.
        """
        if self.disc is not None:
            place = self.disc.centers(np.asarray(self.dies))
        else:
            place = np.asarray(self.dies, dtype=float) * self.pitch
            place -= (place.max(axis=0) + place.min(axis=0)) / 2
        return place * (-1.0, 1.0) if self.mirrored else place

    @property
    def positions(self) -> np.ndarray:
        """Centres of the dies on the unit disc, float (n, 2).

        At distance 1 lies the outermost inspected die, or that which is whole on the wafer where it is known and lies
        farther out: a plan of a part of the wafer then has the positions that its dies have in a plan of all.
        """
        place = self.centers
        far = float(np.hypot(place[:, 0], place[:, 1]).max())
        far = far if self.disc is None else max(far, self.disc.reach)
        return place / far if far > 0 else place

    def grid(self) -> np.ndarray:
        """int8 (rows, columns), the top row and the lowest column first, also if mirrored: OFF, GOOD or BAD."""
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
    def from_klarf(cls, wafer: WaferResult, counts: Counts = lambda _: True) -> WaferMap:
        """The map of a KLARF wafer's judged dies; see `dies_of`.

        Raises:
            DataError: no die is known to have been judged, or a defect that counts lies on none.
        """
        judged = {die: bad for die, bad in dies_of(wafer, counts).items() if bad is not None}
        if not judged:
            raise DataError(f"wafer {wafer.wafer}: no die is known to have been inspected and judged")
        pitch = wafer.die_pitch or (1.0, 1.0)
        disc = WaferDisc.from_klarf(wafer)
        # A list whose dies lie beside its wafer is wrong about its centre or diameter; neither is believed then.
        if disc is not None and not disc.touches_all(np.asarray(list(judged))):
            disc = None
        return cls(
            tuple(judged),
            tuple(judged.values()),
            (abs(pitch[0]) or 1.0, abs(pitch[1]) or 1.0),
            disc,
            wafer.mirrored,
        )


def dies_of(wafer: WaferResult, counts: Counts = lambda _: True) -> Mapping[Die, bool | None]:
    """The inspected dies of a KLARF wafer: bad, good, or None where no defect counts and one was not judged.

    Args:
        wafer: its sample plan says which dies were inspected; without one, all that lie on the wafer. Dies with a
            defect outside the plan were evidently inspected, too.
        counts: which defects make a die bad.

    Raises:
        DataError: a defect that counts, or may, lies on no die.
    """
    found: dict[Die, bool | None] = dict.fromkeys(wafer.plan or dies_on_wafer(wafer), False)
    outside: dict[Die, bool | None] = {}
    for defect in wafer.defects:
        bad = counts(defect)
        if defect.x_index is None or defect.y_index is None:
            if bad is False:
                continue
            raise DataError(
                f"wafer {wafer.wafer}, defect {defect.id}: its die (XINDEX, YINDEX) is unknown, so bad dies cannot be "
                "counted"
            )
        die = (defect.x_index, defect.y_index)
        dies = found if die in found else outside
        known = dies.get(die, False)
        dies[die] = True if known or bad else None if None in (known, bad) else False
    return found | dict(sorted(outside.items()))


def counted_defects(wafer: WaferResult, bins: Collection[int] | None) -> Counts:
    """Which defects of a wafer count: all, or those with one of these ROUGHBINNUMBERs.

    By bins, a defect without a bin yet (0, or none), or without a judged image (it has no score), is not judged.

    Raises:
        DataError: bins are asked of a list that has no such column.
    """
    if bins is None:
        return lambda _: True
    if wafer.defects and _BIN_COLUMN not in (column.upper() for column in wafer.columns):
        raise DataError(
            f"wafer {wafer.wafer}: its defect list has no column {_BIN_COLUMN} to count by; leave --bins out to count "
            "every defect"
        )

    def counts(defect: Defect) -> bool | None:
        if defect.rough_bin in bins:
            return True
        return None if not defect.rough_bin or defect.values.get(SCORE_COLUMN) == NO_SCORE else False

    return counts


def dies_on_wafer(wafer: WaferResult) -> Sequence[tuple[int, int]]:
    """All whole dies of a KLARF wafer, from its pitch, origin, centre and diameter; none where these are not known."""
    disc = WaferDisc.from_klarf(wafer)
    return [] if disc is None else disc.whole_dies()
