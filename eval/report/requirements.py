"""The fab's requirements against what this run measured, and whether its test set is large enough to prove them."""

from dataclasses import dataclass
from typing import Literal

from eval.metrics import clopper_pearson_upper, samples_to_certify
from eval.pages import wording
from eval.results import Evaluation

Verdict = Literal["met", "not met", "not proven", "unknown"]

LATENCY_BUDGET_MS = 50.0
PARAMETER_BUDGET = 15_000_000
_MIN_AUROC, _MIN_AUPRC, _MIN_PIXEL_AUROC = 0.95, 0.85, 0.90
_MAX_FNR_AT_FPR5, _MAX_ESCAPES = 0.005, 0.001
ESCALATION = (0.05, 0.08)


@dataclass(frozen=True)
class Requirement:
    """One line of the table: what is asked, what was measured, and what follows."""

    name: str
    asked: str
    measured: str
    verdict: Verdict
    note: str = ""


def requirements(evaluation: Evaluation) -> list[Requirement]:
    """The requirements on the routed system; empty when the run has none."""
    routed, routing = evaluation.models.get("routed"), evaluation.routing
    if routed is None or routing is None:
        return []
    defects = evaluation.data.test_defect
    found = [
        _at_least("Image AUROC", routed.image_auroc, _MIN_AUROC, routed.intervals.get("image_auroc")),
        _at_least("Image AUPRC", routed.image_auprc, _MIN_AUPRC, routed.intervals.get("image_auprc")),
        _at_least("Pixel AUROC", routed.pixel_auroc, _MIN_PIXEL_AUROC, None),
        _below("Missed at 5 % false alarms", routed.fnr_at_fpr5, _MAX_FNR_AT_FPR5, defects),
        _below("Escapes at the chosen thresholds", routing.fnr, _MAX_ESCAPES, defects),
    ]
    rate = routing.escalation_rate_normal
    low, high = ESCALATION
    found.append(
        Requirement(
            "Normal images escalated",
            f"{wording.percent(low, 0)} to {wording.percent(high, 0)}",
            wording.percent(rate),
            "unknown" if rate is None else "met" if low <= rate <= high else "not met",
        )
    )
    if routed.latency is not None:
        slowest = routed.latency.p99
        found.append(
            Requirement(
                "Time for one image, 99th percentile",
                f"below {LATENCY_BUDGET_MS:g} ms",
                wording.milliseconds(slowest),
                "met" if slowest < LATENCY_BUDGET_MS else "not met",
                "one thread of the machine named below",
            )
        )
    found.append(
        Requirement(
            "Parameters, both students",
            f"below {wording.parameters(PARAMETER_BUDGET)}",
            wording.parameters(routed.parameters),
            "met" if routed.parameters < PARAMETER_BUDGET else "not met",
        )
    )
    return found


def _at_least(
    name: str, value: float | None, asked: float, interval: tuple[float, float] | None
) -> Requirement:
    wanted = f"above {asked:.2f}"
    if value is None:
        return Requirement(name, wanted, wording.MISSING, "unknown", "the test set does not allow it")
    if value <= asked:
        verdict: Verdict = "not met"
    else:
        verdict = "not proven" if interval is not None and interval[0] <= asked else "met"
    note = f"95 % interval {wording.bounds(interval)}" if interval else ""
    return Requirement(name, wanted, wording.metric(value), verdict, note)


def _below(name: str, rate: float | None, asked: float, n: int) -> Requirement:
    wanted = f"below {wording.percent(asked)}"
    if rate is None:
        return Requirement(name, wanted, wording.MISSING, "unknown", "no defects in the test set")
    missed = round(rate * n)
    upper = clopper_pearson_upper(missed, n)
    note = f"{missed} of {n}; with 95 % confidence below {wording.percent(upper, 2)}"
    if rate >= asked:
        verdict: Verdict = "not met"
    elif upper < asked:
        verdict = "met"
    else:
        verdict = "not proven"
        note += f"; proof takes {wording.grouped(samples_to_certify(asked))} defects without a miss"
    return Requirement(name, wanted, wording.percent(rate, 2), verdict, note)
