"""The monitor beside `waferroute inspect --watch`: one for each recipe, its status in a file, its alarms in the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from router.monitor import Monitor
from tool_side.runtime.inspection import Inspection
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import InputError
from wafer_data.files import write_json

SCHEMA = 1
_WRITE_EVERY_S = 5.0
_LOG = logging.getLogger(__name__)


class WatchMonitors:
    """Takes the results of the watch mode and writes the status, at most every 5 seconds but after an alarm at once.

    Attributes:
        path: The status file; JSON, `recipes`: name -> `Monitor.status()`. Images of no or an unknown recipe
            are not counted: nothing is known of what they should look like.

    Raises:
        InputError: When the bundle holds nothing to compare with.
    """

    def __init__(self, inspector: Inspector, path: Path) -> None:
        if not inspector.references:
            raise InputError(
                "--monitor: the bundle holds no scores of its calibration to compare with; export it again"
            )
        self._path, self._written = path, 0.0
        self._first = inspector.recipes[0]
        self._monitors = {
            name: Monitor(inspector.policy_of(name), reference)
            for name, reference in inspector.references.items()
        }
        self._write()

    def write(self, results: Sequence[Inspection]) -> None:
        """Results in the order of their inspection."""
        alarmed = False
        for result in results:
            monitor = self._monitors.get(result.recipe or self._first)
            if monitor is None:
                continue
            for alarm in monitor.update(result):
                alarmed = True
                _LOG.warning("ALARM at %s: %s", result.source, alarm.text)
        if alarmed or time.monotonic() - self._written >= _WRITE_EVERY_S:
            self._write()

    def close(self) -> None:
        """Write the status as it is now."""
        self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        recipes = {name: monitor.status() for name, monitor in self._monitors.items()}
        write_json(self._path, {"schema": SCHEMA, "recipes": recipes})
