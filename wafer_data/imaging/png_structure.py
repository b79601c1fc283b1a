"""The chunks of a PNG file, read before any decoder sees them (PNG specification, 5.3). Standard library only."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 100_000
"""Chunks of a PNG: enough for 64 megapixels of 16-bit colour in pieces of 4 kilobytes."""

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE_TYPE = 3
_GREY_HEADER = b"\0\0\0\rIHDR\x08\0\0\0\0"  # but for its width and height


@dataclass
class PngStructure:
    """What the chunks say.

    Attributes:
        complete: The end chunk is there, and all checksums are right.
        trap: Why no decoder should be given the file.
        pictures: How many the file holds: frames of an animation, or one file behind the other.
        damage: What is wrong although the file is complete.
        colours: Entries of the palette; 0 where there is none.
        parts: Where the compressed pixels lie, (start, end) in bytes.
        grey_size: Width and height of a complete file of 8 bits of grey, not interlaced, that holds nothing but a
            header and pixels. None of any other.
    """

    complete: bool = False
    trap: str | None = None
    pictures: int = 1
    damage: str | None = None
    colours: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)
    grey_size: tuple[int, int] | None = None


def examine_png(data: bytes) -> PngStructure:
    """Walk the chunks (length, type, body, CRC-32 of type and body) up to IEND."""
    found, position, view = PngStructure(), len(PNG_SIGNATURE), memoryview(data)
    for chunks in range(MOST_CHUNKS):
        if position + 12 > len(data):
            return found
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != _checksum(data, end):
            return found
        if kind == b"IEND":
            found.complete = True
            if data.startswith(PNG_SIGNATURE, end):
                found.pictures += 1
            elif found.parts and chunks == len(found.parts) + 1 and data[8:16] + data[24:29] == _GREY_HEADER:
                found.grey_size = struct.unpack_from(">II", data, 16)
            if data[25] == _PALETTE_TYPE and not found.colours:
                found.damage = "a palette is needed and missing"
            return found
        if kind == b"fdAT":  # a frame of an animation beyond the picture itself
            found.pictures += 1
        elif kind == b"IDAT":
            found.parts.append((position + 8, end - 4))
        elif kind == b"PLTE":
            found.colours = length // 3
        position = end
    found.trap = f"more than {MOST_CHUNKS} chunks"
    return found


def lacks_rows(data: bytes, structure: PngStructure) -> bool:
    """Whether the compressed pixels end before the last row: decoders then leave black what is missing.

    Decompresses all of them, for pictures that end in black only. Interlaced ones are not looked at.
    """
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if interlaced or colour not in _CHANNELS:
        return False
    expected = height * (1 + (width * _CHANNELS[colour] * bits + 7) // 8)
    inflate, size = zlib.decompressobj(), 0
    try:
        for start, end in structure.parts:
            size += len(inflate.decompress(data[start:end], expected - size + 1))
            if size >= expected:
                return False
    except zlib.error:
        return True
    return True


def _checksum(data: bytes, chunk_end: int) -> int:
    return int(struct.unpack_from(">I", data, chunk_end - 4)[0])
