"""What a plan can promise: computed exactly from the distribution of counts, not simulated."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from wafer_data.errors import ConfigurationError
from wafer_map.decide.evidence import log_ratio
from wafer_map.decide.plan import ANY, LotPlan

_GRID = 1001  # values of the evidence's logarithm, from 0 to the limit
_MOST_SITES = 200_000


@dataclass(frozen=True)
class Design:
    """What a plan can promise.

    Attributes:
        good_lot_stopped: bound on the chance that a good lot is ever stopped, 1/N.
        bad_lot_stopped: by the end of which share of bad lots (rate `bad_rate`) are stopped: after 1, 2, ... wafers
            since they turned bad, whichever wafer that was.
        expected_wafers: mean number of wafers that a lot which is bad from its first one runs for.
        keeps_promise: whether `bad_lot_stopped` reaches 1 - missed_at_most after `bad_lot_runs_at_most` wafers.
    """

    good_lot_stopped: float
    bad_lot_stopped: tuple[float, ...]
    expected_wafers: float
    keeps_promise: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**vars(self), "bad_lot_stopped": list(self.bad_lot_stopped)}


def design(plan: LotPlan) -> Design:
    """Compute what a plan promises.

    The lot's evidence is at least its part from the bet that began when the lot turned bad, which has the weight
    1/`wafers_per_lot`; that part is a random walk, one step a wafer. Its distribution over a fine grid of values is
    carried from wafer to wafer, every step rounded down, so that the probabilities are never too high. Looking within
    wafers, too, only stops earlier.

    Args:
        plan: with `clustering` "any" bad lots are taken to have independent sites.

    Returns:
        The design.
    """
    stopped = _run_lengths(plan)
    within = stopped[plan.bad_lot_runs_at_most - 1]
    return Design(
        1 / plan.good_lot_stopped_once_in,
        tuple(float(p) for p in stopped),
        _expected_wafers(plan),
        bool(within >= 1 - plan.missed_at_most),
    )


def require_promise(plan: LotPlan) -> Design:
    """The plan's design.

    Raises:
        ConfigurationError: With what would do, where its promise cannot be kept.
    """
    found = design(plan)
    if found.keeps_promise:
        return found
    within = found.bad_lot_stopped[plan.bad_lot_runs_at_most - 1]
    wafers = next((i + 1 for i, p in enumerate(found.bad_lot_stopped) if p >= 1 - plan.missed_at_most), None)
    sites = _enough_sites(plan)
    advice = [f"inspect {sites} sites a wafer" if sites else "", f"allow {wafers} wafers" if wafers else ""]
    said = " or ".join(part for part in advice if part) or "raise bad_rate"
    raise ConfigurationError(
        f"this plan stops {within:.1%} of bad lots within {plan.bad_lot_runs_at_most} wafers, not the promised "
        f"{1 - plan.missed_at_most:.1%}: {said}, or accept that good lots are stopped more often"
    )


def cheapest_plan(plan: LotPlan) -> LotPlan:
    """The plan with the `good_lot_stopped_once_in` that costs least, of those that keep its promise about bad lots.

    Expected cost of a lot: (1 - bad_lots) x stop_good_lot / N + bad_lots x run_bad_wafer x wafers until it is stopped.

    Args:
        plan: with `costs`.

    Returns:
        The same plan with another N (and a `good_lot_held_once_in` that is not above it).

    Raises:
        ConfigurationError: the plan has no costs, or none of them keeps the promise.
    """
    if plan.costs is None:
        raise ConfigurationError(
            "the plan has no costs: add costs with stop_good_lot, run_bad_wafer and bad_lots"
        )
    candidates = [_with_limit(plan, float(n)) for n in np.unique(np.geomspace(10, 1e6, 41).round(-1))]
    kept = [one for one in candidates if design(one).keeps_promise]
    if not kept:
        require_promise(candidates[0])  # whose good lots are stopped most often: says what would do
    return min(kept, key=expected_cost)


def expected_cost(plan: LotPlan) -> float:
    """What errors cost a lot on average; see `cheapest_plan`. A bad lot runs on to its end at most."""
    assert plan.costs is not None
    costs = plan.costs
    false_alarms = (1 - costs.bad_lots) * costs.stop_good_lot / plan.good_lot_stopped_once_in
    return false_alarms + costs.bad_lots * costs.run_bad_wafer * _expected_wafers(plan)


def _expected_wafers(plan: LotPlan) -> float:
    return 1 + float((1 - _run_lengths(plan)[: plan.wafers_per_lot - 1]).sum())


def _with_limit(plan: LotPlan, limit: float) -> LotPlan:
    return replace(
        plan, good_lot_stopped_once_in=limit, good_lot_held_once_in=min(plan.good_lot_held_once_in, limit)
    )


def _enough_sites(plan: LotPlan) -> int | None:
    """The fewest sites a wafer, to about 2 %, that keep the promise; None if none does."""

    def enough(sites: int) -> bool:
        stopped = _run_lengths(replace(plan, sites_per_wafer=sites))
        return bool(stopped[plan.bad_lot_runs_at_most - 1] >= 1 - plan.missed_at_most)

    low, high = plan.sites_per_wafer, 2 * plan.sites_per_wafer
    while not enough(high):
        low, high = high, 2 * high
        if high > min(_MOST_SITES, 200 * plan.sites_per_wafer):
            return None
    while high - low > 1 + 0.02 * low:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


@lru_cache(maxsize=256)
def _run_lengths(plan: LotPlan) -> np.ndarray:
    """Share of bad lots that are stopped after 1, 2, ... wafers."""
    limit = math.log(plan.good_lot_stopped_once_in * plan.wafers_per_lot)
    probabilities, steps = _wafer_steps(plan)
    # Beyond one width of the grid on either side a step does the same: it stops, or falls to 0.
    shift = np.floor(steps / (limit / (_GRID - 1))).clip(-_GRID, _GRID).astype(np.int64)
    kernel = np.bincount(shift + _GRID, weights=probabilities, minlength=2 * _GRID + 1)
    state = np.zeros(_GRID)
    state[0] = 1.0
    stopped, total = [], 0.0
    for _ in range(max(plan.wafers_per_lot, plan.bad_lot_runs_at_most)):
        moved = np.convolve(state, kernel)  # place i is the value i - _GRID
        total += float(moved[2 * _GRID - 1 :].sum())
        state = moved[_GRID : 2 * _GRID].copy()
        state[-1] = 0.0
        # A bet that begins now stands at 0: no bet falls below that.
        state[0] += float(moved[:_GRID].sum())
        stopped.append(min(total, 1.0))
    return np.asarray(stopped)


def _wafer_steps(plan: LotPlan) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each defect count on a bad wafer, and the evidence that it adds."""
    sites = plan.sites_per_wafer
    rho = 0.0 if plan.clustering == ANY else float(plan.clustering)
    # Counts that no lot will ever see take no time.
    logs = np.array([_log_count(sites, k, plan.bad_rate, rho) for k in range(sites + 1)])
    kept = np.flatnonzero(logs > -40.0)
    steps = np.array([log_ratio(plan, sites, int(k)) for k in kept])
    return np.exp(logs[kept]), steps


def _log_count(sites: int, defects: int, rate: float, rho: float) -> float:
    choose = math.lgamma(sites + 1) - math.lgamma(defects + 1) - math.lgamma(sites - defects + 1)
    if rho == 0:
        return choose + defects * math.log(rate) + (sites - defects) * math.log1p(-rate)
    size = (1 - rho) / rho
    a, b = rate * size, (1 - rate) * size
    return (
        choose + math.lgamma(defects + a) - math.lgamma(a) + math.lgamma(sites - defects + b) - math.lgamma(b)
        - math.lgamma(sites + size) + math.lgamma(size)
    )  # fmt: skip
