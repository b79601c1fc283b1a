"""A mask that an inspector drew: rectangles in shares of the image, kept as a PNG of the models' size."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.problem import Problem
from service.reading import png_of

SIDE = 256
_MOST = 50


def mask_of(body: dict[str, Any]) -> bytes | None:
    """The PNG (SIDE x SIDE, 0 and 255) of a verdict's `boxes`, each [left, top, right, bottom] in [0, 1].

    Raises:
        Problem: 422 the boxes are malformed.
    """
    boxes = body.get("boxes")
    if not boxes:
        return None
    if not isinstance(boxes, list) or len(boxes) > _MOST:
        raise Problem(422, f"boxes is a list of at most {_MOST} rectangles")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for box in boxes:
        if not isinstance(box, list) or len(box) != 4 or not all(_share(value) for value in box):
            raise Problem(422, "a box is [left, top, right, bottom], each between 0 and 1")
        left, top, right, bottom = (round(float(value) * SIDE) for value in box)
        if right <= left or bottom <= top:
            raise Problem(422, "a box has a width and a height")
        mask[top:bottom, left:right] = 255
    return png_of(mask)


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
