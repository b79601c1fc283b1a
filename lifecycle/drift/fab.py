"""All streams of a fab together.

How sure each watch must be that the fab is not paged for nothing, and where the cause lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.drift.columns import APPEARANCE, WATCHES, floors
from lifecycle.drift.distribution import compare_distribution
from lifecycle.drift.frame import Frame, History, Reference, Sides
from lifecycle.drift.gain import gain_weights
from lifecycle.drift.lot_tails import tail_freedom
from lifecycle.drift.moderated import fit_prior
from lifecycle.drift.pooled import EVERYWHERE, FIELDS, Group, groups_of, watch_groups
from lifecycle.drift.units import moments_of, units_of
from lifecycle.drift.wafer_summary import Stream
from lifecycle.drift.watches import Finding, Said, compare_means, surest

__all__ = [
    "DAY_S",
    "LONGEST_S",
    "Alarm",
    "Budget",
    "History",
    "Look",
    "alarms",
    "look_at_fab",
]

DAYS_A_MONTH, DAY_S = 30.44, 86400.0
WINDOWS_DAYS = (0.25, 1.0, 2.0, 4.0, 10.0, 28.0)
"""Recent wafers are looked at over each, a little more than twice as long as the one before: a large shift shows within
hours, a small or slow one needs more wafers."""
LONGEST_S = WINDOWS_DAYS[-1] * DAY_S
_WINDOWS_S = tuple(days * DAY_S for days in WINDOWS_DAYS)
_APART = 24
"""Looks over one window's length that can say something new of a long window. Windows that overlap say nearly the same:
a sum of Gaussians over a sliding window crosses z about z^2 times as often a window's length as it lies above z."""


@dataclass(frozen=True)
class Budget:
    """How many false alarms the fab accepts.

    Attributes:
        false_alarms_a_month: Over all streams, groups, watches and windows together, expected, while nothing drifts. A
            bound, as tests that say much the same are counted apart: what a year brings is measured in
            docs/lifecycle.md.
        looks_a_month: How often each is looked at.
    """

    false_alarms_a_month: float = 0.9
    looks_a_month: float = 24 * DAYS_A_MONTH

    def level(self, wafers_a_month: Sequence[float]) -> float:
        """The p-value below which one watch speaks: Bonferroni, so no independence is assumed.

        Only a look that sees new wafers is a test, so a fab may look every hour.

        Args:
            wafers_a_month: Of each stream and group that is tested.
        """
        looks = np.minimum(np.asarray(wafers_a_month, float), self.looks_a_month)
        tests = sum(float(np.minimum(looks, _APART * DAYS_A_MONTH / days).sum()) for days in WINDOWS_DAYS)
        return min(0.01, self.false_alarms_a_month / max(tests * len(WATCHES), 1e-9))


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
) -> Look:
    """Look at every stream, and at what they have in common.

    Args:
        streams: At least the reference of each (`lifecycle.drift.first_wafers`), the wafer that begins the lot after
            it, and those of the last `LONGEST_S` seconds.
        now: Unix time.
        training: Standardised scores of a recipe's calibration normals (`compare_distribution`).
        budget: False alarms that the fab accepts.
    """
    budget = budget or Budget()
    frame = Frame.of(streams)
    windows = frame.sides(_WINDOWS_S, now)
    looked = _looked(frame, windows)
    if not looked:
        return Look({}, budget.level(()), ())
    frame = _with_gain(frame, windows)
    windows = frame.sides(_WINDOWS_S, now)
    rates = dict(zip(frame.streams, _wafers_a_month(frame, now), strict=True))
    groups = groups_of(looked)
    level = budget.level([rates[s] for s in looked] + [sum(rates[s] for s in g) for g in groups.values()])
    said = _ask(frame, windows, training)
    findings = _findings(frame, said, level)
    raised = alarms(findings, level)
    told = {stream for alarm in raised for stream in alarm.streams}
    return Look(findings, level, (*raised, *_alarms_of_groups(frame, windows, told, level)))


def _looked(frame: Frame, windows: Sequence[Sides]) -> list[Stream]:
    """Streams that are looked at over some window."""
    some = np.any([sides.looked for sides in windows], axis=0)
    return [stream for stream, any_of in zip(frame.streams, some, strict=True) if any_of]


