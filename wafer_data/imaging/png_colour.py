"""PNG with 16 bits a channel and more than one channel: all 16 bits, where Pillow keeps the upper 8."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image

from wafer_data.imaging.depth import grey_of, in_colour, smallest_type

_GREY_ALPHA, _RGB, _RGBA = 4, 2, 6


def wide_colour(data: bytes) -> int | None:
    """The colour type of a PNG file whose channels have 16 bits and are several; None for any other."""
    bits, colour = struct.unpack_from("BB", data, 24)
    return colour if bits == 16 and colour in (_GREY_ALPHA, _RGB, _RGBA) else None


def decode_wide(image: Image.Image, kind: int, again: Image.Image, *, colour: bool = False) -> np.ndarray:
    """Grey, or `colour` where it has some, from a PNG file of colour type `kind`, opened twice and not loaded yet.

    Alpha is dropped.

    Pillow's unpackers for 16-bit colour keep one byte of each sample: those for big-endian samples the upper byte,
    those for little-endian ones, given the same bytes, the lower. Grey with alpha has as many bytes a pixel as 8-bit
    RGBA.
    """
    if kind == _GREY_ALPHA:
        high, low = np.moveaxis(_unpacked(image, "RGBA")[:, :, :2], 2, 0)
        return smallest_type(_joined(high, low))
    name = "RGB" if kind == _RGB else "RGBA"
    found = _joined(_unpacked(image, f"{name};16B"), _unpacked(again, f"{name};16L"))[:, :, :3]
    return in_colour(found) if colour else grey_of(found)


def _joined(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    return high.astype(np.uint16) << np.uint16(8) | low


def _unpacked(image: Image.Image, raw_mode: str) -> np.ndarray:
    image.tile = [tile._replace(args=raw_mode) for tile in image.tile]  # type: ignore[attr-defined]
    image.load()
    return np.asarray(image)
