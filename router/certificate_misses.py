"""The certificate's statements on defects: what labelled ones bound, what more of them would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.bounds import defects_needed, miss_rate_upper


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


def miss_statement(
    outcomes: dict[str, Outcome], confidence: float, refused: int = 0, trained: int = 0
) -> dict[str, Any]:
    """Upper confidence limit of the false-negative rate, from labelled defects (Clopper & Pearson 1934).

    Exact where the labelled defects chose no threshold. Without any, the status is "unknown".

    Args:
        refused: Further labelled defects that the gate sent to REVIEW; they are not counted, and could only
            lower the rate.
        trained: Labelled defects that taught a model and may therefore certify nothing. worst_type_upper:
            limits the rate of every type at once, so also the rate in any other mixture of these types.
    """
    count = sum(outcome.count for outcome in outcomes.values())
    if count == 0:
        given = "no labelled defect was given"
        if trained or refused:
            given = (
                f"no labelled defect calibrated ({trained} trained the models, {refused} were refused by the quality "
                "gate; data.calibration_defect_fraction keeps some for calibration)"
            )
        return {
            "status": "unknown",
            "reason": f"{given}: normal images and synthetic anomalies prove nothing about real misses",
            "trained_on": trained,
            "refused_by_gate": refused,
        }
    misses = sum(outcome.missed for outcome in outcomes.values())
    joint = 1 - (1 - confidence) / len(outcomes)
    return {
        "status": "bounded",
        "method": "exact binomial limit (Clopper-Pearson); the labelled defects chose no threshold that it rests on",
        "confidence": confidence,
        "defects": count,
        "missed": misses,
        "refused_by_gate": refused,
        "trained_on": trained,
        "observed": misses / count,
        "upper": miss_rate_upper(misses, count, confidence),
        "worst_type_upper": max(miss_rate_upper(o.missed, o.count, joint) for o in outcomes.values()),
        "per_type": {
            name: outcome.shares() | {"upper": miss_rate_upper(outcome.missed, outcome.count, confidence)}
            for name, outcome in outcomes.items()
        },
    }


def controlled_statement(
    statement: dict[str, Any], max_fnr: float, steps: int, certified: int
) -> dict[str, Any]:
    """The statement of :func:`miss_statement` where the same defects chose the thresholds, with `max_fnr` kept.

    The limit is then the promise that was tested and nothing sharper: a limit computed from the misses of the chosen
    step would ignore the choice. Counts by type are kept, limits by type are not.
    """
    per_type = {
        name: {key: value for key, value in shares.items() if key != "upper"}
        for name, shares in statement["per_type"].items()
    }
    kept = {key: value for key, value in statement.items() if key != "worst_type_upper"}
    return kept | {
        "status": "controlled",
        "method": "Learn-then-Test, fixed sequence (MAPIE): the labelled defects chose the thresholds, and the limit "
        "holds whichever of the certified ones they chose",
        "upper": max_fnr,
        "per_type": per_type,
        "thresholds_tested": steps,
        "thresholds_certified": certified,
    }


def needs_statement(defects: int, missed: int, confidence: float) -> list[dict[str, Any]]:
    """How many labelled defects would carry tighter promises: a miss rate of 1 %, 0.5 % and 0.1 %."""
    rows = []
    for miss_rate in (0.01, 0.005, 0.001):
        without_miss, with_one = (defects_needed(miss_rate, confidence, misses) for misses in (0, 1))
        have = f"{defects}, {missed} of them missed" if missed else f"{defects}"
        rows.append(
            {
                "miss_rate": miss_rate,
                "confidence": confidence,
                "defects_without_miss": without_miss,
                "defects_with_one_miss": with_one,
                "have": defects,
                "missed": missed,
                "text": f"a miss rate below {miss_rate:.1%} at {confidence:.0%} confidence needs "
                f"{without_miss} labelled defects without a miss ({with_one} with one); you have {have}",
            }
        )
    return rows
