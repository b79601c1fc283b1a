"""What an image file says about itself, read before any decoder sees it: is it complete, is it a trap?

Decoders are lenient: a JPEG without its end marker or a PNG without its last chunk may decode to a picture
whose lower part is grey, and `LOAD_TRUNCATED_IMAGES` of Pillow, a switch for the whole process, makes that
the rule. On an inspection tool such a picture must never be judged. Decoders are also patient: a small file
of many parts keeps them busy for minutes. Standard library only.
"""

import struct
import zlib
from typing import NamedTuple

from wafer_data.imaging.bmp_structure import examine_bmp
from wafer_data.imaging.jpeg_structure import MOST_SCANS, examine_jpeg
from wafer_data.imaging.tiff_structure import TIFF_SIGNATURES

__all__ = ["MOST_CHUNKS", "MOST_SCANS", "PNG_SIGNATURE", "Structure", "examine"]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_CHUNKS = 100_000
"""Chunks of a PNG: enough for 64 megapixels of 16-bit colour in pieces of 4 kilobytes."""


class Structure(NamedTuple):
    """What :func:`examine` found.

    Attributes:
        image_format: "PNG", "JPEG", "BMP", "TIFF" (Pillow's names), or None for anything else.
        complete: Whether the file reaches its own end; a PNG must also carry correct checksums (of a TIFF
            file, whose directories point all over it, `imaging.tiff` finds out while it reads).
        trap: Why no decoder should be given the file, or None.
        unsupported: What kind of file it is that is not read, or None.
        pictures: How many it holds.
        missing: Bytes without pixels that its end lacks.
    """

    image_format: str | None
    complete: bool = False
    trap: str | None = None
    unsupported: str | None = None
    pictures: int = 1
    missing: int = 0


def examine(data: bytes) -> Structure:
    """Read the structure of a whole file's bytes, in time and memory proportional to their number."""
    if data.startswith(PNG_SIGNATURE):
        return _examine_png(data)
    if data.startswith(b"\xff\xd8\xff"):
        jpeg = examine_jpeg(data)
        return Structure("JPEG", jpeg.complete, jpeg.trap, jpeg.unsupported, jpeg.pictures)
    if data.startswith(b"BM"):
        bmp = examine_bmp(data)
        return Structure("BMP", bmp.complete, unsupported=bmp.unsupported, missing=bmp.missing)
    if data.startswith(TIFF_SIGNATURES):
        return Structure("TIFF", complete=True)
    return Structure(None)


def _examine_png(data: bytes) -> Structure:
    """Walk the chunks (length, type, body, CRC-32 of type and body) up to IEND (PNG specification, 5.3)."""
    position, view = len(PNG_SIGNATURE), memoryview(data)
    pictures = 1
    for _ in range(MOST_CHUNKS):
        if position + 12 > len(data):
            return Structure("PNG")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != _checksum(data, end):
            return Structure("PNG")
        if kind == b"IEND":
            return Structure("PNG", complete=True, pictures=pictures)
        if kind == b"fdAT":  # a frame of an animation beyond the picture itself
            pictures += 1
        position = end
    return Structure("PNG", trap=f"more than {MOST_CHUNKS} chunks")


def _checksum(data: bytes, chunk_end: int) -> int:
    return int(struct.unpack_from(">I", data, chunk_end - 4)[0])
