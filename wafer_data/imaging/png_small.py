"""The pixels of a small grey PNG file, faster than Pillow alone and to the last bit the same.

Pillow inflates one row at a time. zlib's fast loop needs room for 258 bytes, which the row of an image that is 256
pixels wide never has, so every byte takes the slow way. Here all of it is inflated at once, wrapped again without
compression, and Pillow is left the filters of the rows, for which numpy would need a call each; only rows that all add
to the one above are summed here. Whatever is unusual about a file is left to Pillow as a whole, so that there is one
place that knows what is damaged.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from PIL import Image

from wafer_data.imaging.deflate import inflated

WIDEST = 512
"""Pixels of a row up to which this is worth its while: a wide row spends little of its length near its end."""
MOST_PIXELS = 1 << 20
"""All of it is held three times, which larger images should not be."""
_CHUNK, _BLOCK = 12, 65535
_SUB, _UP = 1, 2  # filters of rows (PNG specification, 9.2)
_STORED = b"\x78\x01"  # header of a zlib stream that is not compressed


def is_small(width: int, height: int) -> bool:
    """Whether the short way is worth its while."""
    return width <= WIDEST and width * height <= MOST_PIXELS


def small_grey_pixels(
    data: bytes, parts: Sequence[tuple[int, int]], size: tuple[int, int]
) -> np.ndarray | None:
    """Pixels of a small PNG file with 8 bits of grey, uint8 (height, width); None for Pillow to decode.

    Args:
        data: the file, complete and its checksums right.
        parts: where the compressed pixels lie in it, (start, end) in bytes.
        size: width and height.
    """
    width, height = size
    packed = b"".join([data[start:end] for start, end in parts])
    rows = inflated(packed, height * (width + 1))
    if rows is None:  # Pillow says in its own words what is wrong
        return None
    filters = rows[:: width + 1]
    if filters[0] <= _UP and filters.count(_UP, 1) == height - 1:
        return _summed_down(np.frombuffer(rows, np.uint8).reshape(height, width + 1))
    try:
        return np.array(Image.frombytes("L", size, _stored(rows, packed[-4:]), "zip", "L", 0))
    except ValueError:
        return None


def is_plain_grey(image: Image.Image, data: bytes, parts: Sequence[tuple[int, int]]) -> bool:
    """8 bits of grey, not interlaced, all compressed pixels in a row and nothing but the end behind them.

    image: opened, not loaded.
    """
    tiles = [(tile.codec_name, tile.args) for tile in image.tile]  # type: ignore[attr-defined]
    if image.mode != "L" or tiles != [("zip", "L")] or image.info.get("interlace"):
        return False
    if any(end + _CHUNK != start for (_, end), (start, _) in pairwise(parts)):
        return False
    return data.startswith(b"IEND", parts[-1][1] + 8)


def _summed_down(lines: np.ndarray) -> np.ndarray:
    """Pixels of rows that hold what is added to the row above, as encoders filter noise and vertical lines.

    lines: (height, 1 + width), each row behind its filter; the first is not filtered, or along itself.
    """
    found = lines[:, 1:].copy()
    if lines[0, 0] == _SUB:
        np.add.accumulate(found[0], out=found[0])
    other, rows = np.empty_like(found), 1
    # each row becomes the sum of twice as many: numpy's own sums along columns take six times as long
    while rows < len(found):
        other[:rows] = found[:rows]
        np.add(found[rows:], found[:-rows], out=other[rows:])
        found, other, rows = other, found, 2 * rows
    return found


def _stored(rows: bytes, checksum: bytes) -> bytes:
    """`rows` as a zlib stream of blocks that are not compressed (RFC 1951, 3.2.4).

    Args:
        rows: any number of bytes but none.
        checksum: of these bytes, as a zlib stream ends.
    """
    pieces = [_STORED]
    for start in range(0, len(rows), _BLOCK):
        piece = rows[start : start + _BLOCK]
        last = start + _BLOCK >= len(rows)
        pieces += [struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF), piece]
    return b"".join([*pieces, checksum])
