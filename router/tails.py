"""Distances and tail probabilities for drift without scipy: serving machines do not have it. Tests compare with it."""

from __future__ import annotations

import math

import numpy as np


def t_two_sided(t: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """P(|T| >= |t|) of Student's t, of arrays of one shape; an infinite t gives 0, NaN gives 1.

    The regularised incomplete beta function by its continued fraction (Abramowitz & Stegun 26.5.8, by the modified
    Lentz method).

    Args:
        t: Any.
        freedom: Degrees of freedom, > 0.
    """
    if np.any(freedom <= 0):
        raise ValueError("degrees of freedom must be positive")
    with np.errstate(over="ignore"):
        square = np.square(np.where(np.isnan(t), 0.0, t))
    a, b = freedom / 2, np.full(t.shape, 0.5)
    with np.errstate(over="ignore", invalid="ignore"):
        x = freedom / (freedom + square)
        rest = square / (freedom + square)  # 1 - x where t is small, free of cancellation
    rest = np.where(np.isinf(square), 1.0, rest)
    gammas = _lgamma(a + b) - _lgamma(a) - math.lgamma(0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        front = np.exp(gammas + a * np.log(x) + b * np.log(rest))
    small = x < (a + 1) / (a + b + 2)
    first, second = np.where(small, a, b), np.where(small, b, a)
    part = front * _fractions(first, second, np.where(small, x, rest)) / first
    return np.asarray(np.where(x <= 0, 0.0, np.where(rest <= 0, 1.0, np.where(small, part, 1 - part))))


def kolmogorov_each(d: np.ndarray, n: np.ndarray) -> np.ndarray:
    """`kolmogorov` of arrays of one shape, all at once."""
    root = np.sqrt(n)
    x = np.maximum((root + 0.12 + 0.11 / root) * d, 0.2)
    total = sum(
        ((-1) ** (j - 1) * np.exp(-2 * np.square(j * x)) for j in range(1, 31)), start=np.zeros(x.shape)
    )
    return np.asarray(np.clip(2 * total, 0.0, 1.0))


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


_lgamma_of = np.frompyfunc(math.lgamma, 1, 1)


def _lgamma(x: np.ndarray) -> np.ndarray:
    each, place = np.unique(x, return_inverse=True)
    return np.asarray(_lgamma_of(each).astype(float)[place].reshape(x.shape))


def _fractions(a: np.ndarray, b: np.ndarray, x: np.ndarray) -> np.ndarray:
    tiny = 1e-300

    def away(value: np.ndarray) -> np.ndarray:
        return np.where(np.abs(value) > tiny, value, tiny)

    c = np.ones(x.shape)
    d = 1 / away(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / away(1 + numerator * d)
            c = away(1 + numerator / c)
            step = c * d
            value = value * step
        if not x.size or float(np.abs(step - 1).max()) < 1e-12:
            break
    return value
