"""The gate's figures and their paired intervals: numpy only. Tests compare with scikit-learn."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Figures(NamedTuple):
    """auroc; fnr_at_fpr5: misses at the threshold that 5 % of normals exceed.

    Escape: share of defects that PASS; false_alarm: share of normals that do not.
    """

    auroc: float
    fnr_at_fpr5: float
    escape: float
    false_alarm: float


def figures(scores: np.ndarray, passed: np.ndarray, defective: np.ndarray) -> Figures:
    """Figures of one model on N images, (N,) each; NaN where a class is absent."""
    normal, bad = scores[~defective], scores[defective]
    if not len(normal) or not len(bad):
        nan = float("nan")
        escape = float(passed[defective].mean()) if len(bad) else nan
        return Figures(nan, nan, escape, float(1 - passed[~defective].mean()) if len(normal) else nan)
    return Figures(
        auroc(normal, bad),
        float((bad <= np.quantile(normal, 0.95, method="higher")).mean()),
        float(passed[defective].mean()),
        float(1 - passed[~defective].mean()),
    )


def auroc(normal: np.ndarray, bad: np.ndarray) -> float:
    """Area under the ROC curve by ranks (Mann & Whitney 1947); ties count half."""
    order = np.sort(normal)
    below = np.searchsorted(order, bad, "left")
    ties = np.searchsorted(order, bad, "right") - below
    return float((below + 0.5 * ties).mean() / len(order))


def paired_intervals(
    old: tuple[np.ndarray, np.ndarray],
    new: tuple[np.ndarray, np.ndarray],
    defective: np.ndarray,
    *,
    draws: int = 1000,
) -> dict[str, tuple[float, float, float]]:
    """New minus old on the same images: (difference, and its 95 % interval: low, high) of each figure.

    A percentile bootstrap over images, normals and defects apart, both models on the same draw (Efron & Tibshirani,
    "An Introduction to the Bootstrap", 1993, chapter 13).

    Args:
        old: (scores, passed) of production, (N,) each.
        new: Those of the candidate.
        defective: (N,) bool.
        draws: Of the bootstrap.
    """
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(defective == label) for label in (False, True)]

    def difference(rows: np.ndarray) -> np.ndarray:
        label = defective[rows]
        sides = [figures(scores[rows], passed[rows], label) for scores, passed in (new, old)]
        return np.array(sides[0]) - np.array(sides[1])

    found = np.array(
        [difference(np.concatenate([rng.choice(g, len(g)) for g in groups])) for _ in range(draws)]
    )
    low, high = np.nanquantile(found, [0.025, 0.975], axis=0)
    point = difference(np.arange(len(defective)))
    return {name: (float(point[i]), float(low[i]), float(high[i])) for i, name in enumerate(Figures._fields)}
