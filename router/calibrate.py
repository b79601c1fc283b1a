"""Chooses the routing and decision thresholds from calibration images, and certifies what they can prove.

Thresholds are order statistics of normal images' scores: valid for any score distribution and any sample size that
can carry the rate, refused for a smaller one. Labelled defects choose among pairs of thresholds only where a miss
rate is asked for, and only among those that it certifies; otherwise their misses are counted and bounded exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from router import certificate as statements
from router.bounds import exceedance_order, just_above
from router.certificate_text import THRESHOLDS
from router.config import RouterConfig
from router.feasible import feasible_rows, no_defects, refusal
from router.gate import QualityGate
from router.policy import PASS, RoutingPolicy
from router.risk_control import certified_steps, cheapest_reject_order, cheapest_step
from router.samples import Defects, checked_defects, checked_pair, optional_pair, picking_mask, require_enough
from router.standardise import best_weight, given_weight, standardisation
from router.thresholds import ThresholdPath, fixed_path, scores_of, single, target_order
from wafer_data.errors import DataError, InputError


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
    defects_refused: int = 0,
    defects_trained: int = 0,
    gate_refused: int = 0,
    sample_fingerprint: str | None = None,
) -> tuple[RoutingPolicy, dict[str, Any]]:
    """Policy and certificate from raw scores of calibration images, each image scored by both students.

    With n normals, escalate_above is the k-th largest z_lowres, k / (n + 1) as near escalation_target as the
    budget allows, and review_above the j-th largest score among the images above that, j = floor(flag_rate (n
    + 1)) or as many as there are. Before the sample is drawn, an unseen normal image is escalated with
    probability k / (n + 1) and flagged with probability j / (n + 1) at most; ties only lower both. (Once it
    is drawn, the two shares are fixed but unknown; their laws over calibrations are the Beta laws of
    router.bounds.) The second holds although both thresholds come from one sample: among all n + 1 images,
    those with the k largest z_lowres are one set, whichever of them is the new one. The new image is
    escalated just when it belongs to that set, and then flagged just when its routed score is among the j
    largest of the set. A given full_weight orders images by their log-scores, whatever scale is estimated
    (router.standardise.z_weight); to choose it (auto) takes a third of the normals and their synthetic
    anomalies, and the others calibrate.

    With max_fnr, the pair of thresholds is chosen among those of router.thresholds.fixed_path that
    router.risk_control certifies; the two probabilities are then bounded by those of the path's first pair.
    With labelled defects reject_above is the cheapest one within reject_rate; misses do not depend on it.

    Args:
        lowres_normal, full_normal: Shape (n,), normal images that the gate admits. synthetic_*: the same for
            synthetic anomalies, the i-th painted into the i-th normal (evidence apart; also choose
            full_weight = "auto"; null is 1 here, where nothing is known of what the students answer). defect_*:
            (m,), labelled real defects that taught no model and that the gate admits, with their `defect_types`.
        gate_refused, defects_refused: Further calibration normals and defects that the gate refused.
        defects_trained: Labelled defects that taught a model; they can certify nothing.
        sample_fingerprint: The image store's fingerprint, copied into the certificate.

    Raises:
        InputError: For scores that are not finite and positive, unequal lengths, too few normals (naming the
            number that is needed), or a max_fnr that the labelled defects do not carry (with a table of what
            they do carry).
    """
    if not isinstance(gate, QualityGate):
        raise DataError(
            f"calibrate_policy needs the quality gate that admitted these images (router.fit_gate), got {gate!r}: "
            "a policy without one could not refuse what it cannot judge"
        )
    lowres, full = checked_pair("calibration normal", lowres_normal, full_normal)
    synthetic = optional_pair("synthetic anomaly", synthetic_lowres, synthetic_full)
    defects = checked_defects(defect_lowres, defect_full, defect_types)
    require_enough(len(lowres), config)
    picking = picking_mask(len(lowres), config.chooses_weight)
    calibrating = ~picking if config.chooses_weight else picking

    standard = standardisation(lowres[picking], full[picking], gate)
    if config.chooses_weight:
        weight = best_weight(standard, lowres[picking], full[picking], synthetic)
    else:
        weight = given_weight(standard, config)
    standard = replace(standard, full_weight=weight)

    normal = scores_of(standard, lowres[calibrating], full[calibrating])
    chosen = _choose(standard, normal, defects, config)
    policy = with_reject(chosen, normal, defects, config)
    certificate = {
        "schema": statements.SCHEMA,
        "sample": {
            "normals": int(calibrating.sum()),
            "normals_for_weight": int(picking.sum()) if config.chooses_weight else 0,
            "defects": defects.count,
            "defects_by_type": {name: int(own.sum()) for name, own in defects.by_type()},
            "scores_sha256": statements.sample_hash(lowres, full, *defects.scores),
            "data_fingerprint": sample_fingerprint,
        },
        **rates(policy, chosen, normal, defects, config),
        "gate": statements.gate_statement(gate_refused, len(lowres), config.confidence),
        "fnr": misses_of(policy, chosen, defects, (defects_refused, defects_trained), config),
        "needs": statements.needs_statement(
            defects.count, outcome_of(policy, *defects.scores).missed, config.confidence
        ),
        "synthetic": None if synthetic is None else synthetic_evidence(policy, *synthetic),
        "assumptions": statements.assumptions(defects.names),
    }
    policy = _off_the_images(policy, normal, defects)
    for section, name in THRESHOLDS.items():
        if "threshold" in certificate[section]:
            certificate[section]["threshold"] = getattr(policy, name)
    return policy, certificate


def _off_the_images(
    policy: RoutingPolicy, normal: tuple[np.ndarray, np.ndarray], defects: Defects
) -> RoutingPolicy:
    """The policy with each threshold a little above the image that set it, below every other.

    No calibration image is decided otherwise, and an exported graph that differs in the last bits decides that image
    alike. A higher threshold can only escalate and flag fewer normals, so what was promised of them still holds.
    """
    of_defects = scores_of(policy, *defects.scores) if defects.count else (np.empty(0), np.empty(0))
    pools = [np.r_[mine, theirs] for mine, theirs in zip(normal, of_defects, strict=True)]
    reject = policy.reject_above
    return replace(
        policy,
        escalate_above=just_above(policy.escalate_above, pools[0]),
        review_above=just_above(policy.review_above, pools[1]),
        reject_above=None if reject is None else just_above(reject, pools[1]),
    )


@dataclass(frozen=True)
class Choice:
    """The step of `path` that was taken.

    Attributes:
        certified: Steps that keep max_fnr; None: no miss rate was asked for.
    """

    policy: RoutingPolicy
    path: ThresholdPath
    step: int
    certified: int | None


def _choose(
    standard: RoutingPolicy, normal: tuple[np.ndarray, np.ndarray], defects: Defects, config: RouterConfig
) -> Choice:
    count = normal[0].size
    if config.max_fnr is None:
        path = single(*normal, target_order(count, config), config)
        return Choice(path.policy(standard, 0), path, 0, None)
    if not defects.count:
        raise InputError(no_defects(config.max_fnr, config.confidence))
    path, scores = fixed_path(*normal, config), scores_of(standard, *defects.scores)
    misses = path.misses(*scores)
    certified = certified_steps(misses, defects.count, config.max_fnr, config.confidence)
    if not certified:
        raise InputError(
            refusal(feasible_rows(normal, scores, config), config.max_fnr, defects.count, config)
        )
    step = cheapest_step(path, certified, misses, defects.count, count, config.costs)
    return Choice(path.policy(standard, step), path, step, certified)


def with_reject(
    chosen: Choice, normal: tuple[np.ndarray, np.ndarray], defects: Defects, config: RouterConfig
) -> RoutingPolicy:
    """The chosen policy with its REJECT threshold: by cost with labelled defects, else by the rate alone.

    The threshold is one of the first step's normals: then no choice of a later step can raise its rate.
    """
    candidates = np.sort(_escalated_first(chosen, normal))[::-1]
    order = min(_most_rejected(chosen, normal[0].size, config), candidates.size)
    if order and defects.count:
        z_lowres, blend = scores_of(chosen.policy, *defects.scores)
        escalated = z_lowres > chosen.policy.escalate_above
        rejected = (escalated[:, None] & (blend[:, None] > candidates[:order])).mean(0)
        order = cheapest_reject_order(normal[0].size, np.r_[0.0, rejected], config.costs)
    if not order:
        return chosen.policy
    return replace(chosen.policy, reject_above=max(float(candidates[order - 1]), chosen.policy.review_above))


def _most_rejected(chosen: Choice, count: int, config: RouterConfig) -> int:
    return min(exceedance_order(count, config.reject_rate), int(chosen.path.flag_order[0]))


def _escalated_first(chosen: Choice, normal: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Scores of the normals that the path's first step escalates."""
    return normal[1][normal[0] > chosen.path.escalate_above[0]]


