"""Files that have arrived but may not be complete yet: when to look into them, and when to give up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tool_side.watch.done import Done, FileState

_UNSEEN = FileState(-1, 0, 0)


@dataclass
class Arrival:
    """A file without a result.

    Attributes:
        since: When it last changed (seconds).
        tried: Undecodable in this state.
        last_chance: It did not change for so long that its result is due, whatever it is.
    """

    path: str
    state: FileState = _UNSEEN
    since: float = 0.0
    tried: bool = False
    last_chance: bool = False


class FileChangedError(Exception):
    """The file is not, or no longer, in the state in which it was to be read."""


class Arrivals:
    """The waiting room of watch mode.

    A program that writes an image in pieces, or copies it over a slow network, leaves half a file for a while.
    A file is looked into once its size, time and inode have stood still for `settle` seconds. If it cannot be
    decoded then, it is looked into again after its next change, and finally `give_up` seconds after its last.
    """

    def __init__(self, done: Done, *, settle: float, give_up: float) -> None:
        self._done, self._settle, self._give_up = done, settle, max(settle, give_up)
        self._waiting: dict[str, Arrival] = {}
        self.left_again = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, path: str) -> None:
        """A file was found; found again while it waits, nothing happens."""
        self._waiting.setdefault(path, Arrival(path))

    def due(self, now: float) -> list[Arrival]:
        """Those to look into now, oldest file first.

        Args:
            now: Seconds of the clock that all calls share.
        """
        due = []
        for arrival in list(self._waiting.values()):
            try:
                state = FileState.of(Path(arrival.path).stat())
            except OSError:  # removed or renamed before it was inspected
                self.remove(arrival)
                self.left_again += 1
                continue
            if self._done.is_same_file(arrival.path, state):
                self.remove(arrival)
            elif state != arrival.state:
                arrival.state, arrival.since, arrival.tried = state, now, False
            elif now - arrival.since >= (self._give_up if arrival.tried else self._settle):
                arrival.last_chance = now - arrival.since >= self._give_up
                due.append(arrival)
        return sorted(due, key=lambda arrival: (arrival.state.mtime_ns, arrival.path))

    def seconds_to_next(self, now: float) -> float | None:
        """How long until the next one may have settled; None if none is waiting for that."""
        untried = [
            arrival.since + self._settle - now for arrival in self._waiting.values() if not arrival.tried
        ]
        return max(0.0, min(untried)) if untried else None

    def wait_on(self, arrival: Arrival) -> None:
        """It could not be decoded: perhaps it is still being written."""
        arrival.tried = True

    def start_over(self, arrival: Arrival) -> None:
        """It changed while it was read."""
        arrival.state = _UNSEEN

    def remove(self, arrival: Arrival) -> None:
        """It has its result."""
        self._waiting.pop(arrival.path, None)


def read_unchanged(path: str, state: FileState) -> bytes:
    """All bytes of a file that is in `state` before and after. Raises FileChangedError, or OSError."""
    with Path(path).open("rb") as file:
        if FileState.of(os.fstat(file.fileno())) != state:
            raise FileChangedError
        data = file.read(state.size + 1)
        if len(data) != state.size or FileState.of(os.fstat(file.fileno())) != state:
            raise FileChangedError
    return data
