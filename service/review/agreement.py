"""How far inspectors agree beyond chance: Cohen's kappa of two, Fleiss' kappa of many, with intervals.

J. Cohen, "A coefficient of agreement for nominal scales", 1960; J. L. Fleiss, "Measuring nominal scale agreement among
many raters", 1971. Intervals are percentile bootstraps over images (Efron & Tibshirani 1993). Standard library and
numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 1000


class Kappa(NamedTuple):
    """Kappa and its interval.

    Attributes:
        value: kappa, in [-1, 1]; None where it is not defined (everybody says the same).
        low: lower end of the 95 % interval.
        high: its upper end.
        agreement: share of images on which both, or any two, say the same, in [0, 1].
        images: how many.
    """

    value: float | None
    low: float | None
    high: float | None
    agreement: float | None
    images: int


def cohen(pairs: Sequence[tuple[str, str]], seed: int = 0) -> Kappa:
    """Cohen's kappa of two inspectors.

    Args:
        pairs: What both said of each image.
        seed: Of the bootstrap.
    """
    names = sorted({said for pair in pairs for said in pair})
    codes = np.array([[names.index(a), names.index(b)] for a, b in pairs], int).reshape(-1, 2)
    same = float((codes[:, 0] == codes[:, 1]).mean()) if len(codes) else None
    return _with_interval(codes, lambda rows: _cohen(rows, len(names)), same, seed)


def fleiss(counts: Sequence[Sequence[int]], seed: int = 0) -> Kappa:
    """Fleiss' kappa of many inspectors.

    Args:
        counts: For each image how often each category was said; images with fewer than two verdicts are left out,
            those with more weigh as one image each.
        seed: Of the bootstrap.
    """
    table = np.array([row for row in counts if sum(row) >= 2], float)
    if not len(table):
        return Kappa(None, None, None, None, 0)
    return _with_interval(table, _fleiss, float(_pairwise(table).mean()), seed)


def _with_interval(
    rows: np.ndarray, kappa: Callable[[np.ndarray], float], agreement: float | None, seed: int
) -> Kappa:
    if not len(rows):
        return Kappa(None, None, None, None, 0)
    value = kappa(rows)
    if np.isnan(value):
        return Kappa(None, None, None, agreement, len(rows))
    rng = np.random.default_rng(seed)
    drawn = np.array([kappa(rows[rng.integers(0, len(rows), len(rows))]) for _ in range(DRAWS)])
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Kappa(float(value), float(low), float(high), agreement, len(rows))


def _cohen(codes: np.ndarray, categories: int) -> float:
    observed = float((codes[:, 0] == codes[:, 1]).mean())
    first, second = (np.bincount(codes[:, i], minlength=categories) / len(codes) for i in (0, 1))
    expected = float(first @ second)
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


def _pairwise(table: np.ndarray) -> np.ndarray:
    n = table.sum(1)
    agreement: np.ndarray = ((table * (table - 1)).sum(1)) / (n * (n - 1))
    return agreement


def _fleiss(table: np.ndarray) -> float:
    shares = (table / table.sum(1, keepdims=True)).mean(0)
    expected = float((shares**2).sum())
    return (float(_pairwise(table).mean()) - expected) / (1 - expected) if expected < 1 else float("nan")
