"""The watches: each compares recent wafers with reference wafers and gives a p-value and an effect.

Asked are the *level* of the scores that PASS, the mean and the variance of the *latent*, the *distribution* of those
scores against the training sample (`lifecycle.drift.distribution`), the *appearance* (brightness, contrast, sharpness
and the lamp's gain: a lamp or a focus drifts there before the scores do), and the shares of *flagged* and of *unjudged*
images.

None takes images for independent: means of units (lots, or wafers that have none) are compared. And a difference
that is certain but small is no drift: each watch has a least effect. All streams, or all groups, are asked at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lifecycle.drift.columns import (
    APPEARANCE,
    BY_MEANS,
    DISTRIBUTION,
    FLAGGED,
    LATENT_MEAN,
    LATENT_VARIANCE,
    LEVEL,
    SMALLEST_SPREAD,
    UNJUDGED,
    WATCHES,
    Layout,
)
from lifecycle.drift.first_wafers import LEAST_UNITS
from lifecycle.drift.lot_tails import GAUSSIAN, of_means
from lifecycle.drift.moderated import Prior
from lifecycle.drift.units import Moments, Units, add, moments_of
from router.tails import t_two_sided

LEAST_EFFECT = {
    LEVEL: 0.25, LATENT_MEAN: 1.0, LATENT_VARIANCE: 1.0, DISTRIBUTION: 0.1, APPEARANCE: 1.0, FLAGGED: 1.0,
    UNJUDGED: 1.0,
}  # fmt: skip
"""Smaller effects are no drift, however certain: robust standard deviations of normal scores (level); the
Kolmogorov-Smirnov distance itself (distribution); standard deviations between reference units (the others)."""
_LEAST = np.array([LEAST_EFFECT[watch] for watch in WATCHES])


@dataclass(frozen=True)
class Finding:
    """What one watch says.

    Attributes:
        watch: One of `lifecycle.drift.columns.WATCHES`.
        p: Two-sided p-value, adjusted for the columns that the watch looks at.
        effect: Size in the watch's own unit, see `LEAST_EFFECT`.
        what: The column that changed most, with its direction, in words.
        units: (reference, recent) units compared; of the distribution the reference is training scores.
    """

    watch: str
    p: float
    effect: float
    what: str
    units: tuple[int, int]

    def is_drift(self, level: float) -> bool:
        """Certain at `level`, and large enough to matter."""
        return self.p < level and self.effect >= LEAST_EFFECT[self.watch]


class Said(NamedTuple):
    """What all watches say of O owners. All (O, W), in the order of `WATCHES`.

    Attributes:
        p: See `Finding`; NaN where a watch could not be asked.
        effect: See `Finding`.
        column: Index of the column that changed most; of the distribution 0.
        higher: Whether it is higher now.
        reference, recent: Units compared.
    """

    p: np.ndarray
    effect: np.ndarray
    column: np.ndarray
    higher: np.ndarray
    reference: np.ndarray
    recent: np.ndarray

    @classmethod
    def nothing(cls, owners: int) -> Said:
        """Nobody could be asked."""
        shape = (owners, len(WATCHES))
        return cls(
            np.full(shape, np.nan), np.zeros(shape), np.zeros(shape, int), np.zeros(shape, bool),
            np.zeros(shape, int), np.zeros(shape, int),
        )  # fmt: skip

    def drifts(self, level: float) -> np.ndarray:
        """`Finding.is_drift` of all, (O, W)."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.p < level) & (self.effect >= _LEAST))

    def finding(self, owner: int, place: int, layout: Layout) -> Finding:
        """What one watch says of one owner."""
        watch, column = WATCHES[place], int(self.column[owner, place])
        name = "scores" if watch == DISTRIBUTION else layout.names[column]
        return Finding(
            watch, float(self.p[owner, place]), float(self.effect[owner, place]),
            f"{name} {'higher' if self.higher[owner, place] else 'lower'}",
            (int(self.reference[owner, place]), int(self.recent[owner, place])),
        )  # fmt: skip


