"""Means of lots or wafers, and what these say of each stream or group: sums over sorted rows, all owners at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Units(NamedTuple):
    """U lots or wafers, those of an owner (a stream or a group) beside each other.

    Attributes:
        owner: (U,) index.
        means: (U, C) of its wafers; NaN where none has anything to say.
        sizes: (U, C) wafers that have.
        squares: (U, C) sum of the squared distances of these wafers from their unit's mean.
    """

    owner: np.ndarray
    means: np.ndarray
    sizes: np.ndarray
    squares: np.ndarray


class Moments(NamedTuple):
    """What the units of O owners say. All (O, C).

    Attributes:
        units: How many units have something to say.
        mean: Of these; NaN where there are none.
        variance: Between these, with n - 1; 0 for fewer than two.
        size: Wafers of a unit, mean.
        within: Variance between the wafers of a unit; 0 where each is one wafer.
    """

    units: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    size: np.ndarray
    within: np.ndarray


def units_of(rows: np.ndarray, owner: np.ndarray, code: np.ndarray) -> Units:
    """Wafers as units.

    Args:
        rows: (n, C), NaN where a wafer has nothing to say.
        owner: (n,) whose they are.
        code: (n,) which unit of the owner.
    """
    order = np.lexsort((code, owner))
    rows, owner, code = rows[order], owner[order], code[order]
    first = np.ones(len(owner), bool)
    first[1:] = (owner[1:] != owner[:-1]) | (code[1:] != code[:-1])
    starts, unit = np.flatnonzero(first), np.cumsum(first) - 1
    known = np.isfinite(rows)
    sizes = add(known.astype(float), starts)
    with np.errstate(invalid="ignore"):
        means = add(np.where(known, rows, 0.0), starts) / np.where(sizes > 0, sizes, np.nan)
    squares = add(np.where(known, np.square(rows - means[unit]), 0.0), starts)
    return Units(owner[starts], means, sizes, squares)


def moments_of(units: Units, owners: int) -> Moments:
    """What units say of each owner."""
    columns = units.means.shape[1]
    starts = np.flatnonzero(np.diff(units.owner, prepend=-1))
    known = np.isfinite(units.means)
    count, size, squares, spare, mean, spread = (np.zeros((owners, columns)) for _ in range(6))
    mean[:] = np.nan
    if len(starts):
        at = units.owner[starts]
        count[at] = add(known.astype(float), starts)
        size[at] = add(units.sizes, starts)
        squares[at] = add(units.squares, starts)
        spare[at] = add(np.maximum(units.sizes - 1, 0), starts)
        total = add(np.where(known, units.means, 0.0), starts)
        mean[at] = np.divide(total, count[at], out=np.full(total.shape, np.nan), where=count[at] > 0)
        spread[at] = add(np.where(known, np.square(units.means - mean[units.owner]), 0.0), starts)
    return Moments(
        count,
        mean,
        spread / np.maximum(count - 1, 1),
        size / np.maximum(count, 1),
        squares / np.maximum(spare, 1),
    )


def add(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of the rows from each start to the next, (len(starts), ...)."""
    if not len(starts):
        return np.zeros((0, *values.shape[1:]))
    return np.asarray(np.add.reduceat(values, starts, axis=0))
