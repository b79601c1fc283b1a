"""Chooses the routing and decision thresholds from calibration images, and certifies what they can prove.

Thresholds are order statistics of normal images' scores: valid for any score distribution and any sample
size that can carry the rate, refused for a smaller one. Labelled defects choose nothing here, so their
misses can be certified exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from router import certificate as statements
from router.bounds import exceedance_order, kth_largest
from router.config import RouterConfig
from router.gate import QualityGate
from router.policy import PASS, RoutingPolicy
from router.samples import checked_pair, optional_pair, picking_mask, require_enough
from wafer_data.errors import InputError

CANDIDATE_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)


def calibrate_policy(
    lowres_normal: np.ndarray,
    full_normal: np.ndarray,
    gate: QualityGate,
    config: RouterConfig,
    synthetic_lowres: np.ndarray | None = None,
    synthetic_full: np.ndarray | None = None,
    *,
    defect_lowres: np.ndarray | None = None,
    defect_full: np.ndarray | None = None,
    defect_types: Sequence[str] | None = None,
    gate_refused: int = 0,
    sample_fingerprint: str | None = None,
) -> tuple[RoutingPolicy, dict[str, Any]]:
    """Policy and certificate from raw scores of calibration images, each image scored by both students.

    lowres_normal, full_normal: shape (n,), normal images that the gate admits. synthetic_*: the same for
    synthetic anomalies (evidence apart; also chooses full_weight = "auto"). defect_*: labelled real
    defects, used for the stated miss rate only, with their `defect_types`. gate_refused: further
    calibration normals that the gate refused. sample_fingerprint: the image store's fingerprint, copied
    into the certificate.

    With n normals, escalate_above is the k-th largest z_lowres, k = floor(escalation_target (n + 1)), and
    review_above the j-th largest routed score over all normals, those not escalated counting as -infinity.
    An unseen normal image is escalated with probability k / (n + 1) and flagged with probability j / (n +
    1) at most, both marginal over the calibration. The second holds although both thresholds use one
    sample: seen among all n + 1 images, the k with the largest z_lowres form one set whichever of them is
    the new one, and the new one is flagged just when its routed score is among the j largest of that set.
    Ties only lower both. A blend of both scores (0 < full_weight < 1) orders images by a scale that is
    estimated, so a third of the normals estimates it and the others calibrate.

    Raises InputError for scores that are not finite and positive, unequal lengths, or too few normals
    (naming the number that is needed).
    """
    lowres, full = checked_pair("calibration normal", lowres_normal, full_normal)
    synthetic = optional_pair("synthetic anomaly", synthetic_lowres, synthetic_full)
    require_enough(len(lowres), config)
    picking = picking_mask(len(lowres), config.blended)
    calibrating = ~picking if config.blended else picking

    standard = _standardisation(lowres[picking], full[picking], gate)
    weight = config.full_weight
    if weight == "auto":
        weight = _best_weight(standard, lowres[picking], full[picking], synthetic)
    policy, rates = _thresholds(
        replace(standard, full_weight=float(weight)), lowres[calibrating], full[calibrating], config
    )

    outcomes = _outcomes_by_type(policy, defect_lowres, defect_full, defect_types)
    defects = sum(outcome.count for outcome in outcomes.values())
    return policy, {
        "schema": statements.SCHEMA,
        "sample": {
            "normals": int(calibrating.sum()),
            "normals_for_weight": int(picking.sum()) if config.blended else 0,
            "scores_sha256": statements.sample_hash(lowres, full),
            "data_fingerprint": sample_fingerprint,
        },
        **rates,
        "gate": statements.gate_statement(gate_refused, len(lowres), config.confidence),
        "fnr": statements.miss_statement(outcomes, config.confidence),
        "needs": statements.needs_statement(defects, config.confidence),
        "synthetic": None if synthetic is None else _synthetic_evidence(policy, *synthetic),
        "assumptions": list(statements.ASSUMPTIONS),
    }


def _standardisation(lowres: np.ndarray, full: np.ndarray, gate: QualityGate) -> RoutingPolicy:
    """A policy that standardises; its thresholds are still to be set."""
    lowres_location, lowres_scale = _location_scale(lowres)
    full_location, full_scale = _location_scale(full)
    return RoutingPolicy(
        lowres_location=lowres_location,
        lowres_scale=lowres_scale,
        full_location=full_location,
        full_scale=full_scale,
        escalate_above=0.0,
        review_above=0.0,
        reject_above=None,
        gate=gate,
    )


def _location_scale(scores: np.ndarray) -> tuple[float, float]:
    """Median of the log-scores and 1.4826 x their median absolute deviation (a normal law's sigma)."""
    logs = np.log(scores)
    location = float(np.median(logs))
    deviations = np.abs(logs - location)
    # With many ties the median deviation can be 0; the mean one is then still a spread.
    scale = 1.4826 * float(np.median(deviations)) or float(np.mean(deviations))
    if scale == 0:
        raise InputError(
            "all calibration normals have the same score: a student is blind to the image; train it again"
        )
    return location, scale


def _best_weight(
    standard: RoutingPolicy,
    lowres: np.ndarray,
    full: np.ndarray,
    synthetic: tuple[np.ndarray, np.ndarray] | None,
) -> float:
    """The weight that best ranks synthetic anomalies above normals (AUROC); if equal, the larger."""
    if synthetic is None or not synthetic[0].size:
        raise InputError(
            'router.full_weight = "auto" needs synthetic anomalies; give a number instead, e.g. 1.0'
        )
    z_low = standard.standardise_lowres(np.concatenate([lowres, synthetic[0]]))
    z_full = standard.standardise_full(np.concatenate([full, synthetic[1]]))

    def auroc(weight: float) -> float:
        ranks = rankdata(weight * z_full + (1 - weight) * z_low)
        anomalies = synthetic[0].size
        wins = ranks[-anomalies:].sum() - anomalies * (anomalies + 1) / 2
        return float(wins / (anomalies * lowres.size))

    return max(CANDIDATE_WEIGHTS, key=auroc)


def _thresholds(
    standard: RoutingPolicy, lowres: np.ndarray, full: np.ndarray, config: RouterConfig
) -> tuple[RoutingPolicy, dict[str, Any]]:
    count = lowres.size
    z_low = standard.standardise_lowres(lowres)
    escalation_order = exceedance_order(count, config.escalation_target)
    policy = replace(standard, escalate_above=kth_largest(z_low, escalation_order))

    escalated = policy.escalate(lowres)
    routed = policy.routed_score(lowres, full)
    candidates = routed[escalated]
    # Ties at the escalation threshold can leave fewer images above it, even none; all that is escalated is
    # then flagged.
    flag_order = min(exceedance_order(count, config.flag_rate), max(candidates.size, 1))
    review_above = kth_largest(candidates, flag_order) if candidates.size else float(routed.min())
    reject_order = min(exceedance_order(count, config.reject_rate), flag_order)
    reject_above = kth_largest(candidates, reject_order) if reject_order and candidates.size else None
    policy = replace(policy, review_above=review_above, reject_above=reject_above)

    def stated(target: float, order: int, threshold: float, among: np.ndarray) -> dict[str, Any]:
        tied = bool(np.count_nonzero(among == threshold) > 1) or not candidates.size
        return statements.rate_statement(target, order, count, threshold, tied, config.confidence)

    escalation = stated(config.escalation_target, escalation_order, policy.escalate_above, z_low)
    flag = stated(config.flag_rate, flag_order, review_above, candidates)
    reject = (
        statements.reject_unavailable(count, bool(reject_order), config)
        if reject_above is None
        else stated(config.reject_rate, reject_order, reject_above, candidates)
    )
    return policy, {
        "escalation": statements.escalation_statement(escalation, count, config),
        "flag": flag,
        "reject": reject,
        "costs": statements.cost_statement(flag["expected"], reject.get("expected", 0.0), config),
    }


def _outcome(policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> statements.Outcome:
    escalated = policy.escalate(lowres)
    decisions = policy.decide(policy.routed_score(lowres, full), escalated)
    return statements.Outcome(lowres.size, int(escalated.sum()), int((decisions == PASS).sum()))


def _outcomes_by_type(
    policy: RoutingPolicy,
    lowres: np.ndarray | None,
    full: np.ndarray | None,
    types: Sequence[str] | None,
) -> dict[str, statements.Outcome]:
    pair = optional_pair("labelled defect", lowres, full)
    if pair is None:
        return {}
    names = np.asarray(types if types is not None else ["defect"] * pair[0].size, dtype=str)
    if names.shape != pair[0].shape:
        raise InputError(f"labelled defects: {names.size} types for {pair[0].size} scores")
    return {
        str(name): _outcome(policy, pair[0][names == name], pair[1][names == name])
        for name in np.unique(names)
    }


def _synthetic_evidence(policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> dict[str, Any]:
    return _outcome(policy, lowres, full).shares() | {
        "label": "synthetic",
        "note": "synthetic anomalies show that the route works; they bound no rate on real defects",
    }
