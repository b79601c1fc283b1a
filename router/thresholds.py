"""Pairs of thresholds (escalate, review) from the scores of calibration normals, before any defect is looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from router.bounds import exceedance_order, kth_largest, nearest_order
from router.config import RouterConfig
from router.policy import RoutingPolicy


@dataclass(frozen=True)
class ThresholdPath:
    """S pairs of thresholds, ever less safe: what one pair passes, every later one passes too.

    Attributes:
        escalate_above, review_above: (S,) float64, in units of the policy's standardised scores.
        escalation_order, flag_order: (S,) int64; with n normals, step s escalates k = escalation_order[s] in
            n + 1 of them and flags at most flag_order[0] in n + 1 (see :func:`fixed_path`).
    """

    escalate_above: np.ndarray
    review_above: np.ndarray
    escalation_order: np.ndarray
    flag_order: np.ndarray

    def __len__(self) -> int:
        return len(self.escalate_above)

    def policy(self, standard: RoutingPolicy, step: int) -> RoutingPolicy:
        """`standard` with the thresholds of one step; nothing is rejected yet."""
        return replace(
            standard,
            escalate_above=float(self.escalate_above[step]),
            review_above=float(self.review_above[step]),
            reject_above=None,
        )

    def misses(self, z_lowres: np.ndarray, blend: np.ndarray) -> np.ndarray:
        """How many of m images every step passes, (S,) int64, from :func:`scores_of`."""
        found = (z_lowres[:, None] > self.escalate_above) & (blend[:, None] > self.review_above)
        return np.asarray((~found).sum(0))


def scores_of(standard: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two figures (n,) that thresholds act on.

    Returns:
        z_lowres, on which `escalate_above` acts, and the score of an escalated image, on which `review_above` acts.
    """
    z_lowres = standard.standardise_lowres(lowres)
    everything = replace(standard, escalate_above=float(z_lowres.min(initial=0.0)) - 1.0)
    return z_lowres, everything.routed_score(lowres, full)


def pair_at(
    z_lowres: np.ndarray, blend: np.ndarray, order: int, flag_rate: float
) -> tuple[float, float, int]:
    """Thresholds that escalate `order` of n + 1 normals and flag the j that `flag_rate` allows, with j.

    Args:
        z_lowres, blend: (n,), of normals. The review threshold is the j-th largest score among the escalated.
    """
    count = z_lowres.size
    escalate_above = kth_largest(z_lowres, order)
    candidates = blend[z_lowres > escalate_above]
    # Ties at the escalation threshold can leave fewer images above it, even none; all that is escalated is
    # then flagged.
    flag_order = min(exceedance_order(count, flag_rate), max(candidates.size, 1))
    review_above = (
        kth_largest(candidates, flag_order) if candidates.size else float(min(blend.min(), z_lowres.min()))
    )
    return escalate_above, review_above, flag_order


def target_order(count: int, config: RouterConfig) -> int:
    """How many of count + 1 normals to escalate: as near the target as the budget allows."""
    return nearest_order(count, config.escalation_target, *config.escalation_budget)


def single(z_lowres: np.ndarray, blend: np.ndarray, order: int, config: RouterConfig) -> ThresholdPath:
    """The one pair that escalates `order` of n + 1 normals and flags as many as the flag rate allows."""
    escalate_above, review_above, flag_order = pair_at(z_lowres, blend, order, config.flag_rate)
    return ThresholdPath(
        np.array([escalate_above]), np.array([review_above]), np.array([order]), np.array([flag_order])
    )


def fixed_path(z_lowres: np.ndarray, blend: np.ndarray, config: RouterConfig) -> ThresholdPath:
    """The pairs that defects may choose from, in the order in which they are tested.

    The first escalates as much as the budget allows and flags as much as the flag rate allows. Then escalation
    falls, normal by normal, to its target with the review threshold held; then the review threshold rises, normal by
    normal. Normals alone decide it, so for the defects it is fixed, and as every step flags and escalates a part
    of what the one before did, no choice among them can exceed the first one's rates on normals:
    E[escalated] <= k_0 / (n + 1) and E[flagged] <= j_0 / (n + 1).
    """
    target, most = (
        target_order(z_lowres.size, config),
        exceedance_order(z_lowres.size, config.escalation_budget[1]),
    )
    orders = np.arange(max(most, target), target - 1, -1)
    _, review_above, flag_order = pair_at(z_lowres, blend, int(orders[0]), config.flag_rate)
    escalate_above = np.sort(z_lowres)[::-1][orders - 1]
    above = blend > review_above
    flagged = (z_lowres[above][:, None] > escalate_above).sum(0)
    # Strictly above a j-th largest there are j - 1.
    flag_orders = np.minimum(flagged + 1, flag_order)

    ranked = np.sort(blend[z_lowres > escalate_above[-1]])[::-1]
    rising = np.arange(int(flag_orders[-1]) - 1, 0, -1)
    higher = ranked[rising - 1]
    return ThresholdPath(
        np.r_[escalate_above, np.full(rising.size, escalate_above[-1])],
        np.r_[np.full(orders.size, review_above), np.maximum(higher, review_above)],
        np.r_[orders, np.full(rising.size, target)],
        np.r_[flag_orders, rising],
    )
