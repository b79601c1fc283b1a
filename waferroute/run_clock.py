"""How long the whole run will still take: from how long its stages took so far, and what each weighs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping


class RunClock:
    """Time left of the stages of one command.

    A stage's effort is a number in any unit; how many seconds one unit takes on this computer is learned from the
    stages that ended, so before the first of them nothing is said. A stage that takes longer than that makes the rest
    longer too.

    Args:
        efforts: Of each stage, in the order in which they are done.
        clock: Seconds.
    """

    def __init__(self, efforts: Mapping[str, float], clock: Callable[[], float] = time.monotonic) -> None:
        self._waiting, self._clock = dict(efforts), clock
        self._effort = self._seconds = 0.0
        self._current, self._began = 0.0, clock()

    def reweigh(self, efforts: Mapping[str, float]) -> None:
        """What the stages that are still to come weigh, once more is known of their work."""
        self._waiting = {stage: efforts.get(stage, effort) for stage, effort in self._waiting.items()}

    def begin(self, stage: str) -> None:
        """A stage is started."""
        self._current, self._began = self._waiting.pop(stage, 0.0), self._clock()

    def end(self, *, worked: bool) -> None:
        """The stage has ended. worked: whether it was done; a skipped one says nothing about the speed."""
        if worked and self._current:
            self._effort += self._current
            self._seconds += self._clock() - self._began
        self._current = 0.0

    def left(self) -> float | None:
        """Seconds left of all stages; None as long as there is nothing to estimate them from."""
        if not self._effort:
            return None
        rate = self._seconds / self._effort
        elapsed = self._clock() - self._began if self._current else 0.0
        if self._current:
            rate = max(rate, (self._seconds + elapsed) / (self._effort + self._current))
        return max(0.0, rate * self._current - elapsed) + rate * sum(self._waiting.values())


def in_words(seconds: float) -> str:
    """A duration as a person says it: 40 s, 12 min, 1 h 45 min."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
