"""Drift asks for a retraining; a person confirms it, and the product's own command does it.

`waferroute retrain` runs in a process of its own, as a site's timer starts it, on the images and verdicts that the
rehearsal's service has collected.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lifecycle.retraining.config import RetrainingConfig
from lifecycle.retraining.due import Due, due, recent_alarms
from lifecycle.retraining.plan import all_plans
from service.store.database import Database
from wafer_data.files import write_json
from wafer_data.own_code import child_command, child_environment

_REFUSED = 1  # exit status of `waferroute retrain` where the gate said no


@dataclass(frozen=True)
class Learned:
    """What became of a retraining.

    Attributes:
        version: Of the candidate, which scores in shadow now; None: there is none.
        text: What it learned from, or why it failed.
        seconds: On the wall clock.
        summary: Of `waferroute retrain --json`; empty where it failed.
    """

    version: str | None
    text: str
    seconds: float
    summary: dict[str, Any]


class Relearning:
    """The retrainings of a rehearsal.

    Args:
        config: Settings of `waferroute retrain`; folders are those of the rehearsal, the calendar is left out.
        data: The service's folder.
        scratch: A folder for them.
        frozen: Makes the labelled images that the gate asks.
    """

    def __init__(
        self, config: RetrainingConfig, data: Path, scratch: Path, frozen: Callable[[], Path]
    ) -> None:
        self._given, self._data, self._scratch, self._frozen = config, data, scratch, frozen
        self._config: RetrainingConfig | None = None

    def asked(self, database: Database, now: float, since: float) -> Due | None:
        """The retraining that drift asks for and a person confirms: not where one tool drifts alone.

        Args:
            database: Of the service.
            now: Unix time, of the rehearsal.
            since: Alarms from before are of something else.
        """
        alarms = [alarm for alarm in recent_alarms(database, now) if alarm.at > since]
        if len({alarm.tool for alarm in alarms}) < 2:
            return None
        config = self._settings()
        return due(config.due, all_plans(config), alarms, now)

    def learn(self, asked: Due) -> Learned:
        """Do all steps of the retraining that was asked for."""
        path = self._scratch / "retraining.yaml"  # what is JSON is YAML
        write_json(path, self._settings().model_dump(mode="json"))
        began = time.monotonic()
        done = subprocess.run(
            child_command("waferroute", "retrain", str(path), "--id", asked.id, "--json"),
            env=child_environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - began
        if done.returncode not in (0, _REFUSED):
            last = done.stderr.strip().splitlines()
            return Learned(None, f"it stopped: {last[-1] if last else 'no word of it'}", seconds, {})
        found = json.loads(done.stdout)
        if done.returncode == _REFUSED:
            return Learned(
                None, f"the gate refused it: {'; '.join(found['gate']['reasons'])}", seconds, found
            )
        steps = ", ".join(one["step"] for one in found["steps"])
        return Learned(found["version"], f"{asked.why}; {steps}", seconds, found)

    def _settings(self) -> RetrainingConfig:
        if self._config is None:
            self._config = self._given.model_copy(
                update={
                    "work": str(self._scratch / "retrainings"),
                    "service": self._given.service.model_copy(
                        update={"data": str(self._data), "database": None}
                    ),
                    "frozen": [str(self._frozen())],
                    "due": self._given.due.model_copy(update={"monthly": False}),
                }
            )
        return self._config
