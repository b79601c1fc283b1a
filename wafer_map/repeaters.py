"""Defects that repeat: at the same place of every die or exposure field, and with the same tool or slot.

A repeater's p-value is against as many defects strewn evenly over the field: how often does chance put one within the
tolerance on as many fields? Commonality asks whether the wafers of one tool, chamber or slot are worse than the others,
against permutations of the wafers; both are corrected for having looked everywhere. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wafer_data.errors import DataError

LEAST_TOLERANCE_UM = 1e-3
"""A nanometre: no stage is as exact, and cells much smaller could not be counted."""


@dataclass(frozen=True)
class Point:
    """One defect.

    Attributes:
        wafer: Its name.
        die: (column, row).
        on_die: (x, y) from the die's lower left corner, micrometres.
    """

    wafer: str
    die: tuple[int, int]
    on_die: tuple[float, float]


@dataclass(frozen=True)
class Repeater:
    """Defects at one place of many fields.

    Attributes:
        place: (x, y) from the field's lower left corner, micrometres. fields: on how many fields there is one.
        wafers: names of the wafers, sorted. p: chance that evenly strewn defects meet on as many fields anywhere.
        points: places in the list that was given.
        points_to: "reticle" if it is on several wafers, else "wafer"; a die's place that repeats within an exposure
            field of several dies is the design or a process step, not the reticle: "die".
    """

    place: tuple[float, float]
    fields: int
    wafers: tuple[str, ...]
    p: float
    points: tuple[int, ...]
    points_to: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            **vars(self),
            "place": list(self.place),
            "wafers": list(self.wafers),
            "points": list(self.points),
        }


def find_repeaters(
    points: Sequence[Point],
    die_um: tuple[float, float],
    *,
    reticle: tuple[int, int] = (1, 1),
    reticle_origin: tuple[int, int] = (0, 0),
    tolerance_um: float = 20.0,
    level: float = 0.01,
    permutations: int = 199,
    seed: int = 0,
) -> list[Repeater]:
    """Find places of the exposure field where defects repeat.

    Args:
        points: defects of one or more wafers. die_um: width and height of a die.
        reticle: dies of an exposure field, (columns, rows). reticle_origin: a die at a field's lower left corner.
        tolerance_um: defects this far apart, or nearer, may be the same.
        level: largest p. permutations: at least 1 / level - 1. seed: of them.

    Returns:
        Those with p <= level, on most fields first.

    Raises:
        DataError: impossible sizes or places, or too few permutations.
    """
    if min(die_um) <= 0 or min(reticle) < 1:
        raise DataError(f"die {die_um} and reticle {reticle} must be positive")
    if tolerance_um < LEAST_TOLERANCE_UM:
        raise DataError(f"tolerance {tolerance_um:g} must be at least {LEAST_TOLERANCE_UM:g} um")
    if permutations + 1 < 1 / level:
        raise DataError(
            f"level {level} needs at least {round(1 / level) - 1} permutations, got {permutations}"
        )
    if len(points) < 2:
        return []
    dies = np.array([p.die for p in points]) - reticle_origin
    names = {name: i for i, name in enumerate(dict.fromkeys(p.wafer for p in points))}
    wafer = np.array([names[p.wafer] for p in points])
    field = np.stack([wafer, dies[:, 0] // reticle[0], dies[:, 1] // reticle[1]], axis=1)
    _, field_number = np.unique(field, axis=0, return_inverse=True)
    field_number = field_number.ravel()
    size = np.array(die_um) * reticle
    place = np.array([p.on_die for p in points], dtype=float) + (dies % reticle) * np.array(die_um)
    if not np.isfinite(place).all():
        raise DataError("the places of defects must be finite")
    rng = np.random.default_rng(seed)
    chance = np.array(
        [
            _most(rng.uniform(0, 1, place.shape) * size, field_number, tolerance_um)
            for _ in range(permutations)
        ]
    )
    found: list[Repeater] = []
    left = np.ones(len(points), dtype=bool)
    while left.sum() >= 2:
        members = _largest(place, field_number, left, tolerance_um)
        fields = len(set(field_number[members].tolist()))
        p = (1 + int((chance >= fields).sum())) / (permutations + 1)
        if fields < 2 or p > level:
            break
        left[members] = False
        on = tuple(sorted({points[i].wafer for i in members.tolist()}))
        middle = place[members].mean(axis=0)
        where = (float(middle[0]), float(middle[1]))
        found.append(
            Repeater(where, fields, on, p, tuple(members.tolist()), "reticle" if len(on) > 1 else "wafer")
        )
    if reticle != (1, 1):
        found = [_mark_die_level(one, found, die_um, tolerance_um, reticle) for one in found]
    return found


def _mark_die_level(
    one: Repeater,
    every: Sequence[Repeater],
    die_um: tuple[float, float],
    tolerance: float,
    reticle: tuple[int, int],
) -> Repeater:
    """A place that repeats on every die of the field is no flaw of one place of the reticle."""
    size = np.array(die_um)
    mine = np.array(one.place) % size
    same = sum(bool((np.abs(np.array(other.place) % size - mine) <= 2 * tolerance).all()) for other in every)
    return Repeater(**{**vars(one), "points_to": "die"}) if same == reticle[0] * reticle[1] else one


def _cells(place: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Cell numbers on four grids, each shifted by half a cell: points within the tolerance share a cell on one."""
    found = []
    for shift in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        cell = np.floor(place / (2 * tolerance) + shift).astype(np.int64)
        found.append(cell[:, 0] * 2_000_003 + cell[:, 1])
    return found


