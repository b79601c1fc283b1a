"""The certificate: what the calibration sample proves about the policy, what it assumes, what it cannot say.

Written for an auditor and kept beside the policy (`certificate.json`). Rates on normal images come from
order statistics; the false-negative rate comes from labelled defects only and is declared unknown without
them. Synthetic anomalies are reported apart and never enter a guarantee.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.bounds import (
    defects_needed,
    exceedance_interval,
    images_for_budget,
    images_for_order,
    miss_rate_upper,
    probability_within,
)
from router.config import RouterConfig

SCHEMA = 1

ASSUMPTIONS = (
    "Calibration images and the images inspected later are exchangeable: same tools, recipes, layers and "
    "optics, no drift in between.",
    "No calibration image was used to train or select a model, and all of them are truly normal.",
    "Rates are averages over normal images that the quality gate admits; what it refuses goes to REVIEW on "
    "top of them.",
    "A statement about missed defects holds for the defect types in the labelled sample, in the same "
    "proportions.",
)


@dataclass(frozen=True)
class Outcome:
    """Counts of decisions on a sample of anomalies: images, escalated, missed (ended as PASS)."""

    count: int
    escalated: int
    missed: int

    def shares(self) -> dict[str, Any]:
        """The counts and their shares, JSON-ready; a share of nothing is None."""
        return {
            "n": self.count,
            "escalated": self.escalated,
            "missed": self.missed,
            "escalation_rate": self.escalated / self.count if self.count else None,
            "miss_rate": self.missed / self.count if self.count else None,
        }


def sample_hash(*scores: np.ndarray) -> str:
    """sha256 (hex) over calibration scores as little-endian float64, in order: names the sample."""
    digest = hashlib.sha256()
    for values in scores:
        digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
    return digest.hexdigest()


def rate_statement(
    target: float, order: int, count: int, threshold: float, tied: bool, confidence: float
) -> dict[str, Any]:
    """Statement on the share of unseen normals above the `order`-th largest of `count` calibration scores.

    expected: order / (count + 1), an upper limit when scores are tied at the threshold. interval: holds the
    share at `confidence` (see router.bounds.exceedance_interval); its lower end is 0 when tied.
    """
    low, high = exceedance_interval(order, count, confidence)
    return {
        "target": target,
        "order": order,
        "threshold": threshold,
        "expected": order / (count + 1),
        "interval": [0.0 if tied else low, high],
        "confidence": confidence,
        "tied": tied,
    }


def escalation_statement(statement: dict[str, Any], count: int, config: RouterConfig) -> dict[str, Any]:
    """`statement` with the chance that the escalation budget is kept, and the sample that would ensure it."""
    low, high = config.escalation_budget
    return statement | {
        "budget": [low, high],
        "probability_within_budget": None
        if statement["tied"]
        else probability_within(statement["order"], count, low, high),
        "normals_needed_for_budget": images_for_budget(
            config.escalation_target, low, high, config.confidence
        ),
    }


def reject_unavailable(count: int, tied: bool, config: RouterConfig) -> dict[str, Any]:
    """Statement for a policy that rejects nothing: too few normals, or their top scores are tied."""
    needed = images_for_order(1, config.reject_rate)
    if tied:
        reason = "the highest low-resolution scores of the calibration normals are all equal"
    else:
        reason = (
            f"a rejection rate of {config.reject_rate:.2%} needs {needed} calibration normals, "
            f"you have {count}"
        )
    return {
        "status": "unavailable",
        "target": config.reject_rate,
        "normals_needed": needed,
        "reason": f"{reason}; no image is rejected without a person",
    }


def miss_statement(outcomes: dict[str, Outcome], confidence: float) -> dict[str, Any]:
    """Upper confidence limit of the false-negative rate, from labelled defects (Clopper & Pearson 1934).

    Exact because the labelled defects choose no threshold. Without any, the status is "unknown".
    """
    count = sum(outcome.count for outcome in outcomes.values())
    if count == 0:
        return {
            "status": "unknown",
            "reason": "no labelled defect was given: normal images and synthetic anomalies prove nothing "
            "about real misses",
        }
    misses = sum(outcome.missed for outcome in outcomes.values())
    return {
        "status": "bounded",
        "confidence": confidence,
        "defects": count,
        "missed": misses,
        "observed": misses / count,
        "upper": miss_rate_upper(misses, count, confidence),
        "per_type": {
            name: outcome.shares() | {"upper": miss_rate_upper(outcome.missed, outcome.count, confidence)}
            for name, outcome in outcomes.items()
        },
    }


def needs_statement(defects: int, confidence: float) -> list[dict[str, Any]]:
    """How many labelled defects would carry tighter promises: a miss rate of 1 %, 0.5 % and 0.1 %."""
    rows = []
    for miss_rate in (0.01, 0.005, 0.001):
        without_miss, with_one = (defects_needed(miss_rate, confidence, misses) for misses in (0, 1))
        rows.append(
            {
                "miss_rate": miss_rate,
                "confidence": confidence,
                "defects_without_miss": without_miss,
                "defects_with_one_miss": with_one,
                "text": f"a miss rate below {miss_rate:.1%} at {confidence:.0%} confidence needs "
                f"{without_miss} labelled defects without a miss ({with_one} with one); you have {defects}",
            }
        )
    return rows


def gate_statement(refused: int, admitted: int, confidence: float) -> dict[str, Any]:
    """Share of calibration normals refused by the quality gate, with its exact upper confidence limit."""
    seen = refused + admitted
    return {
        "refused": refused,
        "of": seen,
        "upper": miss_rate_upper(refused, seen, confidence),
        "confidence": confidence,
    }


def cost_statement(expected_flag: float, expected_reject: float, config: RouterConfig) -> dict[str, Any]:
    """Expected cost of the decisions on 1 000 normal images, US dollars; escapes are not priced."""
    costs = config.costs
    review = 1000 * (expected_flag - expected_reject) * costs.review_usd
    false_reject = 1000 * expected_reject * costs.false_reject_usd
    return {
        "per_1000_normal_usd": {
            "review": review,
            "false_reject": false_reject,
            "total": review + false_reject,
        },
        "assumed": costs.model_dump(),
    }
