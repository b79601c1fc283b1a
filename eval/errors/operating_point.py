"""What the calibrated thresholds decide on every image, for the routed system or the full student alone."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from router.bounds import exceedance_order, kth_largest
from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.policy import PASS, REVIEW, RoutingPolicy
from router.route_scores import RouteScores
from router.standardise import log_share
from wafer_data.errors import InputError

Model = Literal["routed", "full"]

NEVER, ESCALATED, REFUSED, ALONE = "never escalated", "escalated", "refused by the gate", "full student alone"


def recalibrated(calibration: dict[str, Any], policy: RoutingPolicy, config: RouterConfig) -> RoutingPolicy:
    """The policy that other settings give on the same calibration images; `policy` lends its gate."""
    names = ("lowres", "full", "synthetic_lowres", "synthetic_full")
    if config.full_weight is None:  # what that meant for these students stands in their policy
        config = config.model_copy(update={"full_weight": log_share(policy)})
    low, full, *synthetic = (np.asarray(calibration[name], dtype=np.float64) for name in names)
    return calibrate_policy(low, full, policy.gate, config, *synthetic)[0]


def full_threshold(calibration: dict[str, Any], policy: RoutingPolicy, flag_rate: float) -> float:
    """Standardised full score that at most `flag_rate` of unseen normals exceed, as an order statistic."""
    scores = np.asarray(calibration["full"], dtype=np.float64)
    order = exceedance_order(len(scores), flag_rate)
    if not order:
        raise InputError(f"{len(scores)} calibration normals are too few for a flag rate of {flag_rate:.2%}")
    return kth_largest(policy.standardise_full(scores), order)


@dataclass(frozen=True)
class Decided:
    """N images under one operating point.

    Attributes:
        passed: (N,) bool.
        decisions: (N,) "PASS", "REVIEW" or "REJECT".
        routes: (N,) one of NEVER, ESCALATED, REFUSED, ALONE.
        margin: (N,) how far the score that decided lies above the threshold it met, in robust standard
            deviations of normal log-scores; below 0 for what passed, NaN for what was not judged.
        full_flags: (N,) bool, whether the full student would flag the image if it were asked.
    """

    passed: np.ndarray
    decisions: np.ndarray
    routes: np.ndarray
    margin: np.ndarray
    full_flags: np.ndarray


def decide_routed(policy: RoutingPolicy, scores: RouteScores) -> Decided:
    """The routed system."""
    routed = scores.under(policy)
    low, high = policy.standardise_lowres(scores.lowres), policy.standardise_full(scores.full)
    with np.errstate(invalid="ignore"):
        if_asked = policy.full_weight * high + (1 - policy.full_weight) * low
        margin = np.where(routed.escalated, routed.score - policy.review_above, low - policy.escalate_above)
    return Decided(
        passed=routed.passed,
        decisions=routed.decisions,
        routes=np.where(scores.refused, REFUSED, np.where(routed.escalated, ESCALATED, NEVER)),
        margin=np.where(scores.refused, np.nan, margin),
        full_flags=~(if_asked <= policy.review_above),
    )


def decide_full(policy: RoutingPolicy, threshold: float, scores: RouteScores) -> Decided:
    """The full student on every image, flagged above the standardised `threshold`."""
    margin = policy.standardise_full(scores.full) - threshold
    flagged = ~(margin <= 0)
    decisions = np.where(scores.refused | flagged, REVIEW, PASS)
    return Decided(
        passed=decisions == PASS,
        decisions=decisions,
        routes=np.where(scores.refused, REFUSED, ALONE),
        margin=np.where(scores.refused, np.nan, margin),
        full_flags=flagged,
    )
