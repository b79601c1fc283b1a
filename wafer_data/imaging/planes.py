"""Grey and colour images under one roof: planes first, luminance by one rule, and back to a picture.

As it was taken, an image is (H, W) or, of colour, (H, W, 3), as files and cameras give it. As the models see it and
wherever it is stored, it is its planes: (S, S) of grey, (3, S, S) red, green and blue of colour. So a cut, a mirror or
a mask, (S, S), means the same for both: they act on the last two axes. numpy only: runs on the tool.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

COLOURS = 3
LUMA = np.array([19595, 38470, 7471], np.float32) / np.float32(65536)
"""ITU-R BT.601, the weights of `wafer_data.imaging.depth.grey_of`; they add up to 1."""


def luminance(image: np.ndarray) -> np.ndarray:
    """How bright each pixel is, float32 (S, S): a grey image itself, of colour planes (3, S, S) their luma.

    Of planes of several images, (3, B, S, S), that of each.
    """
    if image.ndim == 2:
        return image
    red, green, blue = (plane * weight for plane, weight in zip(image, LUMA, strict=True))
    return red + green + blue


def stacked(images: np.ndarray | Iterable[np.ndarray]) -> np.ndarray:
    """What networks are given, (B, C, S, S): C is 1 for grey images (S, S), 3 for colour planes (3, S, S)."""
    rows = images if isinstance(images, np.ndarray) else np.stack(list(images))
    return rows[:, None] if rows.ndim == 3 else rows


def separate(batch: np.ndarray) -> np.ndarray:
    """The images of a batch (B, C, S, S), one after the other: (B, S, S) of grey, (B, 3, S, S) of colour; a view."""
    return batch[:, 0] if batch.shape[1] == 1 else batch


def alone(image: np.ndarray) -> np.ndarray:
    """What networks are given of one image, (1, C, S, S); a view."""
    return image[np.newaxis, np.newaxis] if image.ndim == 2 else image[np.newaxis]


def as_picture(image: np.ndarray) -> np.ndarray:
    """An image as it is shown, (H, W) or (H, W, 3): colour planes (3, H, W) get their channels last again."""
    return image if image.ndim == 2 else np.moveaxis(image, 0, -1)
