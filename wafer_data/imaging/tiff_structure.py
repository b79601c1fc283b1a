"""The first directory of a TIFF file: is all that it speaks of there, and is it harmless to read?

TIFF 6.0, section 2, and its 64-bit variant BigTIFF. Standard library only.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

# Some programs write the number in the other byte order; decoders accept that.
TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II\x00*", b"MM*\x00", b"II+\x00", b"MM\x00+")
MOST_TAGS = 65_535
"""Tags in a directory: there are no more numbers for them."""

_TYPE_BYTES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_LENGTHS, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 322, 323, 324, 325
_UNCOMPRESSED, _SEPARATE_PLANES, _YCBCR = 1, 2, 6
# Directories that a decoder reads along with the one that points to them: Exif, position, interoperability.
_NESTED = (34665, 34853, 40965)


class _Entry(NamedTuple):
    """The values of one tag: their type, number of bytes, place, and whether that is inside the directory."""

    kind: int
    size: int
    place: int
    inline: bool


class _Directory:
    """One directory of `data`. Raises struct.error where it is cut short."""

    def __init__(self, data: bytes, start: int | None = None) -> None:
        self.data = data
        self._order = "<" if data.startswith(b"II") else ">"
        big = 43 in (data[2], data[3])  # 8-byte offsets and counts, 20-byte entries
        self._link, count, entry_length = ("Q", "Q", 20) if big else ("I", "H", 12)
        link_length = struct.calcsize(self._link)
        if start is None:
            start = self._number(self._link, 8 if big else 4)
        place = start + struct.calcsize(count)
        self.count = self._number(count, start)
        self.end = place + entry_length * self.count + link_length
        self.entries: dict[int, _Entry] = {}
        self.outside = 0  # bytes of values that lie outside the directory, also those of repeated tags
        here = min(self.count, MOST_TAGS, (len(data) - place) // entry_length)
        for at in range(place, place + entry_length * here, entry_length):
            tag, kind = self._number("H", at), self._number("H", at + 2)
            size = _TYPE_BYTES.get(kind, 0) * self._number(self._link, at + 4)
            value = at + 4 + link_length
            inline = size <= link_length
            self.outside += 0 if inline else size
            self.entries.setdefault(
                tag, _Entry(kind, size, value if inline else self._number(self._link, value), inline)
            )

    def numbers(self, tag: int) -> Sequence[int]:
        """The whole numbers of a tag; empty if it is absent or of another type."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _WHOLE_NUMBERS:
            return ()
        code = _WHOLE_NUMBERS[entry.kind]
        count = entry.size // _TYPE_BYTES[entry.kind]
        if entry.place + entry.size > len(self.data):  # before a format of 2^32 numbers is even built
            raise struct.error("values outside the file")
        return struct.unpack_from(f"{self._order}{count}{code}", self.data, entry.place)

    def number(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return next(iter(self.numbers(tag)), default)

    def _number(self, code: str, place: int) -> int:
        if place > len(self.data):  # it may be larger than any number that struct takes for a place
            raise struct.error("a number outside the file")
        return int(struct.unpack_from(self._order + code, self.data, place)[0])


def tiff_trap(data: bytes) -> str | None:
    """Why reading the file's tags could take far more time and memory than its size suggests; or None.

    The values of a sound file's tags lie side by side; thousands of tags that each claim the same million
    bytes are read a thousand times over.
    """
    try:
        pending: list[int | None] = [None]
        for start in pending:
            directory = _Directory(data, start)
            if directory.count > MOST_TAGS:
                return f"more than {MOST_TAGS} tags"
            if directory.outside > len(data):
                return "its tags claim more data than the file holds"
            if len(pending) > len(_NESTED) + 1:
                return "its directories point to each other"
            pending += [number for tag in _NESTED for number in directory.numbers(tag)[:1]]
    except struct.error:
        pass  # cut short: that is for tiff_is_complete to say
    return None


def tiff_is_complete(data: bytes) -> bool:
    """Whether the first page's directory, the link after it and all strips or tiles lie inside the file.

    A directory cut short still decodes to whatever its remaining tags say, and a page whose strips end before
    its last row decodes to one that is black below: neither is complete.
    """
    try:
        page = _Directory(data)
        return page.end <= len(data) and _pixels_are_there(page)
    except struct.error:
        return False


def _pixels_are_there(page: _Directory) -> bool:
    width, height = page.number(_WIDTH, 0), page.number(_HEIGHT, 0)
    samples = page.number(_SAMPLES, 1)
    planes = samples if page.number(_PLANAR, 1) == _SEPARATE_PLANES else 1
    offsets, lengths = page.numbers(_STRIP_OFFSETS), page.numbers(_STRIP_LENGTHS)
    part_width, part_height = width, min(page.number(_STRIP_ROWS, height), height)
    if not offsets:
        offsets, lengths = page.numbers(_TILE_OFFSETS), page.numbers(_TILE_LENGTHS)
        part_width, part_height = page.number(_TILE_WIDTH, 0), page.number(_TILE_HEIGHT, 0)
    if not offsets or len(offsets) != len(lengths) or min(width, height, part_width, part_height) < 1:
        return False
    if any(offset + length > len(page.data) for offset, length in zip(offsets, lengths, strict=True)):
        return False
    if len(offsets) < -(-width // part_width) * -(-height // part_height) * planes:
        return False
    if page.number(_COMPRESSION, _UNCOMPRESSED) != _UNCOMPRESSED or page.number(_PHOTOMETRIC, 0) == _YCBCR:
        return True
    bits = page.numbers(_BITS) or (1,)
    sample_bits = sum(bits) if len(bits) == samples else bits[0] * samples
    return sum(lengths) >= height * planes * (width * sample_bits // planes // 8)
