"""GO, HOLD or STOP of a wafer and of a lot, with the reasons in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wafer_data.errors import DataError
from wafer_map.decide.evidence import Evidence, log_ratio
from wafer_map.decide.plan import ANY, LotPlan


class Action(StrEnum):
    """What to do with a wafer or a lot, from mild to severe."""

    GO = "GO"
    HOLD = "HOLD"
    STOP = "STOP"


_SEVERITY = list(Action)


@dataclass(frozen=True)
class WaferCounts:
    """What is known of one wafer.

    Attributes:
        sites: judged sites. defects: those of them with a defect (REVIEW or REJECT on a score).
        unjudged: sites whose image could not be judged; they are neither.
        killers: defects of killer bins. finished: whether the wafer is done.

    Raises:
        DataError: a count is negative or no whole number, or more defects than sites.
    """

    sites: int
    defects: int
    unjudged: int = 0
    killers: int = 0
    finished: bool = True

    def __post_init__(self) -> None:
        for name in ("sites", "defects", "unjudged", "killers"):
            value = getattr(self, name)
            if isinstance(value, bool) or int(value) != value or value < 0:
                raise DataError(f"{name} must be a whole number of at least 0, got {value!r}")
        if self.defects > self.sites:
            raise DataError(f"{self.defects} sites with defects, but only {self.sites} judged")


@dataclass(frozen=True)
class Verdict:
    """What to do, and why.

    Attributes:
        action: GO, HOLD or STOP. reasons: in words; for GO what it rests on.
        evidence: how many times better what was seen fits a bad than a good lot (the e-value's highest); a good one
            reaches N at most once in N.
        cleared: what was seen fits a good wafer or lot so much better than a bad one that fewer sites would do.
    """

    action: Action
    reasons: tuple[str, ...]
    evidence: float
    cleared: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "action": self.action.value,
            "reasons": list(self.reasons),
            "evidence": self.evidence,
            "cleared": self.cleared,
        }


def decide_wafer(plan: LotPlan, counts: WaferCounts) -> Verdict:
    """The verdict on one wafer, from its own counts.

    Args:
        plan: its wafer limits. counts: so far; may be asked again after every image, the error rates hold anyway.

    Returns:
        The verdict.
    """
    log_value = log_ratio(plan, counts.sites, counts.defects, finished=counts.finished)
    limits = (plan.good_wafer_held_once_in, plan.good_wafer_stopped_once_in)
    found = [_by_evidence(log_value, limits, "wafer", _seen(counts.sites, counts.defects))]
    found += _by_wafer(plan, counts, "")
    short = _short_of_plan(plan, [counts])
    if plan.clustering == ANY and counts.finished and counts.defects > plan.bad_rate * counts.sites:
        # Where only the mean of many wafers is assumed, one wafer proves nothing; it is looked at all the same.
        seen = _seen(counts.sites, counts.defects)
        found.append((Action.HOLD, f"{seen}: more than on a bad lot's average wafer ({plan.bad_rate:.2%})"))
    return _severest(found, short, log_value, _cleared(plan, log_value))


def decide_lot(plan: LotPlan, wafers: Sequence[WaferCounts]) -> Verdict:
    """The verdict on a lot from its wafers in the order in which they ran; the last may be unfinished.

    Args:
        plan: its limits. wafers: at most one, the last, unfinished.

    Returns:
        The verdict. A lot that was once to be stopped at the end of a wafer stays so, whatever follows; one without
        a wafer is held.

    Raises:
        DataError: an unfinished wafer before the last.
    """
    evidence = Evidence(plan)
    for i, counts in enumerate(wafers):
        if counts.finished:
            evidence.add(counts.sites, counts.defects)
        elif i + 1 < len(wafers):
            raise DataError(f"wafer {i + 1} of the lot is unfinished, and others follow it")
    running = wafers[-1] if wafers and not wafers[-1].finished else None
    return lot_verdict(plan, evidence, wafers, running)


def lot_verdict(
    plan: LotPlan, evidence: Evidence, wafers: Sequence[WaferCounts], running: WaferCounts | None
) -> Verdict:
    """`decide_lot` where the evidence of finished wafers is kept already."""
    log_value = evidence.log_peak
    if running is not None:
        log_value = evidence.with_running(running.sites, running.defects)
    sites, defects = sum(c.sites for c in wafers), sum(c.defects for c in wafers)
    limits = (plan.good_lot_held_once_in, plan.good_lot_stopped_once_in)
    seen = f"{_seen(sites, defects)} on {len(wafers)} wafers"
    found = [_by_evidence(log_value, limits, "lot", seen)]
    if not wafers:
        found.append((Action.HOLD, "the lot has no wafer: nothing is known"))
    for i, counts in enumerate(wafers):
        found += _by_wafer(plan, counts, f"wafer {i + 1}: ")
    total = log_ratio(plan, sites, defects) if plan.clustering == 0.0 else evidence.log_value
    return _severest(found, _short_of_plan(plan, wafers), log_value, _cleared(plan, total))


_Finding = tuple[Action, str]


def _by_evidence(log_value: float, limits: tuple[float, float], unit: str, seen: str) -> _Finding:
    hold, stop = limits
    for action, limit in ((Action.STOP, stop), (Action.HOLD, hold)):
        if log_value >= math.log(limit):
            word = "stopped" if action is Action.STOP else "held"
            return (
                action,
                f"{seen}: a good {unit} looks so bad at most once in {_times(log_value)} (it is {word} at {limit:g})",
            )
    return Action.GO, f"{seen}: no evidence of a bad {unit}"


def _by_wafer(plan: LotPlan, counts: WaferCounts, where: str) -> list[_Finding]:
    found: list[_Finding] = []
    for action, limit in ((Action.STOP, plan.killers.stop_at), (Action.HOLD, plan.killers.hold_at)):
        if limit is not None and counts.killers >= limit:
            found.append((action, f"{where}{counts.killers} killer defects, {action.value} at {limit}"))
            break
    total = counts.sites + counts.unjudged
    if counts.unjudged and counts.finished and counts.unjudged > plan.unjudged_at_most * total:
        found.append((Action.HOLD, f"{where}{counts.unjudged} of {total} sites could not be judged"))
    if counts.finished and counts.sites == 0:
        found.append((Action.HOLD, f"{where}no site was judged: nothing is known"))
    return found


def _short_of_plan(plan: LotPlan, wafers: Sequence[WaferCounts]) -> tuple[str, ...]:
    """Says that the plan's promise about bad wafers and lots does not hold, where it was not given its sites."""
    short = [counts.sites for counts in wafers if counts.finished and counts.sites < plan.sites_per_wafer]
    if not short:
        return ()
    who = f"{len(short)} of {len(wafers)} wafers have" if len(wafers) > 1 else "it has"
    planned = f"fewer judged sites than the plan's {plan.sites_per_wafer} (the least {min(short)})"
    return (f"{who} {planned}: what the plan promises of bad lots does not hold",)


def _severest(found: list[_Finding], short: tuple[str, ...], log_value: float, cleared: bool) -> Verdict:
    action = max((one for one, _ in found), key=_SEVERITY.index)
    reasons = (*(reason for one, reason in found if one is action), *short)
    return Verdict(action, reasons, math.exp(min(log_value, 700.0)), cleared and action is Action.GO)


def _cleared(plan: LotPlan, log_value: float) -> bool:
    return -log_value >= math.log(1 / plan.missed_at_most)


def _seen(sites: int, defects: int) -> str:
    share = f" ({defects / sites:.2%})" if sites else ""
    return f"{defects} of {sites} judged sites have a defect{share}"


def _times(log_value: float) -> str:
    return f"{math.exp(log_value):.3g}" if log_value < 30 else f"10^{log_value / math.log(10):.0f}"