def rates(
    policy: RoutingPolicy,
    chosen: Choice,
    normal: tuple[np.ndarray, np.ndarray],
    defects: Defects,
    config: RouterConfig,
) -> dict[str, Any]:
    """The certificate's sections on normal images."""
    count, path, step = normal[0].size, chosen.path, chosen.step
    candidates = _escalated_first(chosen, normal)

    def stated(
        target: float, order: int, choice: tuple[int, int], threshold: float, among: np.ndarray
    ) -> dict[str, Any]:
        tied = bool(np.count_nonzero(among == threshold) > 1) or not candidates.size
        return statements.rate_statement(target, order, choice, count, threshold, tied, config.confidence)

    orders, flags = path.escalation_order, path.flag_order
    choice = int(orders.min()), int(orders.max())
    escalation = stated(config.escalation_target, int(orders[step]), choice, policy.escalate_above, normal[0])
    choice = (0 if len(path) > 1 else int(flags[0])), int(flags[0])
    flag = stated(config.flag_rate, int(flags[step]), choice, policy.review_above, candidates)
    most = _most_rejected(chosen, count, config)
    if policy.reject_above is None:
        reject = statements.reject_unavailable(count, most > 0, not candidates.size, config)
    else:
        order = int((candidates > policy.reject_above).sum()) + 1
        choice = (0 if defects.count else order), most
        reject = stated(config.reject_rate, order, choice, policy.reject_above, candidates)
    return {
        "escalation": statements.escalation_statement(escalation, count, config),
        "flag": flag,
        "reject": reject,
        "costs": statements.cost_statement(flag["expected"], reject.get("expected", 0.0), config),
    }


def misses_of(
    policy: RoutingPolicy, chosen: Choice, defects: Defects, unused: tuple[int, int], config: RouterConfig
) -> dict[str, Any]:
    """The certificate's section on missed defects.

    Args:
        unused: Labelled defects that the gate refused, and that taught a model.
    """
    outcomes = {
        name: outcome_of(policy, *(scores[own] for scores in defects.scores))
        for name, own in defects.by_type()
    }
    statement = statements.miss_statement(outcomes, config.confidence, *unused)
    if chosen.certified is None or config.max_fnr is None:
        return statement
    return statements.controlled_statement(statement, config.max_fnr, len(chosen.path), chosen.certified)


def outcome_of(policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> statements.Outcome:
    """What a policy does to images, from both raw scores, each (n,)."""
    escalated = policy.escalate(lowres)
    decisions = policy.decide(policy.routed_score(lowres, full), escalated)
    return statements.Outcome(lowres.size, int(escalated.sum()), int((decisions == PASS).sum()))


def synthetic_evidence(policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> dict[str, Any]:
    """The certificate's section on synthetic anomalies."""
    return outcome_of(policy, lowres, full).shares() | {
        "label": "synthetic",
        "note": "synthetic anomalies show that the route works; they bound no rate on real defects",
    }
