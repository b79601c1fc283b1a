"""How heavy are the tails of lots? Asked of all streams' reference units together.

One day has one lot or two. Whether a lot four spreads away is news depends on how often lots lie that far when nothing
has changed, and Gaussian lots are a guess. Each reference unit is held against the others of its stream; how far out
the outer hundredth lies, against the middle, gives the degrees of freedom of Student's t that has such tails. Tails
are believed as far as they are shown: with few units they count as Gaussian. A mean of lots has lighter ones.
"""

from __future__ import annotations

import numpy as np

from lifecycle.drift.moderated import Prior
from lifecycle.drift.units import Moments, Units

GAUSSIAN = 200.0
"""Degrees of freedom of what counts as Gaussian."""
_HEAVIEST = 4.5
_OUTER = 0.99
_FREEDOMS = np.array([_HEAVIEST, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 100, GAUSSIAN])
_RATIOS = np.array(
    [5.8303, 5.5487, 5.1667, 4.9209, 4.7501, 4.5287, 4.3920, 4.2632, 4.1420, 4.0278, 3.9412, 3.8790, 3.8487]
)
"""99 % quantile of |t| over its median, at `_FREEDOMS` (a test compares with scipy)."""


def tail_freedom(units: Units, usual: Moments, prior: Prior) -> np.ndarray:
    """Degrees of freedom (C,) of a single unit's tails, `_HEAVIEST` to `GAUSSIAN`.

    Args:
        units: Reference units of all streams.
        usual: What they say of each stream.
        prior: Of their variances.
    """
    n = usual.units[units.owner]
    off = np.abs(units.means - usual.mean[units.owner])
    others = np.maximum((n - 1) * usual.variance[units.owner] - n / np.maximum(n - 1, 1) * off**2, 0.0)
    freedom = np.maximum(n - 2, 0.0)
    variance, _ = prior.moderated(others / np.maximum(freedom, 1), freedom)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = off * np.sqrt(n / np.maximum(n - 1, 1)) / np.sqrt(variance)
    found = np.full(t.shape[1], GAUSSIAN)
    for column in range(t.shape[1]):
        known = t[np.isfinite(t[:, column]) & (n[:, column] >= 3), column]
        if len(known) < 2 / (1 - _OUTER):
            continue
        middle, outer = np.quantile(known, [0.5, _OUTER])
        if middle > 0:
            # the standard error of the outer quantile of so many Gaussian values, relative
            doubt = 1.34 * np.sqrt(1 / len(known))
            found[column] = np.interp(-outer / middle * (1 - doubt), -_RATIOS, _FREEDOMS)
    return found


def of_means(freedom: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Degrees of freedom of the mean of `count` units, (O, C).

    The excess kurtosis 6 / (freedom - 4) of a mean is that of a unit divided by their number; but the outermost tail
    stays that of its worst unit longer. So it counts as divided by the mean of their number and 1.
    """
    return np.asarray(4 + (freedom - 4) * (np.maximum(count, 1) + 1) / 2)
