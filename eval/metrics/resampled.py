"""The image metrics of many bootstrap resamples at once.

Each function takes the scores of the normals (n,) and of the defects (m,), and how often each of them is drawn in
each of b resamples, (b, n) and (b, m); it gives the metric of every resample, (b,). Sorting once and summing counts
replaces b sorts: a thousand resamples of a thousand images take hundredths of a second.
"""

import math
from collections.abc import Callable

import numpy as np

from eval.metrics.image import fnr_at_fpr, image_auprc, image_auroc

Resampled = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def resampled_auroc(
    normal: np.ndarray, defect: np.ndarray, normal_counts: np.ndarray, defect_counts: np.ndarray
) -> np.ndarray:
    """`image_auroc` of each resample."""
    ordered, below = _cumulated(normal, normal_counts)
    lower = below[:, np.searchsorted(ordered, defect, side="left")]
    lower_or_tied = below[:, np.searchsorted(ordered, defect, side="right")]
    wins = np.sum(defect_counts * (lower + lower_or_tied), axis=1) / 2
    return wins / (len(normal) * len(defect))


def resampled_auprc(
    normal: np.ndarray, defect: np.ndarray, normal_counts: np.ndarray, defect_counts: np.ndarray
) -> np.ndarray:
    """`image_auprc` of each resample."""
    # Recall grows at the defects' own scores only.
    thresholds = np.unique(defect)[::-1]
    true = _at_or_above(defect, defect_counts, thresholds)
    false = _at_or_above(normal, normal_counts, thresholds)
    flagged = true + false
    precision = np.divide(true, flagged, out=np.zeros(true.shape), where=flagged > 0)
    gained = np.diff(true, axis=1, prepend=0)
    return np.sum(gained * precision, axis=1) / len(defect)


def resampled_fnr_at_fpr(
    normal: np.ndarray,
    defect: np.ndarray,
    normal_counts: np.ndarray,
    defect_counts: np.ndarray,
    fpr: float = 0.05,
) -> np.ndarray:
    """`fnr_at_fpr` of each resample, each with the threshold of its own normals."""
    allowed = math.floor(fpr * len(normal) + 1e-9)
    if allowed >= len(normal):
        return np.zeros(len(normal_counts))
    ordered, below = _cumulated(normal, normal_counts)
    candidates = np.unique(ordered)
    above = len(normal) - below[:, np.searchsorted(ordered, candidates, side="right")]
    # `above` falls along the candidates: as many as still flag too many normals stand before the threshold.
    thresholds = candidates[np.sum(above > allowed, axis=1)]
    ordered_defects, missed = _cumulated(defect, defect_counts)
    at = np.searchsorted(ordered_defects, thresholds, side="right")
    return missed[np.arange(len(missed)), at] / len(defect)


RESAMPLED: dict[object, Resampled] = {
    image_auroc: resampled_auroc,
    image_auprc: resampled_auprc,
    fnr_at_fpr: resampled_fnr_at_fpr,
}
"""By the function that computes the same for one sample."""


def _cumulated(scores: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores ascending, and in column k how many drawn images are among the first k of them, (b, n + 1)."""
    order = np.argsort(scores, kind="stable")
    sums = np.zeros((len(counts), len(scores) + 1), dtype=np.int64)
    np.cumsum(counts[:, order], axis=1, out=sums[:, 1:])
    return scores[order], sums


def _at_or_above(scores: np.ndarray, counts: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """How many drawn images score at or above each threshold, (b, T)."""
    ordered, below = _cumulated(scores, counts)
    return below[:, -1:] - below[:, np.searchsorted(ordered, thresholds, side="left")]
