"""Runs stages in order and skips those whose result still follows from what they were given.

A stage is done when its record (`stage.json`) says so, its fingerprint - package version, settings, contents of its
input stages, image files, and in a source tree the code of the packages it uses - is today's, and its files are still
what it wrote. All else is redone.
A record is written when a stage begins, and replaced when it ends, so that a killed run is noticed: the next
one finds a stage that began with the same fingerprint, leaves its folder for the stage to go on in, or
otherwise clears it first. The result of before stays where the stage puts a new one in its place as a whole: settings
that fail cost nothing, and with those of before it is current still.
"""

import contextlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from wafer_data.errors import InputError
from wafer_data.files import write_error
from wafer_data.own_code import code_digest, is_source_tree
from wafer_data.progress import whole_run
from waferroute.processes import OneProcess, Processes
from waferroute.run_clock import RunClock, in_words
from waferroute.stage_record import RECORD_NAME, StageRecord, difference, digest, first_damage, take_stock

Config = TypeVar("Config")
_WORK = "checkpoint*"
_ROOM = 3
"""Free disk, in sizes of the old result, with which it stays: the new one takes up to twice its size on the way."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage(Generic[Config]):
    """One step of a run.

    folder: its results, relative to the run folder. settings: the part of the configuration that the result
    depends on, as JSON. function: does the work, given the configuration and the run folder. inputs: names of
    the stages whose results it reads. command: what to type to run it alone. sources: a hash of the files
    outside the run that it reads. record: path of the record, if not `<folder>/stage.json`. logs: patterns of
    files in the folder that are no results (tracking, checkpoints); losing them does not undo the stage. packages:
    of ours that do the work; where they are edited in place, the result depends on their source. effort: how long it
    takes in proportion to the others, given what the run folder holds so far. replaces: whether it writes its folder
    through `new_directory`, unfinished work in `checkpoint*` below it; the result of before then stays until it ends.
    """

    name: str
    folder: str
    settings: Callable[[Config], dict[str, Any]]
    function: Callable[[Config, Path], None]
    inputs: tuple[str, ...] = ()
    command: str = ""
    sources: Callable[[Config], str] | None = None
    record: str = ""
    logs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    effort: Callable[[Config, Path], float] = lambda config, run_dir: 0.0
    replaces: Callable[[Config], bool] = lambda config: False


@dataclass(frozen=True)
class Outcome:
    """What became of a stage. reason: why it was done. seconds: how long it took, when it was done."""

    stage: str
    status: Literal["done", "skipped"]
    seconds: float
    reason: str = ""


@dataclass
class Pipeline(Generic[Config]):
    """The stages of one run folder, in an order in which every stage comes after its inputs."""

    stages: Sequence[Stage[Config]]
    config: Config
    run_dir: Path
    processes: Processes = field(default_factory=OneProcess)
    announce: Callable[[str], None] = field(default=lambda line: _announce(line))

    def __post_init__(self) -> None:
        self._by_name = {stage.name: stage for stage in self.stages}
        self._digests: dict[str, str] = {}  # of the results known to be current in this command
        self.worked = False  # whether a stage has got a new result in this command

    def run(self, names: Sequence[str] | None = None, *, force: bool = False) -> list[Outcome]:
        """Bring the named stages (all by default) up to date, in order; `force` does them even if current.

        Raises InputError naming the command to run first if a stage outside `names` that they read is not
        current, and whatever a stage raises; the stages before it stay done.
        """
        chosen = [stage for stage in self.stages if names is None or stage.name in names]
        self.processes.from_main(lambda: self._require_inputs_of(chosen))
        clock = RunClock(self._efforts(chosen))
        outcomes = []
        with whole_run(lambda: _left_in_words(clock)):
            for stage in chosen:
                clock.begin(stage.name)
                outcomes.append(self._run_one(stage, force))
                clock.end(worked=outcomes[-1].status == "done")
                clock.reweigh(self._efforts(chosen))
                left = _left_in_words(clock)
                if left and self.processes.is_main:
                    self.announce(left)
        return outcomes

    def _efforts(self, chosen: Sequence[Stage[Config]]) -> dict[str, float]:
        return {stage.name: stage.effort(self.config, self.run_dir) for stage in chosen}

    def why_not_current(self, stage: Stage[Config]) -> str | None:
        """Why `stage` has to be done (again), in words; None if its result is current."""
        record = StageRecord.read(self._record_path(stage))
        if record is None:
            return "it has not been run yet"
        finished, unfinished = record.finished, "it failed" if record.failed else "it was interrupted"
        if finished is None or finished.outputs is None:
            return unfinished
        for name in stage.inputs:
            if name not in self._digests and self.why_not_current(self._by_name[name]) is not None:
                return f"{name}, which it reads, is not up to date"
        depends = self._depends(stage)
        if record is not finished and record.depends == depends:  # what is there is not its result
            return unfinished
        if finished.depends != depends:
            return difference(finished.depends, depends)
        damage = first_damage(self.run_dir / stage.folder, finished.outputs)
        if damage is None:
            self._digests[stage.name] = digest(finished.outputs)
        return damage

    def _require_inputs_of(self, chosen: Sequence[Stage[Config]]) -> None:
        inside = {stage.name for stage in chosen}
        needed = {name for stage in chosen for name in self._ancestors(stage)} - inside
        for stage in self.stages:
            if stage.name in needed and (reason := self.why_not_current(stage)) is not None:
                raise InputError(
                    f"stage {chosen[0].name} needs the result of stage {stage.name} in "
                    f"{self.run_dir / stage.folder}, but {reason}; run first: {stage.command or stage.name}"
                )

    def _ancestors(self, stage: Stage[Config]) -> set[str]:
        above = set(stage.inputs)
        for name in stage.inputs:
            above |= self._ancestors(self._by_name[name])
        return above

    def _run_one(self, stage: Stage[Config], force: bool) -> Outcome:
        skipped = self.processes.from_main(lambda: self._begin(stage, force))
        if isinstance(skipped, Outcome):
            return skipped
        started = time.monotonic()
        # Standard output is for results, which another program may read; libraries print there at will.
        try:
            with contextlib.redirect_stdout(sys.stderr):
                stage.function(self.config, self.run_dir)
        except Exception:
            if self.processes.is_main:
                self._note_failure(stage)
            raise
        self.processes.wait()
        seconds = time.monotonic() - started
        outcome: Outcome = self.processes.from_main(lambda: self._end(stage, seconds, skipped))
        return outcome

    def _begin(self, stage: Stage[Config], force: bool) -> "Outcome | str":
        """The outcome if the stage is skipped, else the reason to do it, its folder being ready."""
        reason = self.why_not_current(stage)
        path = self._record_path(stage)
        record = StageRecord.read(path)
        if reason is None and not force:
            seconds = record.finished.seconds if record and record.finished else 0.0
            self.announce(f"{stage.name}: unchanged, skipped")
            return Outcome(stage.name, "skipped", seconds)
        reason = reason or "--force was given"
        begun = StageRecord(self._depends(stage))
        goes_on = record is not None and record.outputs is None and record.fingerprint == begun.fingerprint
        try:
            if record is not None and goes_on and not force:
                kept = record.before
            elif (kept := self._kept(stage, record)) is not None:
                kept.write(path, stage.name)  # first: nobody shall go on with work that is half removed
                _remove_work(self.run_dir / stage.folder)
            else:
                path.unlink(missing_ok=True)
                _remove(self.run_dir / stage.folder)
            replace(begun, before=kept).write(path, stage.name)
        except OSError as error:
            raise write_error(self.run_dir / stage.folder, error) from error
        self.announce(f"{stage.name}: started ({reason})")
        return reason

    def _kept(self, stage: Stage[Config], record: StageRecord | None) -> StageRecord | None:
        """Of the result that stays until the new one takes its place; None: it makes room, or there is none."""
        finished = record.finished if record is not None else None
        folder = self.run_dir / stage.folder
        if (
            finished is None
            or finished.outputs is None
            or not stage.replaces(self.config)
            or not folder.is_dir()
        ):
            return None
        size = sum(output.bytes for output in finished.outputs.values())
        return finished if shutil.disk_usage(folder).free >= _ROOM * size else None

    def _note_failure(self, stage: Stage[Config]) -> None:
        """For the reason that the next command gives. A result that took its place already took the record along."""
        path = self._record_path(stage)
        record = StageRecord.read(path)
        if record is not None and record.outputs is None:
            with contextlib.suppress(InputError):  # it is said to be interrupted where nothing can be written
                replace(record, failed=True).write(path, stage.name)

    def _end(self, stage: Stage[Config], seconds: float, reason: str) -> Outcome:
        folder, path = self.run_dir / stage.folder, self._record_path(stage)
        if stage.replaces(self.config) and not stage.record and path.exists():
            raise RuntimeError(f"stage {stage.name} ended without a new {folder}: what lies there may be old")
        outputs = take_stock(folder, path, stage.logs)
        if not outputs:
            raise RuntimeError(f"stage {stage.name} ended without a file in {folder}")
        StageRecord(self._depends(stage), outputs, seconds).write(path, stage.name)
        self._digests[stage.name] = digest(outputs)
        self.worked = True
        self.announce(f"{stage.name}: done in {seconds:.1f} s")
        return Outcome(stage.name, "done", seconds, reason)

    def _depends(self, stage: Stage[Config]) -> dict[str, Any]:
        depends = {
            "version": version("waferroute"),
            "settings": stage.settings(self.config),
            "inputs": {name: self._digests[name] for name in stage.inputs},
            "sources": stage.sources(self.config) if stage.sources else None,
        }
        if is_source_tree():
            depends["code"] = {name: code_digest(name) for name in stage.packages}
        same: dict[str, Any] = json.loads(json.dumps(depends))  # as it will be read back
        return same

    def _record_path(self, stage: Stage[Config]) -> Path:
        return self.run_dir / (stage.record or f"{stage.folder}/{RECORD_NAME}")


def _left_in_words(clock: RunClock) -> str:
    """For a line of its own or the end of one; empty where nothing is known, or next to nothing is left."""
    left = clock.left()
    return f"about {in_words(left)} left of the whole run" if left is not None and left >= 5 else ""


def _announce(line: str) -> None:
    if os.environ.get("WAFERROUTE_QUIET") != "1":
        _LOG.info("%s", line)


def _remove(folder: Path) -> None:
    _refuse_foreign(folder)
    if folder.exists():
        shutil.rmtree(folder)


def _remove_work(folder: Path) -> None:
    _refuse_foreign(folder)
    for work in folder.glob(_WORK):
        if work.is_dir() and not work.is_symlink():
            shutil.rmtree(work)
        else:
            work.unlink()


def _refuse_foreign(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        raise InputError(f"{folder} is not a folder of this run: move it away")
