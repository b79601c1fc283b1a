"""What every baseline offers, and the checks and resizing they share."""

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from wafer_data.errors import InputError
from wafer_data.imaging.planes import COLOURS, luminance


class Baseline(Protocol):
    """A fitted baseline: larger scores and map values mean more anomalous."""

    parameter_count: int
    """Numbers that fitting produced and scoring needs."""
    input_size: int
    """Side in pixels at which the baseline looks at an image."""

    def scores(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores (B,) and maps (B, h, w), or None for a baseline without maps, of images (B, 1, S, S) in [0, 1]."""
        ...


def checked(images: np.ndarray) -> np.ndarray:
    """The images as float32 (B, S, S), of colour their luminance: what a baseline looks at.

    Raises `InputError` for another shape or non-finite values.
    """
    if images.ndim != 4 or images.shape[1] not in (1, COLOURS) or images.shape[2] != images.shape[3]:
        raise InputError(
            f"a baseline takes grey images of shape (B, 1, S, S), or colour ones of (B, 3, S, S), not {images.shape}"
        )
    if not np.isfinite(images).all():
        raise InputError("the images hold values that are not finite")
    grey = images[:, 0] if images.shape[1] == 1 else luminance(np.moveaxis(images, 1, 0))
    return grey.astype(np.float32, copy=False)


def shrunk(images: np.ndarray, size: int) -> np.ndarray:
    """Checked images averaged down to (B, size, size); smaller ones are refused: nothing is invented."""
    from skimage.transform import resize

    grey = checked(images)
    side = grey.shape[-1]
    if side == size:
        return grey
    if side < size:
        raise InputError(f"this baseline works at {size} px and the images have only {side} px")
    if side % size == 0:
        step = side // size
        return grey.reshape(len(grey), size, step, size, step).mean(axis=(2, 4))
    return np.stack([resize(image, (size, size), order=1, anti_aliasing=True) for image in grey])


def stacked(batches: Iterable[np.ndarray], minimum: int) -> np.ndarray:
    """The rows of all batches in one array. Raises `InputError` for fewer than `minimum` of them."""
    parts = list(batches)
    rows = np.concatenate(parts) if parts else np.empty((0,))
    if len(rows) < minimum:
        raise InputError(
            f"fitting this baseline needs at least {minimum} normal images, and there are {len(rows)}"
        )
    return rows
