"""All streams of a fab together.

How sure each watch must be that the fab is not paged for nothing, and where the cause lies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lifecycle.drift.wafer_summary import Stream
from lifecycle.drift.watches import APPEARANCE, WATCHES, Finding

DAYS_A_MONTH = 30.44


@dataclass(frozen=True)
class Budget:
    """How many false alarms the fab accepts.

    Attributes:
        false_alarms_a_month: Over all streams and watches together, expected, while nothing drifts.
        looks_a_month: How often each stream is looked at.
    """

    false_alarms_a_month: float = 0.5
    looks_a_month: float = DAYS_A_MONTH / 7

    def level(self, streams: int) -> float:
        """The p-value below which one watch of one of `streams` speaks: Bonferroni, so no independence is assumed."""
        return min(0.01, self.false_alarms_a_month / (self.looks_a_month * max(1, streams) * len(WATCHES)))


@dataclass(frozen=True)
class Alarm:
    """What has drifted, and where the cause lies.

    Attributes:
        cause: "tool", "layer", "recipe", "lamp or focus of one tool", "everywhere", or "stream" where one stream alone
            has drifted.
        where: Name of the tool, layer or recipe; "" for everywhere.
        streams: Those that have drifted.
        text: For a person: what, where, since which look.
    """

    cause: str
    where: str
    streams: tuple[Stream, ...]
    text: str


def alarms(findings: Mapping[Stream, Sequence[Finding]], level: float) -> list[Alarm]:
    """What to page about, the fewest causes that explain all drifting streams.

    Args:
        findings: What each stream's watches said at this look; a stream that had too few wafers is left out.
        level: From `Budget.level`.
    """
    drifting = {
        stream: [f for f in found if f.is_drift(level)]
        for stream, found in findings.items()
        if any(f.is_drift(level) for f in found)
    }
    remaining, raised = dict(drifting), []
    while remaining:
        cause, where, streams = _widest(set(remaining), set(findings))
        spoken = [finding for stream in streams for finding in remaining[stream]]
        if cause == "tool" and {f.watch for f in spoken} == {APPEARANCE}:
            cause = "lamp or focus of one tool"
        raised.append(Alarm(cause, where, tuple(sorted(streams)), _text(cause, where, streams, spoken)))
        for stream in streams:
            del remaining[stream]
    return raised


def _widest(drifting: set[Stream], looked: set[Stream]) -> tuple[str, str, list[Stream]]:
    """The cause that explains most drifting streams while most streams that it would touch do drift."""
    if len(looked) > 1 and len(drifting) >= 0.6 * len(looked):
        return "everywhere", "", sorted(drifting)
    best: tuple[int, str, str, list[Stream]] | None = None
    for field in ("tool", "recipe", "layer"):
        for value in sorted({getattr(stream, field) for stream in drifting}):
            touched = [stream for stream in looked if getattr(stream, field) == value]
            hit = sorted(stream for stream in drifting if getattr(stream, field) == value)
            if len(hit) > 0.5 * len(touched) and (best is None or len(hit) > best[0]):
                best = (len(hit), field, value, hit)
    if best is None:
        stream = min(drifting)
        return "stream", str(stream), [stream]
    return best[1:]


def _text(cause: str, where: str, streams: Sequence[Stream], findings: Sequence[Finding]) -> str:
    place = {"everywhere": "on all tools", "stream": f"on {where} alone"}.get(cause, f"{cause} {where}")
    strongest = min(findings, key=lambda finding: finding.p)
    watches = ", ".join(sorted({finding.watch for finding in findings}))
    return (
        f"drift, {place} ({len(streams)} stream{'s' if len(streams) > 1 else ''}): {watches}; clearest: "
        f"{strongest.watch}, {strongest.what}, effect {strongest.effect:.2f}, p = {strongest.p:.1e}"
    )
