"""One round of a tool's agent: ask, fetch, check, try, switch, report. The tool inspects whatever comes of it.

Without a network the tool goes on with what it has. A rollout whose bundle failed its checks here is remembered and
not fetched again; what is wrong is told to the server, which then takes it to no further tools.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from pathlib import Path

from tool_side.agent.slots import SLOTS, Slots
from tool_side.agent.sources import Folder, Server, UnreachableError
from tool_side.watch.stopping import stop_on_signals
from wafer_data.errors import BundleError, InputError
from wafer_data.files import read_json, write_json

_LOG = logging.getLogger(__name__)
REFUSED = "refused.json"
POLL_S = 60.0


@dataclass(frozen=True)
class Round:
    """How a round went.

    Attributes:
        version: In use afterwards; None: nothing yet.
        switched: Whether it was taken up in this round.
        problem: What kept the tool from what was meant for it; "" if nothing.
        reported: Whether the server knows.
    """

    version: str | None
    switched: bool
    problem: str
    reported: bool


class Agent:
    """The agent of one tool.

    Args:
        slots: Its bundles.
        server: Whom to ask; None where there is no network.
    """

    def __init__(self, slots: Slots, server: Server | None) -> None:
        self._slots, self._server = slots, server

    def install_folder(self, folder: str | Path) -> Round:
        """Take a bundle that was carried here, with the checks of one that was fetched.

        Raises:
            InputError: It is refused; the tool goes on with what it had.
        """
        if not Path(folder).is_dir():
            raise InputError(f"{folder} is no folder: give the bundle's folder on the stick")
        slot = self._slots.install(Folder(folder), "", None)
        return Round(self._slots.about(slot).get("version"), True, "", False)

    def round(self) -> Round:
        """Ask once and do what is to be done. Raises nothing that a network or a bundle can cause."""
        assert self._server is not None
        problem, switched = self._repair(), False
        healthy = not problem
        try:
            meant = self._server.meant()
        except InputError as error:
            return Round(self._version(), False, str(error), False)
        tried = meant["version"]
        if tried is not None and meant["bundle"] != self._bundle():
            refused = self._refused().get(str(meant.get("rollout")))
            try:
                if refused is not None:
                    raise BundleError(refused)
                self._slots.install(self._server.files(tried), tried, meant["bundle"])
                switched, problem, healthy = True, "", True
            except UnreachableError as error:
                return Round(self._version(), False, str(error), False)
            except BundleError as error:
                problem, healthy = str(error), False
                self._remember(str(meant.get("rollout")), problem)
            except (InputError, OSError, ValueError, KeyError, TypeError) as error:
                problem, healthy = f"it cannot be taken up here ({error})", False
        try:
            self._server.report(version=self._version(), tried=tried, healthy=healthy, problem=problem)
            reported = True
        except InputError as error:
            _LOG.warning("not reported: %s", error)
            reported = False
        return Round(self._version(), switched, problem, reported)

    def _repair(self) -> str:
        """Go back to the other slot where the one in use is damaged."""
        slot = self._slots.current()
        if slot is None or (wrong := self._slots.problem(slot)) is None:
            return ""
        other = SLOTS[1 - SLOTS.index(slot)]
        if self._slots.problem(other) is None:
            self._slots.switch(other)
            return f"{slot} is damaged ({wrong}): went back to {other}"
        return f"{slot} is damaged ({wrong}), and {other} holds nothing to go back to"

    def _bundle(self) -> str | None:
        slot = self._slots.current()
        return None if slot is None else self._slots.about(slot).get("bundle")

    def _version(self) -> str | None:
        slot = self._slots.current()
        return None if slot is None else self._slots.about(slot).get("version")

    def _refused(self) -> dict[str, str]:
        try:
            found = read_json(self._slots.path / REFUSED)
        except InputError:
            return {}
        return found if isinstance(found, dict) else {}

    def _remember(self, rollout: str, problem: str) -> None:
        if rollout not in (known := self._refused()):
            write_json(self._slots.path / REFUSED, {**known, rollout: problem})


def follow(agent: Agent, poll_s: float = POLL_S) -> None:
    """Ask again and again until Ctrl-C or SIGTERM; a little irregularly, so that 200 tools do not ask at once."""
    said = None
    with stop_on_signals() as stop:
        while not stop.requested:
            found = agent.round()
            if found != said or found.switched:
                _LOG.info(
                    "%s%s", found.version or "no version yet", f": {found.problem}" if found.problem else ""
                )
                said = found
            stop.sleep(poll_s * random.uniform(0.8, 1.2))
