"""Streams borrow from each other how much units usually spread.

A new stream has few units, so a t-test of it alone needs differences that a fab cannot wait for. But lots spread about
as much on one tool as on the next. The variances of all streams give a prior, and each stream's own is shrunk towards
it: the moderated t of Smyth, "Linear models and empirical Bayes methods for assessing differential expression",
Stat. Appl. Genet. Mol. Biol. 3 (2004). Where streams truly differ in spread, the prior is worth few degrees of
freedom and a stream speaks for itself.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_LEAST_STREAMS = 3
_MOST_FREEDOM = 200.0
"""A prior is never surer than this: spreads that look equal are still estimated, and wafers are not quite Gaussian."""


class Prior(NamedTuple):
    """What all streams say of one column's variance.

    Attributes:
        variance: (c,), > 0.
        freedom: (c,) degrees of freedom that it is worth; 0: nothing is borrowed.
    """

    variance: np.ndarray
    freedom: np.ndarray

    def moderated(self, variance: np.ndarray, freedom: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Streams' variances (S, c), shrunk, and their degrees of freedom (S, c), at least 1e-9."""
        total = np.maximum(self.freedom + freedom, 1e-9)
        return (self.freedom * self.variance + freedom * variance) / total, total


def no_prior(columns: int) -> Prior:
    """Every stream for itself."""
    return Prior(np.ones(columns), np.zeros(columns))


def fit_prior(variances: np.ndarray, freedoms: np.ndarray) -> Prior:
    """Fit the scaled F distribution of variances by the moments of their logarithms (Smyth 2004, section 6.2).

    Args:
        variances: Of each stream, (S, c).
        freedoms: Degrees of freedom of each, (S, c); streams with 0 say nothing of a column.
    """
    found = no_prior(variances.shape[1])
    for column, (values, weights) in enumerate(zip(variances.T, freedoms.T, strict=True)):
        known = weights > 0
        if known.sum() < _LEAST_STREAMS:
            continue
        each, place = np.unique(weights[known] / 2, return_inverse=True)
        centre = np.array([digamma(h) - math.log(h) for h in each])[place]
        noise = float(np.array([trigamma(h) for h in each])[place].mean())
        logs = np.log(np.maximum(values[known], 1e-30)) - centre
        excess = float(logs.var(ddof=1)) - noise
        freedom = _MOST_FREEDOM if excess <= 0 else min(_MOST_FREEDOM, 2 * inverse_trigamma(excess))
        shift = digamma(freedom / 2) - math.log(freedom / 2)
        found.variance[column], found.freedom[column] = math.exp(float(logs.mean()) + shift), freedom
    return found


def digamma(x: float) -> float:
    """Derivative of log gamma, x > 0: recurrence to x >= 12, then the asymptotic series."""
    total = 0.0
    while x < 12:
        total -= 1 / x
        x += 1
    inverse = 1 / (x * x)
    return total + math.log(x) - 0.5 / x - inverse * (1 / 12 - inverse * (1 / 120 - inverse / 252))


def trigamma(x: float) -> float:
    """Second derivative of log gamma, x > 0."""
    total = 0.0
    while x < 12:
        total += 1 / (x * x)
        x += 1
    inverse = 1 / (x * x)
    return total + 1 / x + inverse / 2 + inverse / x * (1 / 6 - inverse * (1 / 30 - inverse / 42))


def inverse_trigamma(y: float) -> float:
    """X with trigamma(x) = y > 0, by bisection on a logarithmic scale."""
    low, high = math.log(1e-6), math.log(1e8)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if trigamma(math.exp(middle)) > y else (low, middle)
    return math.exp((low + high) / 2)
