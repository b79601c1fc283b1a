"""Tests of a rollout that may be looked at after every wafer.

Two questions, each a bet whose wealth is never expected to grow while its hypothesis holds, so that it ever reaches
1 / level with chance `level` at most, however often one looks (Ville 1939):

* Do the arms differ? The hash sends each wafer to the canary with a known chance, whatever is seen on it. So one bets
  on the *arm*, having seen the wafer: where versions are equal no such bet pays (a randomisation test by betting; the
  wager is bounded as in Waudby-Smith & Ramdas, "Estimating means of bounded random variables by betting", 2024).
  Drift in time, wafer effects and lots make no difference to that.
* Does the version miss more than a limit of true defects? `MissEvidence`, on images that were drawn for an audit
  whatever their decision, so that misses and catches are counted at the same rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from router.exact_binomial import interval
from router.monitor_tests import RateTest

_WAGERS = (0.1, 0.3, 0.6, 1.0)
"""Shares of the wealth that may be lost on one wafer; the wealth is the mean over them and over both signs."""


class ArmsTest:
    """Do the arms' wafers differ in some count? Two-sided, always valid.

    Args:
        share: Chance with which a wafer goes to the canary, in (0, 1).
    """

    def __init__(self, share: float) -> None:
        if not 0 < share < 1:
            raise ValueError(f"a canary's share lies between 0 and 1, not at {share}")
        self.share = share
        bound = max(share, 1 - share)
        self._wagers = [sign * wager / bound for wager in _WAGERS for sign in (-1.0, 1.0)]
        self._logs = [-math.log(len(self._wagers))] * len(self._wagers)
        self._seen, self._mean, self._squares = 0, 0.0, 0.0

    def update(self, rate: float, canary: bool) -> None:
        """One wafer: its rate of events, and its arm."""
        if self._seen >= 10:  # what is usual must be known before anything is unusual
            spread = math.sqrt(self._squares / self._seen) or 1.0
            unusual = max(-1.0, min(1.0, (rate - self._mean) / (2 * spread)))
            gain = unusual * (canary - self.share)
            # the wager of all of it may lose all of it
            self._logs = [
                log + math.log(max(1e-12, 1 + 0.999 * wager * gain))
                for log, wager in zip(self._logs, self._wagers, strict=True)
            ]
        self._seen += 1
        step = rate - self._mean
        self._mean += step / self._seen
        self._squares += step * (rate - self._mean)

    @property
    def log_wealth(self) -> float:
        """Natural logarithm of the wealth."""
        largest = max(self._logs)
        return largest + math.log(sum(math.exp(log - largest) for log in self._logs))

    def differs(self, level: float) -> bool:
        """Whether equal versions are refuted at `level`."""
        return self.log_wealth >= -math.log(level)


@dataclass(frozen=True)
class MissReport:
    """What is known about misses.

    Attributes:
        defects: True defects among the audited images, planted known ones included.
        missed: Of these, how many PASSed.
        low: Exact two-sided 95 % Clopper-Pearson bounds of the miss rate; (0, 1) without a defect.
        high: See `low`.
        verdict: "above": refuted, always valid, that the rate is at most the limit. "below": the exact bound lies
            under the limit. "not known": neither; more defects are needed.
        text: The same in words.
    """

    defects: int
    missed: int
    low: float
    high: float
    verdict: Literal["above", "below", "not known"]
    text: str


class MissEvidence:
    """Production evidence on the false-negative rate of a version.

    Only images that were drawn for an audit by a hash, whatever their decision, and known defects that were planted,
    may be counted. Reviewed REVIEW cases that nobody drew would count catches and no misses.

    Args:
        limit: Miss rate that must not be exceeded, in (0, 1); the case study's is 0.01.
        level: Chance of calling a rate within the limit "above", however often one looks.
    """

    def __init__(self, limit: float = 0.01, level: float = 0.001) -> None:
        self.limit, self.level = limit, level
        self._test = RateTest(limit, above=True)
        self._defects = self._missed = 0
        self._above = False

    def update(self, missed: bool) -> None:
        """One audited image that a person called defective: did the version PASS it?"""
        self._defects += 1
        self._missed += missed
        self._test.update(missed)
        self._above = self._above or self._test.log_wealth >= -math.log(self.level)

    def report(self) -> MissReport:
        """What is known so far."""
        n, k = self._defects, self._missed
        low, high = interval(k, n) if n else (0.0, 1.0)
        verdict: Literal["above", "below", "not known"]
        verdict = "above" if self._above else "below" if high < self.limit else "not known"
        counted = (
            f"{k} of {n} audited true defects PASSed (miss rate {low:.2%} to {high:.2%} with 95 % confidence)"
        )
        said = {
            "above": f"{counted}: more than {self.limit:.2%} is shown, with a chance of at most {self.level:.2%} of "
            "saying so wrongly",
            "below": f"{counted}: below the limit of {self.limit:.2%}",
            "not known": f"{counted}: neither above nor below the limit of {self.limit:.2%} is shown",
        }
        return MissReport(n, k, low, high, verdict, said[verdict])
