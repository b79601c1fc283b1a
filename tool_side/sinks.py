"""Where results go: one interface, and the sinks that need no file of their own.

`inspect` and the watch mode write every result to each of their sinks, in order: heat maps, then the journal
(`tool_side.watch.journal`), its copy as a table (`tool_side.watch.csv`), what is printed, and the monitor
(`tool_side.watch.monitor`). A database or a second version of a model that looks on is another sink.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TextIO

from router.decision import Decision
from tool_side.runtime.heatmap import write_heatmap
from tool_side.runtime.inspection import Inspection
from wafer_data.errors import InputError
from wafer_data.listing import HEATMAP_SUFFIX, printable

_LOG = logging.getLogger(__name__)
LONGEST_NAME = 255
_ROW = "{:<8} {:<7} {:>8} {:>9}  {}"
TABLE_HEAD = _ROW.format("decision", "route", "score", "ms", "image")


class Sink(Protocol):
    """Takes results. What it is given it has kept when it returns, as safely as it ever will."""

    def write(self, results: Sequence[Inspection]) -> None:
        """Keep results, in the order of their inspection.

        Raises:
            InputError: they could not be kept; none of them was.
        """

    def close(self) -> None:
        """No more results will come."""


class Tally:
    """Counts results."""

    def __init__(self) -> None:
        self.decisions: Counter[Decision] = Counter()
        self.unjudged, self.seconds = 0, 0.0

    @property
    def images(self) -> int:
        """How many results there were."""
        return self.decisions.total()

    def write(self, results: Sequence[Inspection]) -> None:
        """Count them."""
        for result in results:
            self.decisions[result.decision] += 1
            self.unjudged += not result.judged
            self.seconds += result.seconds["total"]

    def close(self) -> None:
        """Nothing to do."""

    def parts(self) -> list[str]:
        """The counts, for a line of summary."""
        parts = [f"{self.decisions[decision]} {decision}" for decision in Decision]
        return [*parts, f"{self.unjudged} could not be judged"] if self.unjudged else parts


class PrintedJson:
    """Prints one JSON object a line and result.

    Attributes:
        form: The object of a result.
    """

    def __init__(
        self, out: TextIO, form: Callable[[Inspection], Mapping[str, Any]] = Inspection.to_dict
    ) -> None:
        self._out, self._form = out, form

    def write(self, results: Sequence[Inspection]) -> None:
        """Print them."""
        for result in results:
            print(json.dumps(self._form(result)), file=self._out)
        self._out.flush()

    def close(self) -> None:
        """Nothing to do."""


class PrintedTable:
    """Prints a table, a line a result; its head at once."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        print(TABLE_HEAD, file=out, flush=True)

    def write(self, results: Sequence[Inspection]) -> None:
        """Print them."""
        for result in results:
            print(table_row(result), file=self._out)
        self._out.flush()

    def close(self) -> None:
        """Nothing to do."""


class HeatmapFolder:
    """Writes the heat map of each result that has one, over its image, as PNG.

    Needs results with the evidence "image".

    Attributes:
        unit: The reference of a stage's fixed scale.
        name: Where the heat map of a result goes below the folder.
        lost: How many could not be written.
    """

    def __init__(
        self, folder: Path, unit: Callable[[str], float], name: Callable[[Inspection], str | Path]
    ) -> None:
        self._folder, self._unit, self._name, self.lost = folder, unit, name, 0

    def write(self, results: Sequence[Inspection]) -> None:
        """Write them. One that cannot be written is said, and costs nothing but itself."""
        for result in results:
            path = fitting_name(self._folder / self._name(result))
            if result.image is None or result.map is None:
                continue
            try:
                write_heatmap(path, result.image, result.map, self._unit(result.route))
            except (InputError, OSError, ValueError) as error:
                self.lost += 1
                if (
                    self.lost.bit_count() == 1
                ):  # the 1st, 2nd, 4th, 8th ...: a full disk must not fill the log
                    _LOG.warning("no heat map of %s (%d lost so far): %s", result.source, self.lost, error)

    def close(self) -> None:
        """Nothing to do."""


def fitting_name(path: Path) -> Path:
    """The path, its name shortened to what file systems take (255 bytes): the end of a long name becomes a hash."""
    name = os.fsencode(path.name)
    if len(name) <= LONGEST_NAME:
        return path
    kept = name[: LONGEST_NAME - 17 - len(HEATMAP_SUFFIX)].decode("utf-8", "ignore")
    return path.with_name(f"{kept}-{hashlib.sha256(name).hexdigest()[:16]}{HEATMAP_SUFFIX}")


def table_row(result: Inspection) -> str:
    """One line of the table that :data:`TABLE_HEAD` heads; always a single printable line."""
    score = "-" if result.score is None else f"{result.score:.3f}"
    # A file name may hold bytes that are no text, or line breaks; neither may break the table.
    source = printable(result.source)
    row = _ROW.format(result.decision, result.route, score, f"{1000 * result.seconds['total']:.2f}", source)
    return f"{row}  ({'; '.join(result.reasons)})" if result.reasons else row
