"""The one look at the planned end: do the arms' rates differ?

A randomisation test (Fisher, "The Design of Experiments", 1935): the hash gave each wafer its arm, so under equal
versions any other assignment was as likely. Wafers are permuted, never images: images of one wafer are alike, and a
test that takes them for independent calls equal versions different in 17-50 % of weeks. The three rates are tested
together with the largest standardised difference (Westfall & Young, "Resampling-Based Multiple Testing", 1993,
single-step maxT), so that the chance of calling any of them different is the level itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lifecycle.canary.wafers import RATES, Table

PERMUTATIONS = 9_999
Verdict = Literal["different", "no difference shown", "too few wafers"]


@dataclass(frozen=True)
class Comparison:
    """What the final look found.

    Attributes:
        verdict: "no difference shown" is not "equal": see `margins`.
        p: Adjusted two-sided p-value of each of `RATES`; 1.0 for a rate without data.
        production: Rates of production, by name; None without data.
        canary: Those of the canary.
        margins: Half-width of what could have been missed: the difference in each rate that a permuted assignment
            reaches in 1 of 100 draws; a real difference smaller than that may well be there.
        wafers: (production, canary) numbers of wafers.
    """

    verdict: Verdict
    p: dict[str, float]
    production: dict[str, float | None]
    canary: dict[str, float | None]
    margins: dict[str, float | None]
    wafers: tuple[int, int]


def residuals(table: Table) -> np.ndarray:
    """Each wafer's events beyond what the pooled rate expects of its trials, (N, 3), zero without data."""
    total = table.trials.sum(0)
    pooled = np.divide(table.events.sum(0), total, out=np.zeros(3), where=total > 0)
    return table.events - pooled * table.trials


def compare(
    table: Table,
    *,
    level: float = 0.01,
    min_wafers: int = 20,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Comparison:
    """Compare the arms once, at the planned end.

    Args:
        table: All wafers of the rollout.
        level: Two-sided, for all three rates together.
        min_wafers: Fewer in either arm cannot be compared.
        permutations: Random assignments drawn; the smallest p-value is 1 / (permutations + 1).
        seed: Of the draws, so that the same wafers give the same answer.

    Returns:
        The verdict, and what it rests on.
    """
    few = int(table.canary.sum()), int((~table.canary).sum())
    counts = (few[1], few[0])
    own, other = table.rates()
    production, canary = _named(own), _named(other)
    nothing: dict[str, float | None] = dict.fromkeys(RATES)
    if min(counts) < min_wafers:
        return Comparison("too few wafers", dict.fromkeys(RATES, 1.0), production, canary, nothing, counts)
    left = residuals(table)
    observed = left[table.canary].sum(0)
    drawn = permuted_sums(left, int(table.canary.sum()), permutations, np.random.default_rng(seed))
    spread = drawn.std(0)
    usable = spread > 0
    scale = np.where(usable, spread, 1.0)
    largest = np.where(usable, np.abs(drawn) / scale, 0.0).max(1)
    standard = np.where(usable, np.abs(observed) / scale, 0.0)
    # rounding must not count an equal draw as a smaller one
    p = (1 + (largest[:, None] >= standard * (1 - 1e-9)).sum(0)) / (permutations + 1)
    p = np.where(usable, p, 1.0)
    trials = np.minimum(table.trials[table.canary].sum(0), table.trials[~table.canary].sum(0))
    margins = np.quantile(np.abs(drawn), 0.99, axis=0) / np.maximum(trials, 1)
    return Comparison(
        "different" if p.min() < level else "no difference shown",
        {name: float(value) for name, value in zip(RATES, p, strict=True)},
        production,
        canary,
        {name: float(m) if u else None for name, m, u in zip(RATES, margins, usable, strict=True)},
        counts,
    )


def permuted_sums(values: np.ndarray, chosen: int, permutations: int, rng: np.random.Generator) -> np.ndarray:
    """Sums of `chosen` random rows, drawn without replacement, (permutations, columns)."""
    if 2 * chosen > len(values):  # the rows left out are fewer, and all rows sum to the same
        return values.sum(0) - permuted_sums(values, len(values) - chosen, permutations, rng)
    found = np.empty((permutations, values.shape[1]))
    block = max(1, 4_000_000 // max(1, len(values)))
    for start in range(0, permutations, block):
        count = min(block, permutations - start)
        order = np.argpartition(rng.random((count, len(values)), dtype=np.float32), chosen - 1, axis=1)[
            :, :chosen
        ]
        found[start : start + count] = values[order].sum(1)
    return found


def _named(rates: np.ndarray) -> dict[str, float | None]:
    return {name: None if np.isnan(rate) else float(rate) for name, rate in zip(RATES, rates, strict=True)}
