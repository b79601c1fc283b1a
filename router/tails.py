"""Distances and tail probabilities for drift without scipy: serving machines do not have it. Tests compare with it."""

from __future__ import annotations

import math

import numpy as np


def t_two_sided(t: float, freedom: float) -> float:
    """P(|T| >= |t|) of Student's t with `freedom` > 0 degrees of freedom.

    The regularised incomplete beta function by its continued fraction (Abramowitz & Stegun 26.5.8, by the modified
    Lentz method).
    """
    if freedom <= 0:
        raise ValueError(f"degrees of freedom must be positive, not {freedom}")
    if not math.isfinite(t):
        return 0.0
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def kolmogorov(d: float, n: float) -> float:
    """Asymptotic two-sided p-value of a Kolmogorov-Smirnov distance.

    Args:
        d: Distance in [0, 1].
        n: Effective sample size, n1 n2 / (n1 + n2) of two samples.

    Stephens' correction for small samples (M. A. Stephens, "Use of the Kolmogorov-Smirnov, Cramer-Von Mises and
    related statistics without extensive tables", JRSS B 1970).
    """
    root = math.sqrt(n)
    x = (root + 0.12 + 0.11 / root) * d
    if x < 0.2:
        return 1.0
    total = sum((-1) ** (j - 1) * math.exp(-2 * (j * x) ** 2) for j in range(1, 101))
    return min(1.0, max(0.0, 2 * total))


def ks_distance(first: np.ndarray, second: np.ndarray) -> tuple[float, str]:
    """The largest distance between two empirical distributions, and whether `second` lies higher or lower there."""
    first, second = np.sort(first), np.sort(second)
    every = np.concatenate([first, second])
    gaps = np.searchsorted(first, every, "right") / len(first) - np.searchsorted(
        second, every, "right"
    ) / len(second)
    most = int(np.abs(gaps).argmax())
    return float(abs(gaps[most])), "higher" if gaps[most] > 0 else "lower"


def _incomplete_beta(a: float, b: float, x: float) -> float:
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    value = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + numerator * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + numerator / c
            c = c if abs(c) > tiny else tiny
            step = d * c
            value *= step
        if abs(step - 1) < 1e-15:
            break
    return value
