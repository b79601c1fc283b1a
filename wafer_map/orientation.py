"""Where a wafer's notch or flat points, as an angle."""

from __future__ import annotations

import math

_WORDS = {"DOWN": 0.0, "LEFT": 90.0, "UP": 180.0, "RIGHT": 270.0}


def mark_angle(location: str) -> float | None:
    """The angle of an orientation mark, in degrees clockwise from the bottom of the wafer (as FNLOC of SEMI E5).

    Args:
        location: OrientationMarkLocation as a list writes it: DOWN (0), LEFT (90), UP (180) or RIGHT (270) in any case,
            or an angle in degrees, which is taken as clockwise from the bottom, too.

    Returns:
        0 <= angle < 360; None for another word.
    """
    word = location.strip().upper()
    if word in _WORDS:
        return _WORDS[word]
    try:
        angle = float(word)
    except ValueError:
        return None
    # The remainder of a tiny negative angle rounds to 360.
    return angle % 360.0 % 360.0 if math.isfinite(angle) else None
