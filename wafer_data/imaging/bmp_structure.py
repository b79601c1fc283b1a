"""The header of a BMP file: are its rows there? Standard library only."""

from __future__ import annotations

import struct
from typing import NamedTuple

_UNCOMPRESSED, _RUN_LENGTHS = (0, 3, 6), (1, 2)  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS; BI_RLE8, BI_RLE4
_KINDS = {4: "JPEG", 5: "PNG", 11: "CMYK", 12: "CMYK", 13: "CMYK"}
_BITS = (1, 4, 8, 16, 24, 32)


class BmpStructure(NamedTuple):
    """complete: all rows are there.

    Attributes:
        missing: Bytes of the last row's padding that are not; they hold no pixel.
    """

    complete: bool
    missing: int = 0
    unsupported: str | None = None


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
        return BmpStructure(size <= len(data))
    if compression not in _UNCOMPRESSED:
        return BmpStructure(True, unsupported=f"BMP with compression number {compression}")
    row = (width * bits + 31) // 32 * 4
    padding = row - (width * bits + 7) // 8
    missing = start + row * abs(height) - len(data)
    return BmpStructure(missing <= padding, max(0, missing))
