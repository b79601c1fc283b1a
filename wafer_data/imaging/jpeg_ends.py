"""Whether the compressed data of a JPEG reach the end of its picture: where they lack, decoders leave middle grey.

Data end before the end marker, or, of a file with restart markers, before one of those. A picture may end in just that
grey, so such a one is decoded once more with further data there: blocks that are complete do not change.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from wafer_data.imaging.jpeg_structure import JpegStructure
from wafer_data.imaging.refused import damaged

_MIDDLE_GREY, _BLOCK = 128, 8
_SEQUENTIAL = (0xC0, 0xC1)
FURTHER_DATA = bytes(range(17, 241, 3)) * 2
"""No marker of a JPEG, and no picture in any compression."""
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


def check_ends(
    data: bytes, structure: JpegStructure, image: Image.Image, decode: Callable[[bytes], Image.Image]
) -> None:
    """Refuse a picture some of whose blocks have no data.

    Args:
        data: the JPEG.
        structure: of it.
        image: what it decodes to, perhaps at a half, a quarter or an eighth of its size.
        decode: makes the same of other data.

    Raises:
        Refused: data lack; or there are fewer restart markers than the picture needs.
    """
    ends = [image.size, *_restart_ends(data, structure, image)]
    shown = image.getchannel("K") if image.mode == "CMYK" else image
    if len(ends) > 1:  # one conversion for all of them
        shown = shown.convert("L")
    if not any(_is_grey(shown, *end, structure.width) for end in ends):
        return
    scan = data[structure.scan : structure.end]
    if len(ends) > 1:
        scan = _RESTART.sub(lambda marker: FURTHER_DATA + marker[0], scan)
    again = decode(data[: structure.scan] + scan + FURTHER_DATA + data[structure.end :])
    if again.tobytes() != image.tobytes():
        raise damaged("the compressed pixels end before the last row")


def _is_grey(image: Image.Image, right: int, bottom: int, width: int) -> bool:
    """Whether the lowest row of the block that ends there is middle grey; its colours blend with those of others."""
    block = max(1, _BLOCK * image.width // max(width, image.width))
    row = image.crop(((right - 1) // block * block, bottom - 1, right, bottom)).convert("L")
    return bool((abs(np.asarray(row).astype(int) - _MIDDLE_GREY) <= 1).all())


def _restart_ends(data: bytes, structure: JpegStructure, image: Image.Image) -> Iterator[tuple[int, int]]:
    """Right and lower edge of the last block before each restart marker, in pixels of `image`."""
    interval, frame = structure.interval, structure.frame
    if not interval or not frame or structure.scans != 1 or data[frame - 1] not in _SEQUENTIAL:
        return
    height, width, channels = struct.unpack_from(">HHB", data, frame + 3)
    sampling = [data[frame + 9 + 3 * channel] for channel in range(channels)] if channels > 1 else [0x11]
    wide, high = (
        _BLOCK * max(part) for part in zip(*((one >> 4, one & 15) for one in sampling), strict=True)
    )
    across, down = -(-width // wide), -(-height // high)
    needed = -(-across * down // interval) - 1
    if len(_RESTART.findall(data, structure.scan, structure.end)) < needed:
        raise damaged("parts between its restart markers are missing")
    times = max(1, round(width / image.width))  # decoded at a part of its size
    for last in range(interval - 1, needed * interval, interval):
        right, bottom = last % across * wide + wide, last // across * high + high
        if bottom <= height:  # of a TIFF's last strip, rows that nobody asked for may follow
            yield -(-min(right, width) // times), -(-bottom // times)
