"""Exact interval of a share (Clopper and Pearson 1934), without scipy: the service does not have it."""

from __future__ import annotations

import math
from collections.abc import Callable


def exact_interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Central interval of the true share after `hits` of `count`, at least of the given confidence.

    Args:
        hits: 0 to `count`.
        count: At least 0; for 0 the interval is (0, 1).
        confidence: In (0, 1).
    """
    if not 0 <= hits <= count or not 0 < confidence < 1:
        raise ValueError(f"{hits} of {count} at confidence {confidence} is no share")
    if count == 0:
        return 0.0, 1.0
    alpha = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _at_most(hits - 1, count, p), alpha)
    high = 1.0 if hits == count else _solve(lambda p: 1 - _at_most(hits, count, p), 1 - alpha)
    return low, high


def _at_most(hits: int, count: int, p: float) -> float:
    """P(X <= hits) for X binomial; sums the shorter tail."""
    if hits > count // 2:
        return 1 - _at_most(count - hits - 1, count, 1 - p) if hits < count else 1.0
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 else 0.0
    log_p, log_q = math.log(p), math.log1p(-p)
    whole = math.lgamma(count + 1)
    return math.fsum(
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * log_p + (count - k) * log_q)
        for k in range(hits + 1)
    )


def _solve(rising: Callable[[float], float], value: float) -> float:
    """The p in (0, 1) at which a rising function takes a value, by bisection to the last bits."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2
