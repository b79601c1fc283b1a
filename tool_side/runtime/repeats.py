"""Images that are another one under a new name, byte for byte or pixel for pixel: a frozen camera, a stale buffer.

A program that writes time or wafer into each file makes other bytes of the same picture; the models see that it is one.

No sensor takes the same picture twice. Such a file says nothing of its wafer, so it does not PASS, and an alarm is
raised at the first.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import Counter, OrderedDict
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from router.decision import PASS, REVIEW
from tool_side.runtime.inspection import Inspection
from wafer_data.errors import InputError
from wafer_data.files import sha256_file

_LOG = logging.getLogger(__name__)
_MOST_PICTURES = 10_000


class RepeatAlarm:
    """Turns the result of a repeated image into REVIEW, and says so: at the 1st, 2nd, 4th, 8th ... of one picture."""

    def __init__(self) -> None:
        self.images = 0
        self._of: Counter[str] = Counter()

    def apply(self, result: Inspection, original: str, *, same: str = "bytes") -> Inspection:
        """The result of an image whose bytes (or pixels: `same`) are those of `original`, inspected before."""
        self.images += 1
        self._of[original] += 1
        earlier = f"as before in {original}" if original == result.source else f"as {original}"
        if self._of[original].bit_count() == 1:
            _LOG.warning(
                "ALARM at %s: the same %s %s, %d times so far: a frozen camera?",
                result.source,
                same,
                earlier,
                self._of[original],
            )
        reason = f"the same {same} {earlier}: a frozen camera?"
        decision = REVIEW if result.decision == PASS else result.decision
        return replace(result, decision=decision, reasons=(*result.reasons, reason))


def picture_digest(result: Inspection) -> str | None:
    """What tells a picture from all others, whatever file holds it; None for one that was not scored.

    Scores and latent are equal to the last bit for the same pixels and the same bundle, and for others they are not.
    """
    if result.score is None or result.latent is None:
        return None
    scores = np.array([result.scores[stage] for stage in sorted(result.scores)])
    return blake2b(scores.tobytes() + result.latent.tobytes(), digest_size=16).hexdigest()


class SeenPictures:
    """The last pictures that were inspected, to find one that comes again in other bytes."""

    def __init__(self) -> None:
        self._first: OrderedDict[str, tuple[str, str | None]] = OrderedDict()

    def remember(self, digest: str, source: str, sha256: str | None) -> tuple[str, str | None]:
        """Source and SHA-256 of the file that showed this picture first: this one, if none did."""
        first = self._first.setdefault(digest, (source, sha256))
        self._first.move_to_end(digest)  # one that keeps coming must not be forgotten
        if len(self._first) > _MOST_PICTURES:
            self._first.popitem(last=False)
        return first

    def original(self, result: Inspection) -> str | None:
        """The source of the same picture that was asked for before; None for a new one and for the same file.

        A file that was moved has its bytes still, and one that was overwritten has others: where both SHA-256 are known
        they tell, for the first file may be gone long since.
        """
        digest = picture_digest(result)
        if digest is None:
            return None
        first, sha256 = self.remember(digest, result.source, result.ref.sha256)
        if sha256 and result.ref.sha256:
            return None if sha256 == result.ref.sha256 else first
        return None if _is_same_file(first, result.source) else first


def _is_same_file(first: str, second: str) -> bool:
    try:
        return first == second or os.path.samefile(first, second)  # noqa: PTH121
    except OSError:  # the first one is gone
        return False


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
            status = path.stat()
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                return None  # reading a pipe would wait for its writer, and empty files are no pictures
            size = status.st_size
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
