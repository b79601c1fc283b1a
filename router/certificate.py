"""The certificate: what the calibration sample proves about the policy, what it assumes, what it cannot say.

Written for an auditor and kept beside the policy (`certificate.json`). Rates on normal images come from
order statistics; the false-negative rate comes from labelled defects only and is declared unknown without
them. Synthetic anomalies are reported apart and never enter a guarantee. `router.certificate_text` puts it all
into sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from router.bounds import (
    exceedance_interval,
    images_for_budget,
    images_for_order,
    miss_rate_upper,
    probability_within,
)
from router.certificate_misses import Outcome, controlled_statement, miss_statement, needs_statement
from router.certificate_text import certificate_summary, sample_hash
from router.config import RouterConfig

__all__ = [
    "Outcome",
    "assumptions",
    "certificate_summary",
    "controlled_statement",
    "cost_statement",
    "escalation_statement",
    "gate_statement",
    "miss_statement",
    "needs_statement",
    "rate_statement",
    "reject_unavailable",
    "sample_hash",
]

SCHEMA = 1


def assumptions(defect_types: Sequence[str]) -> list[str]:
    """What the certificate takes for granted, in plain words.

    Args:
        defect_types: Of the labelled sample.
    """
    stated = [
        "Calibration images and the images inspected later are exchangeable: same tools, recipes, layers and "
        "optics, no drift in between.",
        "No calibration image was used to train or select a model, and all normal ones are truly normal.",
        "Rates are averages over normal images that the quality gate admits; what it refuses goes to REVIEW on "
        "top of them.",
    ]
    if not defect_types:
        return [*stated, "Nothing is assumed or said about defects: no labelled one took part."]
    return [
        *stated,
        "Labelled defects are independent of each other (not several images of one event) and truly defective.",
        f"A statement about missed defects holds for the labelled types ({', '.join(defect_types)}) in the same "
        "proportions as in the sample. It says nothing about a type that is not among them.",
    ]


def rate_statement(
    target: float,
    order: int,
    choice: tuple[int, int],
    count: int,
    threshold: float,
    tied: bool,
    confidence: float,
) -> dict[str, Any]:
    """Statement on the share of unseen normals above the `order`-th largest of `count` calibration scores.

    Args:
        choice: The lowest and the highest order that labelled defects might have led to; both are `order`
            where they had no say. expected: order / (count + 1), an upper limit when scores are tied at the
            threshold. at_most: the same of the highest order, which limits the expectation whatever the
            defects chose. interval: holds the share at `confidence` (see router.bounds.exceedance_interval),
            whatever was chosen; its lower end is 0 when tied.
    """
    lowest, highest = choice
    low = exceedance_interval(lowest, count, confidence)[0] if lowest and not tied else 0.0
    return {
        "target": target,
        "order": order,
        "threshold": threshold,
        "expected": order / (count + 1),
        "at_most": highest / (count + 1),
        "interval": [low, exceedance_interval(highest, count, confidence)[1]],
        "confidence": confidence,
        "tied": tied,
        "chosen_with_defects": lowest != highest,
    }


def escalation_statement(statement: dict[str, Any], count: int, config: RouterConfig) -> dict[str, Any]:
    """`statement` with the chance that the escalation budget is kept, and the sample that would ensure it."""
    low, high = config.escalation_budget
    return statement | {
        "budget": [low, high],
        "probability_within_budget": None
        if statement["tied"] or statement["chosen_with_defects"]
        else probability_within(statement["order"], count, low, high),
        "normals_needed_for_budget": images_for_budget(
            config.escalation_target, low, high, config.confidence
        ),
    }


def reject_unavailable(count: int, carried: bool, tied: bool, config: RouterConfig) -> dict[str, Any]:
    """Statement for a policy that rejects nothing: too few normals, tied top scores, or it costs more than it saves."""
    needed = images_for_order(1, config.reject_rate)
    if not carried:
        reason = (
            f"a rejection rate of {config.reject_rate:.2%} needs {needed} calibration normals, "
            f"you have {count}"
        )
    elif tied:
        reason = "the highest low-resolution scores of the calibration normals are all equal"
    else:
        reason = (
            f"rejecting costs more than it saves: a review costs {config.costs.review_usd:g} USD, a false reject "
            f"{config.costs.false_reject_usd:g} USD, and {config.costs.defect_share:.2%} of the images are taken to be "
            "defective (router.costs)"
        )
    return {
        "status": "unavailable" if tied or not carried else "too dear",
        "target": config.reject_rate,
        "normals_needed": needed,
        "reason": f"{reason}; no image is rejected without a person",
    }


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
    """Expected cost of the decisions on 1 000 normal images, US dollars; escapes are not among them.

    rejecting_pays_from: the defective share among rejected images above which rejecting without a person is
    cheaper than having a person look.
    """
    costs = config.costs
    review = 1000 * (expected_flag - expected_reject) * costs.review_usd
    false_reject = 1000 * expected_reject * costs.false_reject_usd
    return {
        "per_1000_normal_usd": {
            "review": review,
            "false_reject": false_reject,
            "total": review + false_reject,
        },
        "rejecting_pays_from": 1 - costs.review_usd / costs.false_reject_usd
        if costs.false_reject_usd > costs.review_usd
        else 0.0,
        "assumed": costs.model_dump(),
    }
