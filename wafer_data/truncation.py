"""Is an image file complete? Decided from the file's own structure, before any pixel is trusted.

Decoders are lenient: a JPEG without its end marker or a PNG without its last chunk may decode to a picture
whose lower part is grey, and `LOAD_TRUNCATED_IMAGES` of Pillow, a switch for the whole process, makes that
the rule. On an inspection tool such a picture must never be judged. Standard library only.
"""

import re
import struct
import zlib
from collections.abc import Sequence

_JPEG_START, _JPEG_END, _JPEG_SCAN = 0xD8, 0xD9, 0xDA
# In a scan's compressed data FF is followed by 00 (a data byte), D0-D7 (a restart) or FF (a fill byte);
# anything else is the next marker (ITU-T T.81, B.1.1).
_JPEG_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
_PNG_SIGNATURE_LENGTH = 8


def is_complete(data: bytes, image_format: str, spans: Sequence[tuple[int, int]] = ()) -> bool:
    """Whether the file content `data` reaches its own end.

    image_format: "JPEG", "PNG", "BMP" or "TIFF" (Pillow's names). spans: (offset, length) in bytes of each
    strip or tile of a TIFF's first page, from its directory. A PNG must also carry correct checksums.
    Raises ValueError for another format.
    """
    if image_format in ("JPEG", "MPO"):  # MPO: several JPEGs in one file, of which the first one is read
        return _jpeg_is_complete(data)
    if image_format == "PNG":
        return _png_is_complete(data)
    if image_format == "BMP":
        # Bytes 2-5: file size. Some programs leave it zero; then the decoder's own check has to do.
        return len(data) >= 6 and struct.unpack_from("<I", data, 2)[0] <= len(data)
    if image_format == "TIFF":
        inside = all(offset + length <= len(data) for offset, length in spans)
        return bool(spans) and inside and _tiff_directory_is_complete(data)
    raise ValueError(f"no completeness check for {image_format}")


def _jpeg_is_complete(data: bytes) -> bool:
    """Walk the markers up to end-of-image; those inside segments (an embedded thumbnail) do not count."""
    position = 0
    while (match := _JPEG_NEXT_MARKER.search(data, position)) is not None:
        marker, position = match.group(1)[0], match.end()
        if marker == _JPEG_END:
            return True
        if marker in (_JPEG_START, 0x01):  # markers without a segment
            continue
        if position + 2 > len(data):
            return False
        position += struct.unpack_from(">H", data, position)[0]
    return False


def _png_is_complete(data: bytes) -> bool:
    """Walk the chunks (length, type, body, CRC-32 of type and body) up to IEND (PNG specification, 5.3)."""
    position = _PNG_SIGNATURE_LENGTH
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            return False
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            return False
        if kind == b"IEND":
            return True
        position = end
    return False


def _tiff_directory_is_complete(data: bytes) -> bool:
    """Whether the first page's directory and the link after it lie inside the file (TIFF 6.0, section 2).

    A directory cut short still decodes to whatever its remaining tags say.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return False
    # The number 43 instead of 42 marks BigTIFF: 8-byte offsets and counts, 20-byte entries.
    big = data[2:4] in (b"\x2b\x00", b"\x00\x2b")
    link, count, entry, place = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    try:
        start = struct.unpack_from(order + link, data, place)[0]
        entries = struct.unpack_from(order + count, data, start)[0]
    except struct.error:
        return False
    return start + struct.calcsize(count) + entry * entries + struct.calcsize(link) <= len(data)
