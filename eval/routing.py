"""What a routing policy does to the test images: decisions, error rates, the curve of its alternatives."""

from dataclasses import replace

import numpy as np

from eval.metrics import clopper_pearson_upper
from eval.results import RoutingResult
from router.policy import RoutingPolicy

_CURVE_POINTS = 400


def judge_routing(
    policy: RoutingPolicy, labels: np.ndarray, lowres: np.ndarray, full: np.ndarray, refused: np.ndarray
) -> RoutingResult:
    """Apply `policy` to raw scores (N,) of both models on every image; `refused` (N,) bool by the quality
    gate.

    The full model's score is used only where the policy escalates. A refused image goes to REVIEW unjudged.
    """
    normal, defect = labels == 0, labels == 1
    decisions, escalated, routed = decide(policy, lowres, full, refused)
    passed = decisions == "PASS"
    missed, alarms = int(np.sum(passed & defect)), int(np.sum(~passed & normal))
    escalation, curve_missed, curve_kept = _curve(policy, labels, lowres, full, refused)
    return RoutingResult(
        decisions=decisions,
        routes=np.where(refused, "none", np.where(escalated, "full", "lowres")),
        lowres_standard=policy.standardise_lowres(lowres),
        routed_standard=routed,
        escalate_above=policy.escalate_above,
        review_above=policy.review_above,
        reject_above=policy.reject_above,
        escalation_rate_normal=_share(escalated[normal]),
        escalation_rate=_share(escalated),
        missed=missed,
        fnr=_share(passed[defect]),
        fnr_upper95=clopper_pearson_upper(missed, int(defect.sum())) if defect.any() else None,
        false_alarms=alarms,
        fpr=_share(~passed[normal]),
        curve_escalation=escalation,
        curve_missed=curve_missed,
        curve_kept=curve_kept,
    )


def decide(
    policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray, refused: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decisions, whether escalated, and the routed standardised score of each image, each (N,)."""
    escalated = policy.escalate(lowres) & ~refused
    routed = policy.routed_score(lowres, np.where(escalated, full, np.nan))
    decisions = np.asarray(policy.decide(routed, escalated))
    return np.where(refused, "REVIEW", decisions), escalated, routed


def ranking_scores(routing: RoutingResult) -> np.ndarray:
    """The routed system's scores (N,) for ROC curves: the routed score, unjudged images above all others.

    An image that the gate refuses, or whose score is not finite, is sent to a person: that is a flag, and it
    ranks as one.
    """
    judged = np.isfinite(routing.routed_standard) & (routing.routes != "none")
    return np.where(judged, routing.routed_standard, np.inf)


def _curve(
    policy: RoutingPolicy, labels: np.ndarray, lowres: np.ndarray, full: np.ndarray, refused: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Escalated normals, passed defects and never-escalated defects, as shares, for every escalation
    threshold.
    """
    normal, defect = labels == 0, labels == 1
    if not (normal.any() and defect.any()):
        return np.empty(0), np.empty(0), np.empty(0)
    standard = policy.standardise_lowres(lowres)
    thresholds = np.unique(standard[np.isfinite(standard)])[::-1]
    if len(thresholds) > _CURVE_POINTS:
        thresholds = thresholds[np.linspace(0, len(thresholds) - 1, _CURVE_POINTS).round().astype(int)]
    thresholds = np.r_[thresholds, thresholds[-1:] - 1.0]
    points = []
    for threshold in thresholds:
        tried = replace(policy, escalate_above=float(threshold))
        decisions, escalated, _ = decide(tried, lowres, full, refused)
        kept = ~escalated & ~refused
        points.append((escalated[normal].mean(), (decisions == "PASS")[defect].mean(), kept[defect].mean()))
    escalation, missed, kept_share = np.array(points).T
    return escalation, missed, kept_share


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None
