"""Bootstrap intervals (Efron 1979; percentile method), resampled within each class."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from wafer_data.errors import InputError


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    scores: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """The central `confidence` interval of `metric(labels, scores)` over `n` resamples.

    Normals and defects are drawn with replacement apart from each other, so that every resample has both
    classes in their true numbers. The same seed gives the same interval. Raises what the metric raises, and
    `InputError` for a class without images.
    """
    classes, values = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    groups = [np.flatnonzero(classes == label) for label in (0, 1)]
    if any(len(group) == 0 for group in groups):
        raise InputError("a bootstrap interval needs normal and defective images")
    rng = np.random.default_rng(seed)
    draws = np.empty(n)
    for i in range(n):
        pick = np.concatenate([group[rng.integers(0, len(group), len(group))] for group in groups])
        draws[i] = metric(classes[pick], values[pick])
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
