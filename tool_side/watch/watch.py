"""`waferroute inspect BUNDLE --watch DIR`: judge images as a tool drops them into a folder.

Every image gets exactly one line in the results file, whatever happens to the process: the same command goes
on where the last one stopped. Exit status: 0 ended by Ctrl-C or SIGTERM, or nothing left to do with `once`; 3
with `once`, when an image could not be judged or a sub-folder could not be read; 130 when `once` was interrupted before
its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tool_side.bundle.load import load_bundle
from tool_side.runtime.defect_bins import DefectBins
from tool_side.runtime.inspect_files import (
    EXIT_INTERRUPTED,
    EXIT_JUDGED,
    EXIT_UNJUDGED,
    recipe_of,
)
from tool_side.runtime.inspection import Inspection
from tool_side.runtime.inspector import Inspector
from tool_side.runtime.repeats import RepeatAlarm, SeenPictures
from tool_side.sinks import HeatmapFolder, PrintedJson, PrintedTable, Sink, Tally
from tool_side.watch.arrivals import Arrival, Arrivals, FileChangedError, read_unchanged
from tool_side.watch.csv import CsvCopy
from tool_side.watch.done import ArrivedFile
from tool_side.watch.folder import WatchedFolder
from tool_side.watch.journal import Journal, Row, make_row
from tool_side.watch.monitor import WatchMonitors
from tool_side.watch.stopping import StopRequest, stop_on_signals
from wafer_data.errors import InputError
from wafer_data.imaging.read import largest_file
from wafer_data.listing import HEATMAP_SUFFIX

_BATCH_ROWS, _BATCH_S = 64, 0.5
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class WatchOptions:
    """How to watch; times in seconds.

    Attributes:
        json_lines: The results file; default: beside the watched folder, with `.results.jsonl` behind its
            name.
        csv: A copy of the results as a table.
        heatmaps: Folder for heat maps.
        json_output: Print JSON lines instead of a table.
        once: End when every image that lay there at the start has its result.
        poll: Time between two looks at the folder.
        settle: How long a file must stand still before it is read.
        give_up: How long after its last change a file that cannot be decoded is reported as such.
        recipe, recipe_from_folder, reduced_decoding, public_key, bins: As for `run_inspect`.
        monitor: A file for the status of the monitor (see `router.monitor`), whose alarms are logged as
            warnings.
    """

    json_lines: Path | None = None
    csv: Path | None = None
    heatmaps: Path | None = None
    json_output: bool = False
    once: bool = False
    poll: float = 0.5
    settle: float = 0.5
    give_up: float = 60.0
    threads: int = 1
    recipe: str | None = None
    recipe_from_folder: bool = False
    reduced_decoding: bool = False
    monitor: Path | None = None
    public_key: str | Path | None = None
    bins: DefectBins | None = None

    def __post_init__(self) -> None:
        for name in ("poll", "settle", "give_up"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"--{name.replace('_', '-')} must be a positive number of seconds")


def run_watch(
    bundle: str | Path, folder: str | Path, options: WatchOptions, *, out: TextIO | None = None
) -> int:
    """Judge what lies in `folder` and what arrives, until a signal ends it. Returns the exit status.

    Args:
        out: Where to print results, default standard output; the rest is logged.

    Raises:
        InputError: For a folder that does not exist, a refused bundle, and a results file that cannot be
            used.
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 (a link stays a link)
    if not folder.is_dir():
        raise InputError(f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}")
    if options.json_lines is None and not folder.name:
        raise InputError(f"{folder} has no folder around it for the results: name a file with --json-lines")
    results = options.json_lines or folder.with_name(folder.name + ".results.jsonl")
    loaded = load_bundle(bundle, public_key=options.public_key)
    inspector = Inspector(
        loaded, threads=options.threads, reduced_decoding=options.reduced_decoding, bins=options.bins
    )
    del loaded  # its bytes would stay in memory beside the loaded graphs
    if options.csv is not None and options.csv.absolute() == results.absolute():
        raise InputError(f"--csv and --json-lines both name {results}: give them different files")
    monitors = WatchMonitors(inspector, options.monitor) if options.monitor else None
    with contextlib.ExitStack() as opened:
        journal = opened.enter_context(Journal(results))
        copy = opened.enter_context(CsvCopy(options.csv)) if options.csv else None
        pictures = SeenPictures()

        def take_up(row: Row) -> None:
            if isinstance(picture := row.get("picture"), str):  # an older version wrote none
                pictures.remember(picture, row["source"], row["sha256"])
            if copy is not None:
                copy.add(row)

        cut = journal.load(take_up)
        if copy is not None:
            copy.publish()
        if cut:
            _LOG.warning(
                "%s: cut off %d bytes of a half-written line; that image is inspected again", results, cut
            )
        _LOG.info("watching %s; %d results so far in %s; Ctrl-C ends it", folder, journal.rows, results)
        stop = opened.enter_context(stop_on_signals())
        out, tally, sinks = out or sys.stdout, Tally(), list[Sink]()
        if options.heatmaps is not None:
            sinks.append(HeatmapFolder(options.heatmaps, inspector.map_reference, _heatmap_name(folder)))
        sinks += [journal, *([copy] if copy is not None else [])]
        sinks += [tally, PrintedJson(out, make_row) if options.json_output else PrintedTable(out)]
        sinks += [monitors] if monitors is not None else []
        watch = _Watch(inspector, folder, options, journal, pictures, sinks)
        watch.run(stop)
        if monitors is not None:
            monitors.close()
    _LOG.info("%s", watch.summary(tally))
    if options.once and stop.requested:
        return EXIT_INTERRUPTED
    return EXIT_UNJUDGED if options.once and (tally.unjudged or watch.left_out) else EXIT_JUDGED