def _fields(cell: np.ndarray, field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells, and on how many fields each has a defect."""
    cells, number = np.unique(cell, return_inverse=True)
    pairs = np.unique(number * (field.max() + 1) + field)
    return cells, np.bincount(pairs // (field.max() + 1))


def _most(place: np.ndarray, field: np.ndarray, tolerance: float) -> int:
    """On how many fields the fullest cell has a defect."""
    most = 0
    for cell in _cells(place, tolerance):
        most = max(most, int(_fields(cell, field)[1].max()))
    return most


def _largest(place: np.ndarray, field: np.ndarray, left: np.ndarray, tolerance: float) -> np.ndarray:
    index = np.flatnonzero(left)
    best, members = 0, index[:1]
    for cell in _cells(place[index], tolerance):
        cells, counts = _fields(cell, field[index])
        if counts.max() > best:
            best, members = int(counts.max()), index[cell == cells[counts.argmax()]]
    return members


@dataclass(frozen=True)
class Commonality:
    """A tool, chamber or slot whose wafers are worse than the others.

    Attributes:
        factor, value: for example "tool", "etch 3". wafers: how many it had. rate, others: mean shares of bad sites.
        p: chance that permuted wafers give any value of any factor so large an excess.
    """

    factor: str
    value: str
    wafers: int
    rate: float
    others: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return dict(vars(self))


def find_commonality(
    rates: Sequence[float],
    factors: Mapping[str, Sequence[str]],
    *,
    level: float = 0.05,
    permutations: int = 1999,
    seed: int = 0,
) -> list[Commonality]:
    """Which tool or slot the bad wafers have in common.

    Args:
        rates: share of bad sites of each wafer. factors: for example {"tool": [...], "slot": [...]}, a value a wafer.
        level: largest p, over all values of all factors. permutations, seed: of the wafers.

    Returns:
        Those with p <= level, the most certain first.

    Raises:
        DataError: a factor has another number of values than there are wafers.
    """
    values = np.asarray(rates, dtype=float)
    groups: list[tuple[str, str, np.ndarray]] = []
    for factor, names in factors.items():
        if len(names) != len(values):
            raise DataError(f"{factor} has {len(names)} values for {len(values)} wafers")
        array = np.asarray(names)
        groups += [
            (factor, str(n), array == n) for n in dict.fromkeys(names) if 0 < (array == n).sum() < len(values)
        ]
    if not groups or not np.isfinite(values).all() or values.std() == 0:
        return []
    masks = np.stack([mask for *_, mask in groups]).astype(float)
    size, count = masks.sum(axis=1), len(values)
    # Mean and variance of a mean of wafers drawn without replacement.
    deviation = np.sqrt(values.var() / size * (count - size) / max(count - 1, 1))
    rng = np.random.default_rng(seed)
    shuffled = np.stack([values, *(rng.permutation(values) for _ in range(permutations))], axis=1)
    excess = (masks @ shuffled / size[:, None] - values.mean()) / deviation[:, None]
    largest = excess[:, 1:].max(axis=0)
    found = []
    for (factor, name, mask), observed in zip(groups, excess[:, 0], strict=True):
        p = (1 + int((largest >= observed - 1e-9).sum())) / (permutations + 1)
        if p <= level:
            found.append(
                Commonality(
                    factor, name, int(mask.sum()), float(values[mask].mean()), float(values[~mask].mean()), p
                )
            )
    return sorted(found, key=lambda one: one.p)
