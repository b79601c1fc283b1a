"""Brightness that is no longer what it was, and the drift check that notices it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lifecycle.conductor.drift import check_drift
from lifecycle.drift.columns import FLAGGED, UNJUDGED
from lifecycle.drift.fab import WINDOWS_DAYS, Alarm
from lifecycle.rehearsal.line import Tool
from lifecycle.rehearsal.notices import Tally
from lifecycle.rehearsal.played_fab import PlayedFab
from lifecycle.rehearsal.timeline import (
    DRIFT_A_MONTH,
    LAMP,
    LAMP_GAIN,
    NEW_TYPE,
    PROCESS,
    PROCESS_GAIN,
    SLOW_DRIFT,
)

_TOLD_DAYS = WINDOWS_DAYS[-1]
"""For so long an alarm may still tell of what has ended: drift looks over no longer window."""


@dataclass
class Drifting:
    """One change of brightness.

    Attributes:
        event: Which.
        tool: Place among the tools; None: all, and there to stay.
        began: Day of its beginning.
        gain: Of a day, against before.
        tally: Of the images that it touched until it was noticed.
        ended: Day on which it was noticed; on one tool the lamp is put right then.
    """

    event: str
    tool: int | None
    began: int
    gain: Callable[[int], float]
    tally: Tally = field(default_factory=Tally)
    ended: float | None = None

    def touches(self, place: int, day: int) -> bool:
        """Whether a tool's images show it on a day."""
        return self.tool in (place, None) and self.began <= day and (self.ended is None or self.tool is None)


class Brightness:
    """All changes of brightness in a rehearsal.

    Args:
        fab: Where they happen.
        process: Whether the process changes, too.

    Attributes:
        false_alarms: Alarms of drift that nothing explains, each with its day.
    """

    def __init__(self, fab: PlayedFab, *, process: bool) -> None:
        self._fab = fab
        self.false_alarms: list[str] = []
        self._sounding: set[tuple[str, str]] = set()
        loss, begin = DRIFT_A_MONTH / 30, fab.begins[SLOW_DRIFT]
        self._drifting = [
            Drifting(SLOW_DRIFT, 0, begin, lambda day: 1 - loss * (day - begin + 1)),
            Drifting(LAMP, 1, fab.begins[LAMP], lambda day: LAMP_GAIN),
        ]
        if process:
            self._drifting.append(Drifting(PROCESS, None, fab.begins[PROCESS], lambda day: PROCESS_GAIN))

    def seen_by(self, place: int, day: int) -> tuple[Tool, list[Drifting]]:
        """A tool as it sees on a day, and what of that has not been noticed yet."""
        tool = self._fab.tools[place]
        touching = [one for one in self._drifting if one.touches(place, day)]
        for one in touching:
            tool = tool.with_gain(tool.camera.gain * one.gain(day))
        return tool, [one for one in touching if one.ended is None]

    def look(self, at: float) -> None:
        """Ask for drift, as the service does, and write down what the alarms explain."""
        fab = self._fab
        alarms = check_drift(fab.database, fab.champion(), fab.inspector, fab.unix_time(at))
        for alarm in alarms:
            told = [one for one in self._drifting if explains(alarm, one, _name_of(one, fab.tools), at)]
            for one in told:
                if one.ended is None:
                    one.ended = at
                    fab.note(one.event, one.began, at, "drift", alarm.text, one.tally, cause=alarm.cause)
            sounding = (alarm.cause, alarm.where) in self._sounding
            if not told and not self._is_new_type(alarm, at) and not sounding:
                self.false_alarms.append(f"day {at:.2f}: {alarm.text}")
        self._sounding = {(alarm.cause, alarm.where) for alarm in alarms}

    def end(self) -> None:
        """What was not noticed is noticed by nobody."""
        for one in self._drifting:
            if one.ended is None and one.began < self._fab.size.days:
                self._fab.note(one.event, one.began, None, "nobody", "not noticed", one.tally)

    def _is_new_type(self, alarm: Alarm, at: float) -> bool:
        """A new type is stopped often on its tool: more is flagged there, which is no false alarm."""
        stopped = set(alarm.watches) == {FLAGGED}
        return stopped and 0 <= at - self._fab.begins[NEW_TYPE] <= _TOLD_DAYS


def explains(alarm: Alarm, one: Drifting, tool: str | None, at: float) -> bool:
    """Whether an alarm is about a brightness: where only more is flagged, the credit is not the lamp's.

    Args:
        alarm: What drift said.
        one: The change of brightness.
        tool: Its tool's name; None: it is of all tools.
        at: Day of the alarm.
    """
    if set(alarm.watches) <= {FLAGGED, UNJUDGED}:
        return False
    if tool is None:  # it goes on, until a version has learned it
        return one.began <= at
    ended = one.ended is not None and at > one.ended + _TOLD_DAYS
    return one.began <= at and not ended and any(stream.tool == tool for stream in alarm.streams)


def _name_of(one: Drifting, tools: list[Tool]) -> str | None:
    return None if one.tool is None else tools[one.tool].name
