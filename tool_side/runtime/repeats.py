"""Images that are byte for byte another one under a new name: a frozen camera, a stale buffer of a grabber.

No sensor takes the same picture twice. Such a file says nothing of its wafer, so it does not PASS, and an alarm is
raised at the first.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from router.decision import PASS, REVIEW
from tool_side.runtime.inspection import Inspection
from wafer_data.errors import InputError
from wafer_data.files import sha256_file

_LOG = logging.getLogger(__name__)


class RepeatAlarm:
    """Turns the result of a repeated image into REVIEW, and says so: at the 1st, 2nd, 4th, 8th ... of one picture."""

    def __init__(self) -> None:
        self.images = 0
        self._of: Counter[str] = Counter()

    def apply(self, result: Inspection, original: str) -> Inspection:
        """The result of an image whose bytes are those of `original`, which was inspected before."""
        self.images += 1
        self._of[original] += 1
        if self._of[original].bit_count() == 1:
            _LOG.warning(
                "ALARM at %s: the same bytes as %s, under %d new names so far: a frozen camera?",
                result.source,
                original,
                self._of[original],
            )
        reason = f"the same bytes as {original}: a frozen camera?"
        decision = REVIEW if result.decision == PASS else result.decision
        return replace(result, decision=decision, reasons=(*result.reasons, reason))


class SeenFiles:
    """The files of one run, to find repeats among them. Only files of equal size are read for it."""

    def __init__(self) -> None:
        self._first: dict[int, Path | None] = {}  # None once its content is known
        self._content: dict[tuple[int, str], Path] = {}

    def original(self, path: Path) -> Path | None:
        """The file of the same content that was asked for before; None for a new content, and for the same file.

        Links to one file, and one file named twice, are no repeats.
        """
        try:
            size = path.stat().st_size
            if size not in self._first:
                self._first[size] = path
                return None
            first, self._first[size] = self._first[size], None
            if first is not None:
                self._content[size, sha256_file(first)] = first
            known = self._content.setdefault((size, sha256_file(path)), path)
            return None if known is path or os.path.samefile(known, path) else known  # noqa: PTH121
        except (OSError, InputError):  # whoever inspects it says what is wrong with it
            return None
