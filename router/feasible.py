"""What to ask for instead, when labelled defects cannot carry the miss rate that was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from router.bounds import defects_needed, exceedance_order, miss_rate_upper
from router.config import RouterConfig
from router.thresholds import single

ESCALATIONS = (0.1, 0.2, 0.5, 0.95)
CONFIDENCES = (0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class FeasibleRow:
    """The safest pair of thresholds at one escalation, and the smallest max_fnr that it carries.

    Attributes:
        escalation: Upper end of the budget.
        missed: Of the labelled defects.
        max_fnr: By confidence; those of one confidence hold for all rows at once, so any row may be taken
            after looking at the table.
    """

    escalation: float
    missed: int
    max_fnr: dict[float, float]


def feasible_rows(
    normal: tuple[np.ndarray, np.ndarray], defect: tuple[np.ndarray, np.ndarray], config: RouterConfig
) -> list[FeasibleRow]:
    """Rows for the budget's upper end and for larger ones; both pairs are z_lowres and blend of :func:`scores_of`."""
    high, count = config.escalation_budget[1], defect[0].size
    levels = [high, *(level for level in ESCALATIONS if level > high)]
    confidences = sorted({*CONFIDENCES, config.confidence})
    rows = []
    for level in levels:
        order = exceedance_order(normal[0].size, level)
        missed = int(single(*normal, order, config).misses(*defect)[0])
        # Bonferroni: a row may be picked after all have been seen.
        upper = {c: miss_rate_upper(missed, count, 1 - (1 - c) / len(levels)) for c in confidences}
        rows.append(FeasibleRow(level, missed, {c: _rounded_up(value) for c, value in upper.items()}))
    return rows


def refusal(rows: list[FeasibleRow], max_fnr: float, defects: int, config: RouterConfig) -> str:
    """The error message of an infeasible request, with the table of what the sample does carry."""
    confidences = sorted(rows[0].max_fnr)
    first = rows[0]
    needed = defects_needed(max_fnr, config.confidence)
    with_misses = (
        f", {defects_needed(max_fnr, config.confidence, first.missed)} with {first.missed}"
        if first.missed
        else ""
    )
    lines = [
        f"router.max_fnr={max_fnr:g} at {config.confidence:.0%} confidence cannot be certified within an escalation of "
        f"{first.escalation:.1%}: of {defects} labelled calibration defects {first.missed} are missed there. "
        f"{needed} defects without a miss would be needed{with_misses}.",
        f"The smallest router.max_fnr that this sample carries, at a flag rate of {config.flag_rate:.1%}:",
        "  escalation of normals   missed" + "".join(f"{f'at {100 * c:.4g} %':>11}" for c in confidences),
    ]
    for row in rows:
        cells = "".join(f"{row.max_fnr[c]:>11.5g}" for c in confidences)
        lines.append(f"  up to {row.escalation:<17.1%} {row.missed:>6}{cells}")
    lines.append(
        "Take a row: its escalation as upper end of router.escalation_budget, its miss rate as router.max_fnr, its "
        "confidence as router.confidence (0.9 for 90 %). Or label more defects for calibration "
        "(data.labelled_defects_per_type, data.calibration_defect_fraction)"
    )
    return "\n".join(lines)


def no_defects(max_fnr: float, confidence: float) -> str:
    """The error message when a miss rate is asked for and no labelled defect calibrates."""
    return (
        f"router.max_fnr={max_fnr:g} cannot be certified without labelled defects: at {confidence:.0%} confidence "
        f"{defects_needed(max_fnr, confidence)} that no model was trained on are needed, none of them missed. Give "
        "some with data.labelled_defects_per_type and data.calibration_defect_fraction, or set router.max_fnr=null; "
        "the miss rate then stays unknown, and the certificate says so"
    )


def _rounded_up(rate: float) -> float:
    """To 3 digits, upwards, so that what is printed can be asked for; 1 stays 1."""
    if rate >= 1:
        return 1.0
    digits = 2 - math.floor(math.log10(rate))
    return min(math.ceil(rate * 10**digits) / 10**digits, 1.0)
