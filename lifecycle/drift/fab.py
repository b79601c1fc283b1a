"""All streams of a fab together.

How sure each watch must be that the fab is not paged for nothing, and where the cause lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.drift.columns import APPEARANCE, WATCHES
from lifecycle.drift.pooled import EVERYWHERE, LEAST_EFFECT, Sides, groups_of, watch_group
from lifecycle.drift.wafer_summary import Reference, Stream, WaferSummary
from lifecycle.drift.watches import Finding, fit_priors, watch_stream

DAYS_A_MONTH, DAY_S = 30.44, 86400.0
WINDOWS_DAYS = (1.0, 7.0, 28.0)
"""Recent wafers are looked at over each: a large shift shows within the day, a small one needs more wafers."""
LONGEST_S = WINDOWS_DAYS[-1] * DAY_S
REFERENCE_WAFERS, LEAST_REFERENCE, LEAST_RECENT = 60, 24, 2
"""A stream's first wafers under a version are its reference; with fewer than the second nothing is compared, and a
single odd wafer is no drift."""

History = Sequence[tuple[float, WaferSummary]]
"""A stream's wafers with the time of their last image, in its order."""


@dataclass(frozen=True)
class Budget:
    """How many false alarms the fab accepts.

    Attributes:
        false_alarms_a_month: Over all streams, groups, watches and windows together, expected, while nothing drifts.
        looks_a_month: How often each is looked at.
    """

    false_alarms_a_month: float = 0.5
    looks_a_month: float = 4 * DAYS_A_MONTH

    def level(self, tested: int) -> float:
        """The p-value below which one watch speaks: Bonferroni, so no independence is assumed.

        Args:
            tested: Streams and groups.
        """
        tests = self.looks_a_month * max(1, tested) * len(WATCHES) * len(WINDOWS_DAYS)
        return min(0.01, self.false_alarms_a_month / tests)


@dataclass(frozen=True)
class Alarm:
    """What has drifted, and where the cause lies.

    Attributes:
        cause: "tool", "layer", "recipe", "lamp or focus of one tool", "everywhere", or "stream" where one stream alone
            has drifted.
        where: Name of the tool, layer or recipe; "" for everywhere.
        streams: Those that have drifted.
        text: For a person: what and where.
        watches: That said so.
        p: The smallest p-value among them.
    """

    cause: str
    where: str
    streams: tuple[Stream, ...]
    text: str
    watches: tuple[str, ...] = ()
    p: float = 1.0


@dataclass(frozen=True)
class Look:
    """What one look at the fab says.

    Attributes:
        findings: What each stream's watches said, the surest window of each; streams that had too few wafers are left
            out.
        level: How sure one must be.
        alarms: What to page about.
    """

    findings: Mapping[Stream, Sequence[Finding]]
    level: float
    alarms: Sequence[Alarm]


def look_at_fab(
    streams: Mapping[Stream, History],
    now: float,
    training: Callable[[str], np.ndarray],
    budget: Budget | None = None,
    references: dict[tuple[Stream, int], Reference] | None = None,
) -> Look:
    """Look at every stream, and at what they have in common.

    Args:
        streams: At least the first `REFERENCE_WAFERS` wafers of each and those of the last `LONGEST_S` seconds.
        now: Unix time.
        training: Standardised scores of a recipe's calibration normals (`watch_stream`).
        budget: False alarms that the fab accepts.
        references: Of earlier looks at the same streams, by stream and number of wafers; those of this look are added.
    """
    budget = budget or Budget()
    references = {} if references is None else references
    windows = [_sides(streams, now - days * DAY_S, references) for days in WINDOWS_DAYS]
    looked = sorted({stream for sides in windows for stream in sides})
    if not looked:
        return Look({}, budget.level(0), ())
    longest = {stream: next(w[stream] for w in windows if stream in w).reference for stream in looked}
    priors = fit_priors(list(longest.values()))
    level = budget.level(len(looked) + len(groups_of(looked)))
    findings: dict[Stream, list[Finding]] = {}
    for stream in looked:
        surest: dict[str, Finding] = {}
        for sides in windows:
            if stream in sides:
                for one in watch_stream(*sides[stream], training(stream.recipe), priors):
                    _keep_surest(surest, one, one.is_drift(level))
        findings[stream] = list(surest.values())
    raised = alarms(findings, level)
    told = {stream for alarm in raised for stream in alarm.streams}
    return Look(findings, level, (*raised, *_alarms_of_groups(windows, told, level)))


