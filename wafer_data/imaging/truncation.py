"""What an image file says about itself, read before any decoder sees it: is it complete, is it a trap?

Decoders are lenient: a JPEG without its end marker or a PNG without its last chunk may decode to a picture
whose lower part is grey, and `LOAD_TRUNCATED_IMAGES` of Pillow, a switch for the whole process, makes that
the rule. On an inspection tool such a picture must never be judged. Decoders are also patient: a small file
of many parts keeps them busy for minutes. Standard library only.
"""

import re
import struct
import zlib
from typing import NamedTuple

from wafer_data.imaging.tiff_structure import TIFF_SIGNATURES, tiff_is_complete, tiff_trap

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST_SCANS = 100
"""Scans of a JPEG. A progressive one has about ten, and every further one goes over the whole image again."""
MOST_CHUNKS = 100_000
"""Chunks of a PNG: enough for 64 megapixels of 16-bit colour in pieces of 4 kilobytes."""

_JPEG_START, _JPEG_END, _JPEG_SCAN = 0xD8, 0xD9, 0xDA
# In a scan's compressed data FF is followed by 00 (a data byte), D0-D7 (a restart) or FF (a fill byte);
# anything else is the next marker (ITU-T T.81, B.1.1). One FF is enough to find it: asking for the whole run
# of fill bytes would take the square of its length.
_JPEG_NEXT_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_BMP_UNCOMPRESSED = (0, 3, 6)  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS


class Structure(NamedTuple):
    """What :func:`examine` found.

    image_format: "PNG", "JPEG", "BMP", "TIFF" (Pillow's names), or None for anything else. complete: whether
    the file reaches its own end; a PNG must also carry correct checksums, and the strips or tiles of a TIFF's
    first page must cover it. trap: why no decoder should be given the file, or None.
    """

    image_format: str | None
    complete: bool = False
    trap: str | None = None


def examine(data: bytes) -> Structure:
    """Read the structure of a whole file's bytes, in time and memory proportional to their number."""
    if data.startswith(PNG_SIGNATURE):
        return _examine_png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _examine_jpeg(data)
    if data.startswith(b"BM"):
        return Structure("BMP", _bmp_is_complete(data))
    if data.startswith(TIFF_SIGNATURES):
        trap = tiff_trap(data)
        return Structure("TIFF", trap is None and tiff_is_complete(data), trap)
    return Structure(None)


def _examine_jpeg(data: bytes) -> Structure:
    """Walk the markers up to end-of-image; those inside segments (an embedded thumbnail) do not count."""
    position = scans = 0
    while (match := _JPEG_NEXT_MARKER.search(data, position)) is not None:
        marker, position = match.group(1)[0], match.end()
        if marker == _JPEG_END:
            return Structure("JPEG", complete=True)
        if marker in (_JPEG_START, 0x01):  # markers without a segment
            continue
        if marker == _JPEG_SCAN:
            scans += 1
            if scans > MOST_SCANS:
                return Structure("JPEG", trap=f"more than {MOST_SCANS} scans")
        if position + 2 > len(data):
            break
        position += struct.unpack_from(">H", data, position)[0]
    return Structure("JPEG")


def _examine_png(data: bytes) -> Structure:
    """Walk the chunks (length, type, body, CRC-32 of type and body) up to IEND (PNG specification, 5.3)."""
    position, view = len(PNG_SIGNATURE), memoryview(data)
    for _ in range(MOST_CHUNKS):
        if position + 12 > len(data):
            return Structure("PNG")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data) or zlib.crc32(view[position + 4 : end - 4]) != _checksum(data, end):
            return Structure("PNG")
        if kind == b"IEND":
            return Structure("PNG", complete=True)
        position = end
    return Structure("PNG", trap=f"more than {MOST_CHUNKS} chunks")


def _checksum(data: bytes, chunk_end: int) -> int:
    return int(struct.unpack_from(">I", data, chunk_end - 4)[0])


def _bmp_is_complete(data: bytes) -> bool:
    """Whether the stated size is there, and the rows of an uncompressed bitmap.

    Some programs leave the stated size zero; then the rows have to do.
    """
    if len(data) < 34:
        return False
    size, start = struct.unpack_from("<I4xI", data, 2)
    if size > len(data):
        return False
    if struct.unpack_from("<I", data, 14)[0] == 12:  # OS/2: 16-bit sides, never compressed
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        if compression not in _BMP_UNCOMPRESSED:
            return True  # run lengths say nothing about their end; the decoder counts the pixels
    row = (width * bits + 31) // 32 * 4
    return bool(start + row * abs(height) <= len(data))
