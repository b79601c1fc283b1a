"""A rollout's statistics: when it may be promoted, when it must end, and on what evidence.

The case study's two-sided test at p < 0.01 is asked once, at the planned end; guardrails are looked at all the time.
Together they call equal versions different in at most 1 % of rollouts: 0.2 % are spent on the looks, the rest on the
end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lifecycle.canary.final import Comparison, compare
from lifecycle.canary.guardrail import ArmsTest, MissEvidence, MissReport
from lifecycle.canary.wafers import RATES, Table, WaferCounts
from router.canary import CANARY

LEVEL, GUARD_LEVEL = 0.01, 0.002
FINAL_LEVEL = LEVEL - GUARD_LEVEL

Action = Literal["go on", "roll back", "promote", "ask a person"]


@dataclass(frozen=True)
class Judgement:
    """What a look at a rollout says.

    Attributes:
        action: "roll back" on evidence of harm; "promote" at the planned end if nothing speaks against it; "ask a
            person" where arms differ without harm being shown, or too little was seen.
        text: The evidence, in words.
        misses: What is known of the canary's misses.
        comparison: Of the final look; None before the planned end.
    """

    action: Action
    text: str
    misses: MissReport
    comparison: Comparison | None = None


class Rollout:
    """The always-valid tests of one canary, fed in the order in which wafers are completed.

    Args:
        share: Of wafers that the canary decides, in (0, 1).
        miss_limit: Miss rate of true defects beyond which the canary is taken back at once.
    """

    def __init__(self, share: float = 0.1, miss_limit: float = 0.01) -> None:
        # the three rates share what is spent on looking
        self._tests = {name: ArmsTest(share) for name in RATES}
        self._level = GUARD_LEVEL / len(RATES)
        self._misses = MissEvidence(miss_limit)
        self._wafers: list[WaferCounts] = []

    def add_wafer(self, wafer: WaferCounts) -> None:
        """A wafer whose images are all decided."""
        canary = wafer.arm == CANARY
        for name, events, trials in (
            ("reject", wafer.reject, wafer.images),
            ("flagged", wafer.flagged, wafer.images),
            ("overridden", wafer.overridden, wafer.reviewed),
        ):
            if trials:
                self._tests[name].update(events / trials, canary)
        self._wafers.append(wafer)

    def add_audits(self, missed: Iterable[bool]) -> None:
        """Audited images of the canary that a person called defective: did it PASS them? See `MissEvidence`."""
        for one in missed:
            self._misses.update(one)

    def look(self) -> Judgement:
        """May be asked at any time, as often as one likes."""
        misses = self._misses.report()
        if misses.verdict == "above":
            return Judgement("roll back", f"the canary misses too much: {misses.text}", misses)
        differing = [name for name, test in self._tests.items() if test.differs(self._level)]
        if not differing:
            return Judgement("go on", f"no difference shown after {len(self._wafers)} wafers", misses)
        production, canary = Table.of(self._wafers).rates()
        places = [RATES.index(name) for name in differing]
        worse = [i for i in places if canary[i] > production[i]]
        said = ", ".join(f"{RATES[i]} {canary[i]:.2%} against {production[i]:.2%}" for i in places)
        text = f"the arms differ after {len(self._wafers)} wafers (always valid, level {GUARD_LEVEL:.1%}): {said}"
        return Judgement("roll back" if worse else "ask a person", text, misses)

    def end(self) -> Judgement:
        """The one look at the planned end."""
        earlier = self.look()
        if earlier.action != "go on":
            return earlier
        found = compare(Table.of(self._wafers), level=FINAL_LEVEL)
        if found.verdict == "too few wafers":
            return Judgement(
                "ask a person", f"too few wafers to compare: {found.wafers}", earlier.misses, found
            )
        if found.verdict == "different":
            name = min(found.p, key=lambda key: found.p[key])
            own, other = found.canary[name] or 0.0, found.production[name] or 0.0
            text = f"{name} {own:.2%} against {other:.2%}, p = {found.p[name]:.1e} over wafers"
            return Judgement("roll back" if own > other else "ask a person", text, earlier.misses, found)
        margins = ", ".join(f"{name} by {m:.2%}" for name, m in found.margins.items() if m is not None)
        text = f"no difference shown; one smaller than these could have been missed: {margins}"
        return Judgement("promote", text, earlier.misses, found)
