"""The words of a result: what is decided, and how far along the route an image went. Standard library only.

Both are strings, so they stand in JSON, in arrays and in tables as what they are called.
"""

from __future__ import annotations

from enum import StrEnum


class Decision(StrEnum):
    """What becomes of an image. Nothing but a score below every threshold is PASS."""

    PASS = "PASS"
    REVIEW = "REVIEW"
    REJECT = "REJECT"


class Route(StrEnum):
    """The deepest stage that scored an image."""

    NONE = "none"
    """No stage: refused by the quality gate, unreadable, of no known recipe."""
    LOWRES = "lowres"
    FULL = "full"


STAGES = (Route.LOWRES, Route.FULL)
"""The scoring stages in the order in which an image meets them."""

PASS, REVIEW, REJECT = Decision
