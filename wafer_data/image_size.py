"""The side of the square images that the models see, and the check at their door. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence

from wafer_data.errors import DataError

IMAGE_SIZE = 256
TILE_CELL = 8
"""Tiles of large images start at multiples of so many pixels (`wafer_data.imaging.tiling`)."""


def require_model_images(shape: Sequence[int], who: str, channels: Sequence[int] = (1,)) -> None:
    """Check the shape of a batch of images before a network meets it.

    Args:
        shape: Of the batch.
        who: What is to see the images, for the message.
        channels: Planes that an image may have: 1 of grey, 3 of colour.

    Raises:
        DataError: for anything but (B, C, 256, 256) with a C of `channels`.
    """
    if len(shape) != 4 or shape[1] not in channels or tuple(shape[2:]) != (IMAGE_SIZE, IMAGE_SIZE):
        kind = "grey" if channels[0] == 1 else "colour"
        raise DataError(
            f"{who} sees {kind} images of {IMAGE_SIZE} x {IMAGE_SIZE} pixels, shape (B, {channels[0]}, {IMAGE_SIZE}, "
            f"{IMAGE_SIZE}), "
            f"and got shape {tuple(shape)}: shrink or enlarge them first (wafer_data.imaging.read.to_square)"
        )