def compare_means(
    usual: Moments, units: Units, floor: np.ndarray, layout: Layout, prior: Prior, tails: np.ndarray
) -> Said:
    """Is the mean of the recent units one that the reference units' spread explains? Sidak over a watch's columns.

    The spread is that of the reference (and of the prior): a day has too few units for one of its own. A lot of which
    few wafers have come yet spreads more than a whole one, by what wafers of a lot differ.

    Args:
        usual: Of the reference units of O owners.
        units: The recent ones.
        floor: (O, C) see `floors`.
        layout: Of the columns.
        prior: What other streams say of the variance.
        tails: (C,) degrees of freedom of a unit's tails (`tail_freedom`).
    """
    recent = moments_of(units, len(usual.mean))
    n, m = usual.units, recent.units
    variance, freedom = prior.moderated(usual.variance, np.maximum(n - 1, 0))
    variance = np.maximum(variance, floor**2 / np.maximum(usual.size, 1))
    moves = variance > SMALLEST_SPREAD**2
    fewer = _fewer(units, usual.size) / np.maximum(m, 1)
    difference = recent.mean - usual.mean
    own = np.sqrt(np.where(moves, variance, np.inf))
    wide = np.sqrt(
        np.where(
            moves, (variance + fewer * usual.within) / np.maximum(m, 1) + variance / np.maximum(n, 1), np.inf
        )
    )
    asked = (n >= LEAST_UNITS) & (m >= 1)
    heavy = np.minimum(of_means(tails, m), GAUSSIAN)
    t = np.where(asked, difference / wide * np.sqrt(heavy / (heavy - 2)), 0.0)
    freedom = np.maximum(np.minimum(freedom, heavy), 1.0)
    # which column is clearest: Wallace's normal score of a t (Ann. Math. Statist. 30, 1959) orders as p-values do
    clear = (8 * freedom + 1) / (8 * freedom + 3) * np.sqrt(freedom * np.log1p(t**2 / freedom))
    said = Said.nothing(len(n))
    at = np.arange(len(n))
    chosen = [watch for watch in BY_MEANS if layout.columns(watch).start < layout.columns(watch).stop]
    places = [WATCHES.index(watch) for watch in chosen]
    most = np.stack(
        [layout.columns(watch).start + clear[:, layout.columns(watch)].argmax(1) for watch in chosen], 1
    )
    width = np.array([layout.columns(watch).stop - layout.columns(watch).start for watch in chosen])
    some = np.stack([asked[:, layout.columns(watch)].any(1) for watch in chosen], 1)
    column = at[:, None], most
    p = t_two_sided(t[column], freedom[column])
    said.p[:, places] = np.where(some, -np.expm1(width * np.log1p(-np.minimum(p, 1 - 1e-16))), np.nan)
    # a score counts in robust standard deviations of normal scores already; other columns have no unit of their own
    scale = np.where(layout.watch == BY_MEANS.index(LEVEL), 1.0, own)
    said.effect[:, places] = np.nan_to_num(np.abs(difference / scale)[column])
    said.higher[:, places] = difference[column] > 0
    said.column[:, places] = most
    said.reference[:, places], said.recent[:, places] = n[column], m[column]
    return said


def _fewer(units: Units, usual: np.ndarray) -> np.ndarray:
    """Sums over units of how much more 1 / wafers is than usual, (O, C)."""
    found = np.zeros(usual.shape)
    starts = np.flatnonzero(np.diff(units.owner, prepend=-1))
    if len(starts):
        sizes = np.where(units.sizes > 0, units.sizes, np.inf)
        more = np.maximum(1 / sizes - 1 / np.maximum(usual[units.owner], 1), 0)
        found[units.owner[starts]] = add(np.where(units.sizes > 0, more, 0.0), starts)
    return found


def surest(said: Sequence[Said], level: float) -> list[list[int]]:
    """For each owner and watch the window that says most: one that drifts before others, then the smallest p; -1: none.

    Args:
        said: Of each window.
        level: How sure one must be.
    """
    p = np.stack([one.p for one in said])
    drifts = np.stack([one.drifts(level) for one in said])
    rank = np.where(np.isnan(p), 3.0, np.where(drifts, p - 2, p))
    best = rank.argmin(0)
    found: list[list[int]] = np.where(np.isnan(p).all(0), -1, best).tolist()
    return found
