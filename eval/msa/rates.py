"""Rates over appraisals of the same parts, which are not independent: intervals that know it.

Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts estimated from
survey data", Survey Methodology 1998: the exact binomial interval at the effective number of appraisals.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from scipy.stats import t as student_t


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval. None, as its interval, where nothing could show the event.

    Attributes:
        events, trials: The appraisals that show it, and all.
        parts: The parts they are of.
    """

    rate: float | None
    low: float | None
    high: float | None
    events: int
    trials: int
    parts: int


def clustered_rate(events: np.ndarray, trials: np.ndarray, confidence: float = 0.95) -> Rate:
    """The share of appraisals that show an event, with parts as clusters.

    The effective number of appraisals is n p (1 - p) / v, v the variance of the rate between parts (a ratio of totals,
    linearised), corrected for its few degrees of freedom; never above n, and never below the number of parts over the
    largest number of trials. Without any variation between parts - no event, or nothing else - it is the number of
    parts: repeating an appraisal proves nothing about other parts. With one trial a part this is the exact interval of
    Clopper and Pearson.

    Args:
        events: (parts,), how many appraisals of each part show the event.
        trials: (parts,), how many there are, at least 1.
    """
    parts, k, n = len(trials), int(events.sum()), int(trials.sum())
    if not n:
        return Rate(None, None, None, 0, 0, 0)
    effective = effective_count(events, trials, confidence)
    p, tail = k / n, (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, p * effective, effective * (1 - p) + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, p * effective + 1, effective * (1 - p)))
    return Rate(p, low, high, k, n, parts)


def effective_count(events: np.ndarray, trials: np.ndarray, confidence: float = 0.95) -> float:
    """How many independent appraisals say as much about the rate as these."""
    parts, n = len(trials), float(trials.sum())
    if n == parts:  # one each
        return n
    p = events.sum() / n
    residuals = events - p * trials
    if parts < 2 or not residuals.any() or p in (0.0, 1.0):
        return float(parts)
    variance = parts / (parts - 1) * float(np.square(residuals).sum()) / n**2
    tail = (1 + confidence) / 2
    correction = (student_t.ppf(tail, n - 1) / student_t.ppf(tail, parts - 1)) ** 2
    return float(np.clip(p * (1 - p) / variance * correction, min(parts, n / trials.max()), n))
