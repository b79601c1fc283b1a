"""The scores that PASS against the training sample, by the Kolmogorov-Smirnov distance.

Images of a unit are alike, so the distance is judged at the effective sample size n / (1 + (m - 1) rho), with m
images a unit and rho the correlation inside units (the design effect: Kish, "Survey Sampling", 1965). The training
sample's own units are not known: it is given the correlation of the reference's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lifecycle.drift.columns import DISTRIBUTION, WATCHES
from lifecycle.drift.frame import Frame, Sides
from lifecycle.drift.units import add
from lifecycle.drift.wafer_summary import SCORE_GRID
from lifecycle.drift.watches import Said
from router.tails import kolmogorov_each

_PLACE = WATCHES.index(DISTRIBUTION)


def compare_distribution(
    frame: Frame, sides: Sides, training: Callable[[str], np.ndarray], said: Said
) -> None:
    """Ask the watch of every stream that is looked at, and write what it says.

    Args:
        frame: All wafers.
        sides: Which are looked at.
        training: Standardised scores of a recipe's calibration normals, out of sample, cut where PASS ends as those of
            production are; empty if there are none.
        said: To be filled.
    """
    count = len(frame.streams)
    recipes = sorted({stream.recipe for stream in frame.streams})
    samples = {recipe: np.sort(training(recipe)) for recipe in recipes}
    known = np.array([len(samples[stream.recipe]) for stream in frame.streams], float)
    below = {
        recipe: np.searchsorted(sample, SCORE_GRID, "right") / max(len(sample), 1)
        for recipe, sample in samples.items()
    }
    usual, _, alike, _ = _units(frame, np.flatnonzero(sides.reference.mask))
    units, total, rho, size = _units(frame, sides.recent)
    asked = sides.looked & (known > 0) & (total >= 2)
    if not asked.any():
        return
    rho = np.maximum(rho, alike)
    chosen = sides.recent
    starts = np.flatnonzero(np.diff(frame.stream[chosen], prepend=-1))
    seen = np.zeros((count, len(SCORE_GRID)))
    seen[frame.stream[chosen][starts]] = add(
        np.stack([frame.wafers[i].below for i in chosen]).astype(float), starts
    )
    gaps = np.stack([below[stream.recipe] for stream in frame.streams]) - seen / np.maximum(total, 1)[:, None]
    most = np.abs(gaps).argmax(1)
    gap = gaps[np.arange(count), most]
    mean = total / np.maximum(units, 1)
    n = total / np.maximum(1 + (size - 1) * rho, 1)
    of_training = np.maximum(known / np.maximum(1 + (mean - 1) * rho, 1), usual)
    effective = np.where(asked, n * of_training / np.maximum(n + of_training, 1e-9), 1.0)
    p = kolmogorov_each(np.abs(gap), effective)
    said.p[:, _PLACE] = np.where(asked, p, np.nan)
    said.effect[:, _PLACE] = np.abs(gap)
    said.higher[:, _PLACE] = gap > 0
    said.reference[:, _PLACE], said.recent[:, _PLACE] = known, units


def _units(frame: Frame, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(units, images, correlation inside units, size-weighted mean size of a unit) of each stream."""
    sums = frame.scores[chosen]
    chosen, sums = chosen[sums[:, 0] > 0], sums[sums[:, 0] > 0]
    owner, unit = frame.stream[chosen], frame.unit[chosen]
    order = np.lexsort((unit, owner))
    owner, unit, sums = owner[order], unit[order], sums[order]
    starts = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(unit, prepend=-1) != 0))
    return correlations(owner[starts], add(sums, starts), len(frame.streams))


def correlations(
    owner: np.ndarray, sums: np.ndarray, owners: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How alike images of one unit are, in [0, 1]: Fisher's intraclass correlation, by analysis of variance.

    Fewer than two units say nothing, which counts as 1.

    Args:
        owner: (U,) of each unit.
        sums: (U, 3) number of its images, sum and sum of squares of their scores.
        owners: How many.

    Returns:
        (units, images, correlation, size-weighted mean size of a unit), each (owners,).
    """

    def summed(values: np.ndarray) -> np.ndarray:
        return np.bincount(owner, values, minlength=owners)

    n, s, q = sums.T
    units, total, weighted = summed(np.ones(len(n))), summed(n), summed(n * n)
    grand = summed(s) / np.maximum(total, 1)
    between = summed(n * np.square(s / np.maximum(n, 1) - grand[owner])) / np.maximum(units - 1, 1)
    within = summed(np.maximum(q - s * s / np.maximum(n, 1), 0)) / np.maximum(total - units, 1)
    size = weighted / np.maximum(total, 1)
    typical = (total - size) / np.maximum(units - 1, 1)
    variance = np.where(typical > 0, np.maximum(between - within, 0) / np.maximum(typical, 1e-9), 0.0)
    both = variance + within
    rho = np.where((units >= 2) & (both > 0), variance / np.maximum(both, 1e-300), 1.0)
    return units, total, rho, size
