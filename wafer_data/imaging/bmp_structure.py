"""The header of a BMP file: are its rows there? Standard library only."""

from __future__ import annotations

import struct
from typing import NamedTuple

_UNCOMPRESSED, _RUN_LENGTHS = (0, 3, 6), (1, 2)  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS; BI_RLE8, BI_RLE4
_KINDS = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_BITS = (1, 4, 8, 16, 24, 32)


class Palette(NamedTuple):
    """Where the colours lie: the first byte, how many there are, and the bytes of each (blue, green, red, nothing)."""

    place: int
    colours: int
    size: int


class BmpStructure(NamedTuple):
    """complete: all rows are there.

    Attributes:
        missing: Bytes of the last row's padding that are not; they hold no pixel.
        palette: Of a file whose pixels are numbers of colours.
    """

    complete: bool
    missing: int = 0
    unsupported: str | None = None
    palette: Palette | None = None


def examine_bmp(data: bytes) -> BmpStructure:
    """Compare the rows with the file's length.

    The size that the header states is not relied on: programs put zero there, or too much (it is not needed
    to find a pixel).
    """
    if len(data) < 34:
        return BmpStructure(False)
    start, header = struct.unpack_from("<II", data, 10)
    if header == 12:  # OS/2: 16-bit sides, never compressed
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression in _KINDS:
        return BmpStructure(True, unsupported=f"BMP that holds {_KINDS[compression]} data")
    if bits not in _BITS:
        return BmpStructure(True, unsupported=f"{bits}-bit BMP")
    if compression in _RUN_LENGTHS:
        # Run lengths say nothing about their end; the decoder counts the pixels. The stated size has to do.
        size = struct.unpack_from("<I", data, 2)[0]
        return BmpStructure(size <= len(data), palette=_palette(data, start, header, bits))
    if compression not in _UNCOMPRESSED:
        return BmpStructure(True, unsupported=f"BMP with compression number {compression}")
    row = (width * bits + 31) // 32 * 4
    padding = row - (width * bits + 7) // 8
    missing = start + row * abs(height) - len(data)
    return BmpStructure(missing <= padding, max(0, missing), palette=_palette(data, start, header, bits))


def _palette(data: bytes, start: int, header: int, bits: int) -> Palette | None:
    """start: where the pixels begin, which leaves no room for colours that are stated and not there."""
    if bits > 8:
        return None
    place, size = 14 + header, 3 if header == 12 else 4
    stated = struct.unpack_from("<I", data, 46)[0] if header >= 36 and len(data) >= 50 else 0
    room = min(start if start > place else len(data), len(data)) - place
    colours = min(stated or 1 << bits, room // size)
    return Palette(place, colours, size) if colours > 0 else None
