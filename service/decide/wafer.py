"""May a wafer go on? RUN, HOLD or PENDING, from the decisions on its sites and what people said of them.

What a person said of a site counts before what the model decided. A site that waits for a person may be good or have a
defect: where the answer is the same either way it is given at once, otherwise it is PENDING. With the site's plan for
lots (`wafer_map.decide`) the answer is its sequential test's; without one, a wafer runs if no site has a defect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wafer_map.decide import Action, LotPlan, Verdict, WaferCounts, decide_lot, decide_wafer

RUN, HOLD, PENDING = "RUN", "HOLD", "PENDING"


@dataclass(frozen=True)
class Site:
    """The last inspection of a place.

    Attributes:
        decision: PASS, REVIEW or REJECT.
        verdict: good, defect, unsure; None where no person has spoken.
        defect: The strongest defect as the row has it (`type`, `bin`, `killer`; further ones under `others`), or None.
    """

    decision: str
    verdict: str | None = None
    defect: Mapping[str, Any] | None = None

    @property
    def state(self) -> str:
        """good, defect, waiting (for a person) or unjudged (a person could not tell)."""
        if self.verdict is not None:
            return {"good": "good", "defect": "defect"}.get(self.verdict, "unjudged")
        return {"PASS": "good", "REJECT": "defect"}.get(self.decision, "waiting")

    @property
    def killer(self) -> bool:
        """Whether one of the defects here is known to be of a killer bin."""
        if self.defect is None:
            return False
        return any(one.get("killer") is True for one in (self.defect, *self.defect.get("others", ())))


@dataclass(frozen=True)
class Counted:
    """A wafer in numbers of sites.

    Attributes:
        missing: Sites that were expected and have no decision.
        killers: Defects of killer bins; waiting_killers: sites that may be one.
        bins: Sites with a defect and waiting ones by the bin of their strongest defect, or by its type without a bin.
    """

    good: int
    defects: int
    waiting: int
    unjudged: int
    missing: int
    killers: int
    waiting_killers: int
    bins: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def at_worst(self) -> WaferCounts:
        """Counts if all that waits has a defect; what plans for lots count (`wafer_map.decide.WaferCounts`)."""
        return WaferCounts(
            self.good + self.defects + self.waiting, self.defects + self.waiting, self.unjudged + self.missing,
            self.killers + self.waiting_killers,
        )  # fmt: skip

    def at_best(self) -> WaferCounts:
        """Counts if all that waits is good."""
        return WaferCounts(
            self.good + self.defects + self.waiting, self.defects, self.unjudged + self.missing, self.killers
        )


@dataclass(frozen=True)
class Disposition:
    """The answer.

    Attributes:
        disposition: RUN, HOLD or PENDING.
        action: The plan's GO, HOLD or STOP at worst; None without a plan.
        reasons: In words.
    """

    disposition: str
    action: str | None
    reasons: tuple[str, ...]


def count_sites(sites: Sequence[Site], expected: int | None = None) -> Counted:
    """Count a wafer's sites; `expected`: how many the tool measured."""
    states = Counter(site.state for site in sites)
    bins: Counter[str] = Counter()
    for site in sites:
        if site.defect is not None and site.state in ("defect", "waiting"):
            named = site.defect.get("bin") or site.defect.get("type")
            if isinstance(named, str):
                bins[named] += 1
    killers = Counter(site.state for site in sites if site.killer)
    return Counted(
        states["good"], states["defect"], states["waiting"], states["unjudged"],
        max(0, (expected or 0) - len(sites)), killers["defect"], killers["waiting"], dict(sorted(bins.items())),
    )  # fmt: skip


def dispose(counted: Counted, plan: LotPlan | None) -> Disposition:
    """The answer for a wafer.

    Args:
        counted: Its sites.
        plan: Of the site, or None.
    """
    lacking = _sites(counted.missing, "has no decision", "have no decision") if counted.missing else None
    if plan is None:
        return _without_plan(counted, lacking)
    worst, best = decide_wafer(plan, counted.at_worst()), decide_wafer(plan, counted.at_best())
    if worst.action == Action.GO and lacking is None:
        return Disposition(RUN, worst.action.value, worst.reasons)
    if best.action != Action.GO or lacking is not None:
        chosen = best if best.action != Action.GO else worst
        action = max(chosen.action, Action.HOLD, key=list(Action).index)
        reasons = (*((lacking,) if lacking else ()), *(chosen.reasons if chosen.action != Action.GO else ()))
        return Disposition(HOLD, action.value, reasons)
    waits = _sites(counted.waiting, "waits", "wait") + " for a person, and the answer depends on that"
    return Disposition(PENDING, worst.action.value, (waits, *worst.reasons))


def dispose_lot(wafers: Sequence[Counted], plan: LotPlan) -> Verdict:
    """The plan's verdict on a lot; wafers in the order in which they were completed."""
    return decide_lot(plan, [one.at_worst() for one in wafers])


def _without_plan(counted: Counted, lacking: str | None) -> Disposition:
    found = [lacking] if lacking else []
    if counted.defects:
        found.append(_sites(counted.defects, "has a defect", "have a defect"))
    if counted.unjudged:
        found.append("people could not tell what is on " + _sites(counted.unjudged, "", "").strip())
    if found:
        return Disposition(HOLD, None, tuple(found))
    if counted.waiting:
        return Disposition(PENDING, None, (_sites(counted.waiting, "waits", "wait") + " for a person",))
    return Disposition(RUN, None, (f"none of {_sites(counted.good, 'has', 'has')} a defect",))


def _sites(number: int, one: str, many: str) -> str:
    return f"{number} site {one}" if number == 1 else f"{number} sites {many}"
