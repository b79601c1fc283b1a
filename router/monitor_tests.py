"""Sequential tests that may be looked at after every image: each is a bet against a hypothesis.

A test's wealth starts at 1 and, while its hypothesis holds, is never expected to grow; so the chance that it ever
reaches 1 / alpha is at most alpha (Ville, "Etude critique de la notion de collectif", 1939). numpy only.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import numpy as np

_ABOVE, _BELOW = (1.25, 1.5, 2.0, 3.0, 5.0), (0.8, 0.6, 0.4, 0.2, 0.05)
_JUMP = 0.01


class RateTest:
    """Is the rate of an event above (or below) `limit`, in (0, 1)?

    Bets with the likelihood ratio of some rates beyond the limit to the limit itself, the mean over them; that is
    fair at the limit and loses on its allowed side, also if the rate moves there, as long as each image's chance,
    given the past, stays within it (sequential probability ratio: Wald 1945; betting on means: Waudby-Smith &
    Ramdas, "Estimating means of bounded random variables by betting", 2024).
    """

    def __init__(self, limit: float, *, above: bool) -> None:
        if not 0 < limit < 1:
            raise ValueError(f"a rate's limit lies between 0 and 1, not at {limit}")
        rates = [limit * f for f in (_ABOVE if above else _BELOW) if limit * f < 1] or [(1 + limit) / 2]
        self._hit = [math.log(rate / limit) for rate in rates]
        self._miss = [math.log((1 - rate) / (1 - limit)) for rate in rates]
        self.reset()

    def reset(self) -> None:
        """Start again with wealth 1."""
        self._logs = [-math.log(len(self._hit))] * len(self._hit)

    def update(self, event: bool) -> None:
        """One image: whether the event happened."""
        steps = self._hit if event else self._miss
        self._logs = [log + step for log, step in zip(self._logs, steps, strict=True)]

    @property
    def log_wealth(self) -> float:
        """Natural logarithm of the wealth."""
        largest = max(self._logs)
        return largest + math.log(sum(math.exp(log - largest) for log in self._logs))


class ExchangeabilityTest:
    """Are the new values exchangeable with a sample and with each other, or did they move or spread?

    A conformal test martingale: each value's rank among the sample and all before it gives a p-value, and these are
    independent and uniform as long as all are exchangeable, whatever their distribution (Vovk, Gammerman & Shafer,
    "Algorithmic Learning in a Random World", 2005). Bets with the Simple Jumper (Vovk et al., "Retrain or not
    retrain: conformal test martingales for change-point detection", 2021) on the p-values, which finds values that
    moved, and on their distance from 1/2, which finds values that spread or shrank; the wealth is the mean of both.
    Ties are broken by `rng`. Memory and time grow with the values since :meth:`reset`.
    """

    def __init__(self, sample: Sequence[float], rng: np.random.Generator) -> None:
        self._sample, self._rng = sorted(float(v) for v in sample), rng
        self.reset()

    def reset(self) -> None:
        """Forget the new values and start again with wealth 1."""
        self._seen = list(self._sample)
        self._wealth = [[1 / 3] * 3, [1 / 3] * 3]

    def update(self, value: float) -> None:
        """One new value, finite."""
        low, high = bisect.bisect_left(self._seen, value), bisect.bisect_right(self._seen, value)
        above, ties = len(self._seen) - high, high - low + 1
        p = (above + self._rng.random() * ties) / (len(self._seen) + 1)
        self._seen.insert(high, value)
        for wealth, bet in zip(self._wealth, (p - 0.5, 2 * abs(p - 0.5) - 0.5), strict=True):
            shared = _JUMP / 3 * sum(wealth)
            wealth[:] = [
                ((1 - _JUMP) * part + shared) * (1 + side * bet)
                for part, side in zip(wealth, (-1.0, 0.0, 1.0), strict=True)
            ]

    @property
    def log_wealth(self) -> float:
        """Natural logarithm of the wealth."""
        return math.log((sum(self._wealth[0]) + sum(self._wealth[1])) / 2)
