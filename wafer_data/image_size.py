"""The side of the square images that the models see, and the check at their door. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from wafer_data.errors import DataError

IMAGE_SIZE = 256
TILE_CELL = 8
"""Tiles of large images start at multiples of so many pixels (`wafer_data.imaging.tiling`)."""


def require_model_images(shape: Sequence[int], who: str, channels: int = 1) -> None:
    """Check the shape of a batch of images before a network meets it.

    Args:
        shape: Of the batch.
        who: What is to see the images, for the message.
        channels: C, planes of an image: 1 of grey, 3 of colour.

    Raises:
        DataError: for anything but (B, C, 256, 256).
    """
    if len(shape) != 4 or tuple(shape[1:]) != (channels, IMAGE_SIZE, IMAGE_SIZE):
        kind = "grey" if channels == 1 else "colour"
        raise DataError(
            f"{who} sees {kind} images of {IMAGE_SIZE} x {IMAGE_SIZE} pixels, shape (B, {channels}, {IMAGE_SIZE}, "
            f"{IMAGE_SIZE}), "
            f"and got shape {tuple(shape)}: shrink or enlarge them first (wafer_data.imaging.read.to_square)"
        )