class _Watch:
    def __init__(
        self,
        inspector: Inspector,
        folder: Path,
        options: WatchOptions,
        journal: Journal,
        pictures: SeenPictures,
        sinks: Sequence[Sink],
    ) -> None:
        self._inspector, self._options, self._journal, self._sinks = inspector, options, journal, sinks
        self._folder = WatchedFolder(folder, journal.done)
        self._arrivals = Arrivals(journal.done, settle=options.settle, give_up=options.give_up)
        self._repeats, self._pictures = RepeatAlarm(), pictures
        self._unreadable_folder = False
        self._most_bytes = largest_file(inspector.preprocessing.max_pixels)

    def run(self, stop: StopRequest) -> None:
        """Look, wait, inspect, record; until a stop is requested or, with `once`, all is done."""
        looked = False
        while not stop.requested:
            if not (looked and self._options.once):
                looked = self._look()
            self._record(self._inspected(stop))
            if self._options.once and looked and not self._arrivals:
                return
            next_due = self._arrivals.seconds_to_next(time.monotonic())
            stop.sleep(min(self._options.poll, self._options.poll if next_due is None else next_due))

    @property
    def left_out(self) -> int:
        """How many sub-folders could not be looked into."""
        return len(self._folder.left_out)

    def summary(self, tally: Tally) -> str:
        """What this run did, in one line."""
        parts = [f"{tally.images} {'image' if tally.images == 1 else 'images'} inspected", *tally.parts()]
        if self._repeats.images:
            parts.append(f"{self._repeats.images} the same picture as another")
        if len(self._arrivals):
            parts.append(f"{len(self._arrivals)} not inspected yet")
        if self.left_out:
            parts.append(f"{self.left_out} folders could not be read")
        if self._arrivals.left_again:
            parts.append(f"{self._arrivals.left_again} left the folder before that")
        return f"{', '.join(parts)}; {self._journal.rows} results in {self._journal.path}"

    def _look(self) -> bool:
        try:
            for path in self._folder.new_files():
                self._arrivals.add(path)
        except OSError as error:
            if not self._unreadable_folder:
                _LOG.warning(
                    "%s cannot be read (%s); trying again until it can", self._folder.root, error.strerror
                )
            self._unreadable_folder = True
            return False
        if self._unreadable_folder:
            _LOG.warning("%s can be read again", self._folder.root)
        self._unreadable_folder = False
        return True

    def _inspected(self, stop: StopRequest) -> Iterator[Inspection]:
        for arrival in self._arrivals.due(time.monotonic()):
            if stop.requested:
                return
            try:
                found = self._inspect(arrival)
            except (FileChangedError, FileNotFoundError):
                self._arrivals.start_over(arrival)
                continue
            if found is not None:
                yield found

    def _inspect(self, arrival: Arrival) -> Inspection | None:
        """The result of an arrival; None if it has one already or does not get one yet."""
        path, state, data, digest = arrival.path, arrival.state, None, None
        if state.size <= self._most_bytes:
            try:
                data = read_unchanged(path, state)
            except FileNotFoundError:
                raise
            except (OSError, MemoryError):
                if not arrival.last_chance:
                    self._arrivals.wait_on(arrival)
                    return None  # at the last chance, the inspector says in its own words what is wrong
        if data is not None:
            digest = hashlib.sha256(data).hexdigest()
            if self._journal.done.is_same_content(path, digest):
                self._journal.done.add(path, state, digest)
                self._arrivals.remove(arrival)
                return None
        recipe = recipe_of(path, self._options.recipe, self._options.recipe_from_folder)
        ref = ArrivedFile(path=path, data=data, sha256=digest, state=state)
        result = self._inspector.inspect(ref, recipe=recipe, keep_image=self._options.heatmaps is not None)
        if result.unreadable and not arrival.last_chance:
            self._arrivals.wait_on(arrival)
            return None
        self._arrivals.remove(arrival)
        original = None if digest is None else self._journal.done.original(path, state, digest)
        if original is not None:
            return self._repeats.apply(result, original)
        first = self._pictures.original(result)
        return result if first is None else self._repeats.apply(result, first, same="pixels")

    def _record(self, found: Iterator[Inspection]) -> None:
        """Write results in batches: one flush to the disk costs more than the inspection of an image."""
        batch: list[Inspection] = []
        started = time.monotonic()
        for one in found:
            batch.append(one)
            if len(batch) >= _BATCH_ROWS or time.monotonic() - started >= _BATCH_S:
                self._write(batch)
                batch, started = [], time.monotonic()
        self._write(batch)

    def _write(self, batch: list[Inspection]) -> None:
        if batch:
            for sink in self._sinks:
                sink.write(batch)


def _heatmap_name(folder: Path) -> Callable[[Inspection], str]:
    return lambda result: os.path.relpath(result.source, folder) + HEATMAP_SUFFIX
