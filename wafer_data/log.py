"""What the library has to say goes to `logging`; the command line shows it on standard error.

Every module logs to `logging.getLogger(__name__)`: INFO for what a person at a terminal wants to see, WARNING for what
needs attention. A program that imports the library decides for itself. Standard library only.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any, TextIO

PACKAGES = (
    "wafer_data", "router", "likelihood", "student_vae", "training", "teacher", "distill", "tool_side", "classify",
    "wafer_map", "eval", "service", "lifecycle", "waferroute",
)  # fmt: skip


def log_to_stderr() -> None:
    """Show the library's messages, from INFO on, on standard error: the message alone. Calling it again is harmless."""
    for name in PACKAGES:
        logging.getLogger(name).setLevel(logging.INFO)
    root = logging.getLogger()
    if not any(isinstance(handler, _StandardError) for handler in root.handlers):
        root.addHandler(_StandardError())


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at that moment. Of several launched processes one speaks."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.addFilter(_is_main)

    @property
    def stream(self) -> Any:
        return sys.stderr

    @stream.setter
    def stream(self, value: Any) -> None:
        """The base class assigns it; what counts is what standard error is when a message comes."""


def _is_main(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or speaks()


def speaks() -> bool:
    """Whether this process talks to the person: it is alone, or the first of those that a launcher started.

    Job schedulers and shells leave a RANK behind where nothing was launched; without a WORLD_SIZE of two or more it
    means nothing.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    return os.environ.get("RANK", "0") == "0" or not world.isdigit() or int(world) < 2
