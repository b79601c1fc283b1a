"""Evidence that a lot is bad, as a bet against it being good.

An e-process starts at 1 and, while the lot is good, is not expected to grow, whatever was seen before; so the chance
that it ever reaches N is at most 1/N (Ville 1939; Ramdas et al. 2023, Statistical Science 38(4)), no matter how often
it is looked at. Here it is the likelihood ratio of counts under the bad and the good rate (Wald 1945, the sequential
probability ratio test), or, where nothing is assumed but the mean, a bet on each wafer's share (Waudby-Smith and Ramdas
2024, JRSS-B 86(1), section 4).

A lot may turn bad at any of its K wafers. The process is the average over the wafer at which the bet begins, which
costs log K and is still an e-process; it follows the recursion of Shiryaev and Roberts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wafer_map.decide.plan import ANY, LotPlan

_CAP = 2.0  # shares above twice the bad rate count as that: a single ruined wafer is not a bad lot


def log_ratio(plan: LotPlan, sites: int, defects: int, *, finished: bool = True) -> float:
    """Log of the evidence in one wafer's counts alone.

    Args:
        plan: rates and clustering. sites: judged sites so far. defects: how many of them have one.
        finished: whether the wafer is done; where nothing is assumed about clustering, others say nothing yet.

    Returns:
        Natural logarithm; 0 where there is no evidence either way.
    """
    if sites == 0:
        return 0.0
    good, bad = plan.good_rate, plan.bad_rate
    if plan.clustering == ANY:
        if not finished:
            return 0.0
        cap = min(1.0, _CAP * bad)
        slope = (bad / good - 1) / (cap - good)
        return math.log1p(slope * (min(defects / sites, cap) - good))
    rho = float(plan.clustering)
    if rho == 0:
        return defects * math.log(bad / good) + (sites - defects) * math.log((1 - bad) / (1 - good))
    return _log_beta_counts(sites, defects, bad, rho) - _log_beta_counts(sites, defects, good, rho)


def _log_beta_counts(sites: int, defects: int, rate: float, rho: float) -> float:
    """Log-probability of a beta-binomial count, without the binomial coefficient."""
    size = (1 - rho) / rho
    a, b = rate * size, (1 - rate) * size
    return (
        math.lgamma(defects + a) - math.lgamma(a) + math.lgamma(sites - defects + b) - math.lgamma(b)
        - math.lgamma(sites + size) + math.lgamma(size)
    )  # fmt: skip


@dataclass
class Evidence:
    """The lot's e-process at the ends of its wafers.

    Attributes:
        plan: what it is of. wafers: finished ones.
        log_begun: log of the average over bets that have begun; -inf before the first wafer.
        log_peak: log of the highest value so far (at wafers' ends); what was once stopped stays stopped.
    """

    plan: LotPlan
    wafers: int = 0
    log_begun: float = -math.inf
    log_peak: float = 0.0

    def add(self, sites: int, defects: int) -> None:
        """One more finished wafer."""
        self.log_begun = self._after(log_ratio(self.plan, sites, defects))
        self.wafers += 1
        self.log_peak = max(self.log_peak, self._total(self.log_begun, self.wafers))

    def with_running(self, sites: int, defects: int) -> float:
        """Log of the highest value, were it looked at now, in the middle of a wafer."""
        begun = self._after(log_ratio(self.plan, sites, defects, finished=False))
        return max(self.log_peak, self._total(begun, self.wafers + 1))

    @property
    def log_value(self) -> float:
        """Log of the present value."""
        return self._total(self.log_begun, self.wafers)

    def _after(self, log_step: float) -> float:
        begun = self.log_begun
        if self.wafers < self.plan.wafers_per_lot:
            begun = _log_sum(begun, -math.log(self.plan.wafers_per_lot))
        return begun + log_step

    def _total(self, begun: float, wafers: int) -> float:
        waiting = 1 - wafers / self.plan.wafers_per_lot
        return _log_sum(begun, math.log(waiting)) if waiting > 0 else begun


def _log_sum(one: float, two: float) -> float:
    high, low = max(one, two), min(one, two)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