def _keep_surest(kept: dict[str, Finding], one: Finding, drifts: bool) -> None:
    best = kept.get(one.watch)
    if best is None or (drifts, -one.p) > (False, -best.p):
        kept[one.watch] = one


def _sides(
    streams: Mapping[Stream, History], since: float, references: dict[tuple[Stream, int], Reference]
) -> dict[Stream, Sides]:
    """What is held against what; windows share the references that are the same."""
    found = {}
    for stream, wafers in streams.items():
        # a young stream's first four fifths, until it has wafers enough that are older than the window
        older = sum(at <= since for at, _ in wafers)
        count = min(REFERENCE_WAFERS, max(older, len(wafers) - max(LEAST_RECENT, len(wafers) // 5)))
        recent = [w for at, w in wafers[max(count, 0) :] if at > since]
        if count >= LEAST_REFERENCE and len(recent) >= LEAST_RECENT:
            if (stream, count) not in references:
                references[stream, count] = Reference(w for _, w in wafers[:count])
            found[stream] = Sides(references[stream, count], recent)
    return found


def _alarms_of_groups(
    windows: Sequence[Mapping[Stream, Sides]], told: set[Stream], level: float
) -> list[Alarm]:
    """Groups that moved though none of their streams says so, the clearest first; each stream is told of once."""
    raised = []
    for sides in windows:
        while True:
            quiet = {stream: both for stream, both in sides.items() if stream not in told}
            moved = [
                (finding, group, members)
                for group, members in groups_of(list(quiet)).items()
                for finding in watch_group(quiet, members)
                if finding.p < level and finding.effect >= LEAST_EFFECT
            ]
            if not moved:
                break
            finding, (field, name), members = min(moved, key=lambda one: one[0].p)
            raised.append(_alarm(field, name, members, [finding]))
            told |= set(members)
    return raised


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
        raised.append(_alarm(cause, where, sorted(streams), spoken))
        for stream in streams:
            del remaining[stream]
    return raised


def _widest(drifting: set[Stream], looked: set[Stream]) -> tuple[str, str, list[Stream]]:
    """The cause that explains most drifting streams while most streams that it would touch do drift."""
    if len(looked) > 1 and len(drifting) >= 0.6 * len(looked):
        return EVERYWHERE, "", sorted(drifting)
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


def _alarm(cause: str, where: str, streams: Sequence[Stream], spoken: Sequence[Finding]) -> Alarm:
    watches = tuple(sorted({finding.watch for finding in spoken}))
    text = _text(cause, where, streams, spoken)
    return Alarm(cause, where, tuple(streams), text, watches, min(finding.p for finding in spoken))


def _text(cause: str, where: str, streams: Sequence[Stream], findings: Sequence[Finding]) -> str:
    place = {EVERYWHERE: "on all tools", "stream": f"on {where} alone"}.get(cause, f"{cause} {where}")
    strongest = min(findings, key=lambda finding: finding.p)
    watches = ", ".join(sorted({finding.watch for finding in findings}))
    return (
        f"drift, {place} ({len(streams)} stream{'s' if len(streams) > 1 else ''}): {watches}; clearest: "
        f"{strongest.watch}, {strongest.what}, effect {strongest.effect:.2f}, p = {strongest.p:.1e}"
    )