def _longest(windows: Sequence[Sides]) -> Reference:
    """The references with most wafers: a young stream's is shorter before a longer window."""
    return max((sides.reference for sides in windows), key=lambda one: int(one.mask.sum()))


def _with_gain(frame: Frame, windows: Sequence[Sides]) -> Frame:
    """The frame with the gain, seen as the spreads of all streams' references teach."""
    known = _longest(windows)
    looks = frame.layout.columns(APPEARANCE)
    at = np.flatnonzero(known.mask)
    units = units_of(frame.rows[at, looks.start : looks.stop - 1], frame.stream[at], frame.unit[at])
    moments = moments_of(units, len(frame.streams))
    freedom = int(np.maximum(moments.units[:, 0] - 1, 0).sum())
    return frame.with_gain(gain_weights(units.means - moments.mean[units.owner], freedom))


def _ask(frame: Frame, windows: Sequence[Sides], training: Callable[[str], np.ndarray]) -> list[Said]:
    """All watches of all streams over each window. Streams borrow spreads, and how heavy tails are, from all."""
    known = _longest(windows)
    prior = fit_prior(known.moments.variance, np.maximum(known.moments.units - 1, 0.0))
    tails = tail_freedom(known.units, known.moments, prior)
    found = []
    for sides in windows:
        if not sides.looked.any():
            found.append(Said.nothing(len(frame.streams)))
            continue
        fresh, reference = sides.recent, sides.reference
        recent = units_of(frame.rows[fresh], frame.stream[fresh], frame.unit[fresh])
        floor = floors(frame.layout, reference.images)
        said = compare_means(reference.moments, recent, floor, frame.layout, prior, tails)
        compare_distribution(frame, sides, training, said)
        found.append(said)
    return found


def _wafers_a_month(frame: Frame, now: float) -> np.ndarray:
    """Of each stream, as the longest window shows it."""
    size = len(frame.streams)
    first = np.full(size, np.inf)
    np.minimum.at(first, frame.stream, frame.at)
    days = np.clip((now - first) / DAY_S, 1.0, WINDOWS_DAYS[-1])
    recent = np.bincount(frame.stream[frame.at > now - LONGEST_S], minlength=size)
    return np.asarray(np.maximum(recent, 1) / days * DAYS_A_MONTH)


def _findings(frame: Frame, said: Sequence[Said], level: float) -> dict[Stream, list[Finding]]:
    """Of each stream what its watches said, the surest window of each."""
    found = {}
    for owner, (stream, windows) in enumerate(zip(frame.streams, surest(said, level), strict=True)):
        own = [
            said[window].finding(owner, place, frame.layout)
            for place, window in enumerate(windows)
            if window >= 0
        ]
        if own:
            found[stream] = own
    return found


def _alarms_of_groups(frame: Frame, windows: Sequence[Sides], told: set[Stream], level: float) -> list[Alarm]:
    """Groups that moved though none of their streams says so, the clearest first; each stream is told of once."""
    raised: list[Alarm] = []
    known: dict[tuple[Stream, ...], dict[Group, list[Stream]]] = {}
    for sides in windows:
        while True:
            quiet = [
                s for s, looked in zip(frame.streams, sides.looked, strict=True) if looked and s not in told
            ]
            moved: list[tuple[Finding, Group, list[Stream]]] = []
            if tuple(quiet) not in known:
                known[tuple(quiet)] = groups_of(quiet)
            groups = known[tuple(quiet)]
            for field in (EVERYWHERE, *FIELDS):
                names = [group for group in groups if group[0] == field]
                if not names:
                    continue
                said, far = watch_groups(frame, sides, [groups[name] for name in names])
                with np.errstate(invalid="ignore"):
                    clear = np.argwhere((said.p < level) & far)
                moved += [
                    (said.finding(int(at), int(place), frame.layout), names[at], groups[names[at]])
                    for at, place in clear
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
    remaining = {
        stream: drifting
        for stream, found in findings.items()
        if (drifting := [finding for finding in found if finding.is_drift(level)])
    }
    raised = []
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
