"""What a routing policy does to the test images: decisions, error rates, the curve of its alternatives."""

from dataclasses import replace

import numpy as np

from eval.metrics import clopper_pearson_upper
from eval.results import RoutingResult
from router.policy import RoutingPolicy
from router.route_scores import RouteScores

_CURVE_POINTS = 400


def measure_routing(policy: RoutingPolicy, labels: np.ndarray, scores: RouteScores) -> RoutingResult:
    """Apply `policy` to the scores of all test images, labels (N,).

    The full student's score is used only where the policy escalates. A refused image goes to REVIEW unjudged. Of images
    that are looked at in tiles, what is escalated is a share of tiles.
    """
    normal, defect = labels == 0, labels == 1
    routed = scores.under(policy)
    passed = routed.passed
    missed, alarms = int(np.sum(passed & defect)), int(np.sum(~passed & normal))
    one_each = scores.per_image(policy)
    escalation, curve_missed, curve_kept = _curve(policy, labels, scores)
    return RoutingResult(
        decisions=routed.decisions,
        routes=routed.routes,
        lowres_standard=policy.standardise_lowres(one_each.lowres),
        routed_standard=routed.score,
        escalate_above=policy.escalate_above,
        review_above=policy.review_above,
        reject_above=policy.reject_above,
        escalation_rate_normal=scores.escalated_share(policy, normal),
        escalation_rate=scores.escalated_share(policy, np.ones(len(labels), bool)),
        missed=missed,
        fnr=_share(passed[defect]),
        fnr_upper95=clopper_pearson_upper(missed, int(defect.sum())) if defect.any() else None,
        false_alarms=alarms,
        fpr=_share(~passed[normal]),
        curve_escalation=escalation,
        curve_missed=curve_missed,
        curve_kept=curve_kept,
    )


def _curve(
    policy: RoutingPolicy, labels: np.ndarray, scores: RouteScores
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Escalated normals, passed defects and never-escalated defects, as shares, for every escalation threshold."""
    normal, defect = labels == 0, labels == 1
    if not (normal.any() and defect.any()):
        return np.empty(0), np.empty(0), np.empty(0)
    standard = policy.standardise_lowres(scores.lowres)
    thresholds = np.unique(standard[np.isfinite(standard)])[::-1]
    if len(thresholds) > _CURVE_POINTS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, _CURVE_POINTS).round().astype(int)]
    thresholds = np.r_[thresholds, thresholds[-1:] - 1.0]
    points = []
    for threshold in thresholds:
        other = replace(policy, escalate_above=float(threshold))
        tried = scores.under(other)
        kept = tried.routes == "lowres"
        points.append(
            (scores.escalated_share(other, normal), tried.passed[defect].mean(), kept[defect].mean())
        )
    escalation, missed, kept_share = np.array(points).T
    return escalation, missed, kept_share


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None
