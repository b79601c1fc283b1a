"""Progress: a bar with the time left on a terminal, a logged line now and then elsewhere (files, CI).

Set WAFERROUTE_QUIET=1 to silence it. Loops may nest: an inner `track` joins the display that is already open.
"""

import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from rich import progress as bars
from rich.console import Console
from rich.text import Text

Item = TypeVar("Item")

LINE_EVERY_S = 30.0  # without a terminal: at most one line in this many seconds
_LOG = logging.getLogger(__name__)
SHORT_S = 2.0  # without a terminal: a task that took less is not worth its closing line


_whole: Callable[[], str] = str


@contextlib.contextmanager
def whole_run(left: Callable[[], str]) -> Iterator[None]:
    """Show what `left` says of the whole run behind the progress of its parts, while the block runs."""
    global _whole
    before, _whole = _whole, left
    try:
        yield
    finally:
        _whole = before


@dataclass
class Task:
    """One counted piece of work. `total` is None when nobody knows how much there is."""

    description: str
    total: int | None
    done: int = 0
    note: str = ""
    started: float = field(default_factory=lambda: time.monotonic())
    last_line: float = field(default_factory=lambda: time.monotonic())
    bar: bars.TaskID | None = None


class Progress:
    """A display for several tasks, open while its `with` block runs.

    Example::

        with Progress() as progress:
            epochs = progress.add("training", total=6)
            for epoch in range(6):
                for batch in progress.track(loader, f"epoch {epoch + 1}"):
                    ...
                progress.advance(epochs, note="loss 0.31")

    Opened inside another one, it shares that one's display. Use it from one thread.
    """

    _open: "Progress | None" = None  # the outermost display; terminals carry only one

    def __init__(self) -> None:
        self.quiet = os.environ.get("WAFERROUTE_QUIET") == "1"
        self._outer: Progress | None = None
        self._bars: bars.Progress | None = None

    def __enter__(self) -> Self:
        self._outer = Progress._open
        if self._outer is not None:
            self._bars = self._outer._bars
        else:
            Progress._open = self
            if sys.stderr.isatty() and not self.quiet:
                self._bars = _new_bars()
                self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if Progress._open is self:  # not if `close_display` came first
            Progress._open = None
            if self._bars is not None:
                self._bars.stop()

    @property
    def is_outermost(self) -> bool:
        """Whether this display is not part of another one."""
        return self._outer is None

    def add(self, description: str, total: int | None = None) -> Task:
        """Start a task of `total` steps."""
        task = Task(description, total)
        if self._bars is not None:
            task.bar = self._bars.add_task(description, total=total, note="")
        return task

    def advance(self, task: Task, steps: int = 1, note: str | None = None) -> None:
        """Count `steps` as done; `note` (a loss, a count) is shown behind the bar."""
        task.done += steps
        task.note = task.note if note is None else note
        if self._bars is not None and task.bar is not None:
            self._bars.update(task.bar, completed=task.done, note=task.note)
        elif not self.quiet and time.monotonic() - task.last_line >= LINE_EVERY_S:
            _print_line(task, time.monotonic())

    def finish(self, task: Task, keep: bool = False) -> None:
        """Close a task; its bar leaves the display unless `keep`."""
        if self._bars is not None and task.bar is not None:
            if not keep:
                self._bars.remove_task(task.bar)
        elif not self.quiet and time.monotonic() - task.started >= SHORT_S:
            _print_line(task, time.monotonic())

    def track(
        self, items: Iterable[Item], description: str, total: int | None = None, keep: bool = False
    ) -> Iterator[Item]:
        """Yield `items`, counting them. `total` defaults to len(items) where that exists."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        task = self.add(description, total)
        try:
            for item in items:
                yield item
                self.advance(task)
        finally:
            self.finish(task, keep)


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` while a bar with the time left runs; inside an open `Progress` it adds a bar to that."""
    with Progress() as progress:
        yield from progress.track(items, description, total, keep=progress.is_outermost)


def close_display() -> None:
    """Stop the display that an error left open, if any, so that a message can be printed below it.

    A `track` loop whose body fails keeps its display for as long as the exception is being handled.
    """
    if Progress._open is not None:
        Progress._open.__exit__(None, None, None)


atexit.register(close_display)  # a bar hides the cursor: give it back in any case


def _new_bars() -> bars.Progress:
    return bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(elapsed_when_finished=True),
        bars.TextColumn("{task.fields[note]}"),
        _WholeRun(),
        console=Console(stderr=True),
    )


class _WholeRun(bars.ProgressColumn):
    """Behind the outermost bar: what is left of the whole run."""

    def render(self, task: bars.Task) -> Text:
        return Text(_whole() if task.id == 0 else "")


def _print_line(task: Task, now: float) -> None:
    task.last_line = now
    elapsed = now - task.started
    line = f"{task.description}: {task.done}" + (f" of {task.total}" if task.total is not None else "")
    if task.total is not None and 0 < task.done < task.total:
        line += f", about {elapsed / task.done * (task.total - task.done):.0f} s left"
    else:
        line += f" in {elapsed:.0f} s"
    line += f" ({task.note})" if task.note else ""
    _LOG.info("%s", "; ".join(filter(None, [line, _whole()])))
