"""Staged rollouts to a fleet of tools: files beside the versions, so that a rollout needs no database.

    MODELS/fleet/rollouts.json       all rollouts, oldest first
    MODELS/fleet/tools/TOOL.json     what each tool said last

A tool gets the version of the newest rollout that is for it, that was not halted, and whose stage has reached it.
A stage is a share of tools, drawn by a hash of the rollout and the tool's id, so that a later stage keeps every tool
of an earlier one. One tool that reports a failure halts the rollout: its tools are then meant to have what the
rollout before gave them.
"""

from __future__ import annotations

import contextlib
import fcntl
import fnmatch
import hashlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from router.canary import position
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_error, write_json

STAGES = (0.01, 0.1, 1.0)
SOAK_S = 3600.0
"""A stage is looked at for at least so long before the next begins."""
ACTIVE_S = 3600.0
"""A tool that has said nothing for so long does not hold a stage up."""

State = Literal["running", "done", "halted"]


@dataclass(frozen=True)
class Rollout:
    """One version on its way to tools.

    Attributes:
        id: Salt of the hash that draws the tools.
        version: Name of the version.
        tools: Pattern of the tools' ids that it is for, as in `fnmatch`.
        layers: Pattern of the layers that it is for; a tool without a layer has the layer "".
        stage: Index into `STAGES`.
        stage_since: Unix time.
        soak_s: Shortest time of a stage, seconds.
        pilot: A tool that belongs to every stage: the first stage must not be empty in a small fleet.
        state: "done": every tool of the last stage was healthy; it stays in force.
        reason: Why it was halted.
        by: Who started it.
    """

    id: str
    version: str
    tools: str
    layers: str
    stage: int
    stage_since: float
    soak_s: float
    pilot: str | None
    state: State
    reason: str
    by: str

    def is_for(self, tool: str, layer: str) -> bool:
        """Whether the last stage would reach a tool."""
        return fnmatch.fnmatchcase(tool, self.tools) and fnmatch.fnmatchcase(layer, self.layers)

    def reaches(self, tool: str, layer: str) -> bool:
        """Whether the present stage reaches it."""
        drawn = position(self.id, tool) < STAGES[self.stage]
        return self.is_for(tool, layer) and (drawn or tool == self.pilot)


@dataclass(frozen=True)
class ToolState:
    """What a tool said last.

    Attributes:
        version: It runs this, None: nothing yet.
        tried: The version that it was told to take when it reported.
        healthy: Whether what it was told to take runs.
        problem: What was wrong, in the tool's words.
        at: Unix time.
    """

    tool: str
    layer: str
    version: str | None
    tried: str | None
    healthy: bool
    problem: str
    at: float


class FleetPlan:
    """The rollouts of an installation. Processes of one machine may share it.

    Args:
        path: Folder; it is made by the first rollout or report.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def rollouts(self) -> list[Rollout]:
        """All of them, oldest first.

        Raises:
            InputError: The file is damaged.
        """
        file = self.path / "rollouts.json"
        if not file.exists():
            return []
        try:
            return [Rollout(**one) for one in read_json(file)]
        except TypeError as error:
            raise InputError(f"{file} is damaged ({error}): restore it from a backup") from error

    def tools(self) -> list[ToolState]:
        """Every tool that ever reported, by its id."""
        found = []
        for file in sorted((self.path / "tools").glob("*.json")):
            with contextlib.suppress(InputError, TypeError):  # the tool will report again
                found.append(ToolState(**read_json(file)))
        return sorted(found, key=lambda tool: tool.tool)

    def meant_for(self, tool: str, layer: str = "") -> Rollout | None:
        """The rollout whose version a tool is to run; None: none is meant for it, it keeps what it has."""
        return _meant(self.rollouts(), tool, layer)

    def start(
        self, version: str, *, by: str, tools: str = "*", layers: str = "*", soak_s: float = SOAK_S
    ) -> Rollout:
        """Begin a rollout at its first stage. The caller has checked the version.

        Raises:
            InputError: Another one for the same tools and layers is on its way.
        """
        with self._locked():
            known = self.rollouts()
            for other in known:
                if other.state == "running" and (other.tools, other.layers) == (tools, layers):
                    raise InputError(f"{other.version} is on its way to these tools: halt {other.id} first")
            now = time.time()
            fresh = Rollout(
                f"{version}-{len(known) + 1}", version, tools, layers, 0, now, soak_s, None, "running", "", by
            )
            return self._save(known, self._with_pilot(fresh))

    def halt(self, rollout: str, reason: str) -> Rollout:
        """Take a rollout back: its tools are meant to have what was there before.

        Raises:
            InputError: There is none of that id.
        """
        with self._locked():
            known = self.rollouts()
            for one in known:
                if one.id == rollout:
                    return self._save(known, replace(one, state="halted", reason=reason))
        raise InputError(
            f"there is no rollout {rollout}; there are {', '.join(r.id for r in known) or 'none'}"
        )

    def report(self, state: ToolState) -> None:
        """Keep what a tool says; halt its rollout if it failed, or go to the next stage if all are well."""
        name = hashlib.sha256(state.tool.encode()).hexdigest()[:32]  # an id may hold what a file name may not
        write_json(self.path / "tools" / f"{name}.json", asdict(state))
        with self._locked():
            known = self.rollouts()
            for rollout in list(known):
                if rollout.state != "running" or not rollout.is_for(state.tool, state.layer):
                    continue
                if not state.healthy and state.tried == rollout.version:
                    reason = f"{state.tool}: {state.problem or 'it does not run'}"
                    self._save(known, replace(rollout, state="halted", reason=reason))
                else:
                    self._advance(known, rollout)

    def _advance(self, known: list[Rollout], rollout: Rollout) -> None:
        now = time.time()
        if now - rollout.stage_since < rollout.soak_s:
            return
        members = [
            t for t in self.tools() if _meant(known, t.tool, t.layer) == rollout and now - t.at < ACTIVE_S
        ]
        if not members:
            self._save(known, self._with_pilot(rollout))
        elif all(tool.healthy and tool.version == rollout.version for tool in members):
            last = rollout.stage == len(STAGES) - 1
            self._save(
                known,
                replace(rollout, state="done")
                if last
                else replace(rollout, stage=rollout.stage + 1, stage_since=now),
            )

    def _with_pilot(self, rollout: Rollout) -> Rollout:
        """A rollout whose first stage has a tool, if there is any for it."""
        now = time.time()
        fit = [t.tool for t in self.tools() if rollout.is_for(t.tool, t.layer) and now - t.at < ACTIVE_S]
        first = min(fit, key=lambda tool: position(rollout.id, tool), default=None)
        return replace(rollout, pilot=first)

    def _save(self, known: list[Rollout], changed: Rollout) -> Rollout:
        others = [changed if one.id == changed.id else one for one in known]
        if changed.id not in {one.id for one in known}:
            others.append(changed)
        known[:] = others
        write_json(self.path / "rollouts.json", [asdict(one) for one in others])
        return changed

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / ".lock").open("a")
        except OSError as error:
            raise write_error(self.path, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _meant(rollouts: list[Rollout], tool: str, layer: str) -> Rollout | None:
    for rollout in reversed(rollouts):
        if rollout.state != "halted" and rollout.reaches(tool, layer):
            return rollout
    return None


def to_dict(rollout: Rollout) -> dict[str, Any]:
    """JSON-ready form, with the share of the present stage."""
    return {**asdict(rollout), "share": STAGES[rollout.stage]}
