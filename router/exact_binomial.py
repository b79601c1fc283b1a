"""Exact binomial intervals where scipy is not installed: on serving machines and tools. Standard library only.

Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
1934. Where scipy is at hand `scipy.stats.binomtest` gives the same; a test compares both.
"""

from __future__ import annotations

import math


def interval(events: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval for the rate behind `events` of `trials`.

    Args:
        events: In [0, trials].
        trials: Independent, at least 0; none at all says nothing: (0, 1).
        confidence: In (0, 1).

    Raises:
        ValueError: An argument lies outside its range.
    """
    if not 0 <= events <= trials or not 0 < confidence < 1:
        raise ValueError(f"an interval needs 0 <= events <= trials, not {events} of {trials}")
    tail = (1 - confidence) / 2
    return _lower(events, trials, tail), 1 - _lower(trials - events, trials, tail)


def upper(events: int, trials: int, confidence: float = 0.95) -> float:
    """The exact one-sided upper bound; see `interval`."""
    return interval(events, trials, 1 - 2 * (1 - confidence))[1] if confidence > 0.5 else 1.0


def _lower(events: int, trials: int, tail: float) -> float:
    """The rate at which `events` or more have the chance `tail`."""
    if events == 0:
        return 0.0
    low, high = 0.0, events / trials
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _at_least(events, trials, middle) < tail else (low, middle)
    return (low + high) / 2


def _at_least(events: int, trials: int, rate: float) -> float:
    """Chance of `events` or more among `trials` at `rate`, which lies below events / trials.

    From `events` on each term is smaller than the one before, so the sum ends when terms no longer count.
    """
    log = (
        math.lgamma(trials + 1) - math.lgamma(events + 1) - math.lgamma(trials - events + 1)
        + events * math.log(rate) + (trials - events) * math.log1p(-rate)
    )  # fmt: skip
    term = total = 1.0
    odds = rate / (1 - rate)
    for k in range(events, trials):
        term *= (trials - k) / (k + 1) * odds
        total += term
        if term < total * 1e-17:
            break
    return math.exp(log) * total
