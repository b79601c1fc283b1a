"""The directories of a TIFF file, and which of them is the picture.

TIFF 6.0, section 2, and its 64-bit variant BigTIFF. Standard library only. No decoder is ever given a directory of the
file itself (see `tiff_pixels`), so what they hold beyond the tags read here does no harm.
"""

import math
import re
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wafer_data.imaging.refused import Refused

# Some programs write the number in the other byte order; decoders accept that.
TIFF_SIGNATURES = (b"II*\x00", b"MM\x00*", b"II\x00*", b"MM*\x00", b"II+\x00", b"MM\x00+")
MOST_TAGS = 65_535
"""Tags in all directories together that are looked at: there are no more numbers for those of one."""

_TYPE_BYTES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SUBFILE, _OLD_SUBFILE, _SUB_DIRECTORIES, _WIDTH, _HEIGHT, _SAMPLES = 254, 255, 330, 256, 257, 277
_REDUCED, _MASK, _OLD_REDUCED = 1, 4, 2
_MANY_PAGES = 1000
_DESCRIPTION = 270
_IMAGEJ_STACK = re.compile(rb"^ImageJ=.*?\nimages=(\d{1,9})\n", re.DOTALL)
_SHAPED_STACK = re.compile(
    rb'^\{"shape": \[([\d, ]{1,99})\].*"truncated": true', re.DOTALL
)  # tifffile, "truncate"
_DEPTH = 32997


class _Entry(NamedTuple):
    """The values of one tag: their type, number of bytes and place."""

    kind: int
    size: int
    place: int


class Directory:
    """One directory of `data`. Raises struct.error where it is cut short."""

    def __init__(self, data: bytes, start: int | None = None) -> None:
        self.data = data
        self.order = "<" if data.startswith(b"II") else ">"
        big = 43 in (data[2], data[3])  # 8-byte offsets and counts, 20-byte entries
        link, count, entry_length = ("Q", "Q", 20) if big else ("I", "H", 12)
        link_length = struct.calcsize(link)
        if start is None:
            start = self._number(link, 8 if big else 4)
        self.start = start
        place = start + struct.calcsize(count)
        self.count = self._number(count, start)
        self.entries: dict[int, _Entry] = {}
        if self.count > MOST_TAGS:
            raise Refused(f"damaged or made to overload its reader: more than {MOST_TAGS} tags")
        for at in range(place, place + entry_length * self.count, entry_length):
            tag, kind = self._number("H", at), self._number("H", at + 2)
            size = _TYPE_BYTES.get(kind, 0) * self._number(link, at + 4)
            value = at + 4 + link_length
            if size > link_length:
                value = self._number(link, value)
            self.entries.setdefault(tag, _Entry(kind, size, value))
        self.next_at, self.link = place + entry_length * self.count, self.order + link
        self.next = self._number(link, self.next_at)

    def numbers(self, tag: int) -> Sequence[int]:
        """The whole numbers of a tag; empty if it is absent or of another type."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _WHOLE_NUMBERS:
            return ()
        code = _WHOLE_NUMBERS[entry.kind]
        count = entry.size // _TYPE_BYTES[entry.kind]
        if entry.place + entry.size > len(self.data):  # before a format of 2^32 numbers is even built
            raise struct.error("values outside the file")
        return struct.unpack_from(f"{self.order}{count}{code}", self.data, entry.place)

    def number(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        return next(iter(self.numbers(tag)), default)

    def raw(self, tag: int) -> bytes:
        """The bytes of a tag's values; empty if it is absent."""
        entry = self.entries.get(tag)
        if entry is None:
            return b""
        if entry.place + entry.size > len(self.data):
            raise struct.error("values outside the file")
        return self.data[entry.place : entry.place + entry.size]

    @property
    def is_picture(self) -> bool:
        """Whether it holds one, and not a reduced copy or a mask of another directory's."""
        reduced = bool(self.number(_SUBFILE, 0) & (_REDUCED | _MASK))
        return _WIDTH in self.entries and not reduced and self.number(_OLD_SUBFILE, 0) != _OLD_REDUCED

    def _number(self, code: str, place: int) -> int:
        if place > len(self.data):  # it may be larger than any number that struct takes for a place
            raise struct.error("a number outside the file")
        return int(struct.unpack_from(self.order + code, self.data, place)[0])


def find_picture(data: bytes) -> Directory:
    """The directory of the one picture in a file; thumbnails, reduced copies and masks do not count.

    Raises:
        struct.error: a directory is cut short.
        Refused: its directories form a ring, or it holds no picture or several (a defect on
            the second page of a wafer's file must not PASS because only the first is looked at).
    """
    first, pictures = None, []
    for page in _directories(data):
        first = first or page
        pictures += [page] if page.is_picture else []
        if len(pictures) == _MANY_PAGES:
            break
    if len(pictures) == 1:
        _refuse_stack(pictures[0])
    if len(pictures) > 1:
        many = f"{_MANY_PAGES} or more" if len(pictures) == _MANY_PAGES else str(len(pictures))
        raise Refused(f"{many} pages in one file, and each would need a look: save one image a file")
    found = pictures[0] if pictures else first  # a thumbnail alone is a picture after all
    assert found is not None
    return found


def _refuse_stack(page: Directory) -> None:
    """Refuse planes that lie behind those of the one directory, or in depth: they would go unseen."""
    said = page.raw(_DESCRIPTION)
    if (imagej := _IMAGEJ_STACK.search(said)) is not None and int(imagej[1]) > 1:
        raise Refused(f"a stack of {int(imagej[1])} pages as ImageJ writes it: save one image a file")
    depth = page.number(_DEPTH, 1)
    if (shaped := _SHAPED_STACK.search(said)) is not None:
        sides = [int(side) for side in shaped[1].split(b",") if side.strip()]
        picture = page.number(_WIDTH, 1) * page.number(_HEIGHT, 1) * page.number(_SAMPLES, 1)
        depth = max(depth, math.prod(sides) // max(1, picture))
    if depth > 1:
        raise Refused(f"a volume of {depth} planes in one page: save one image a file")


def one_page(data: bytes, number: int) -> bytes:
    """The same file with one page only: its header points to that page, and the page to no other.

    Args:
        data: the whole file.
        number: of the page, from 1.

    Raises:
        LookupError: there is no such page.
        Refused, struct.error: as for `find_picture`.
    """
    if number < 1:
        raise LookupError(number)
    page, seen = Directory(data), set[int]()
    for _ in range(number - 1):
        seen.add(page.start)
        if not page.next or page.next in seen:
            raise LookupError(number)
        page = Directory(data, page.next)
    length = struct.calcsize(page.link)
    at = 8 if length == 8 else 4
    alone = bytearray(data)
    alone[at : at + length] = struct.pack(page.link, page.start)
    alone[page.next_at : page.next_at + length] = bytes(length)
    return bytes(alone)


def _directories(data: bytes) -> Iterator[Directory]:
    pending: list[int | None] = [None]
    seen: set[int] = set()
    tags = 0
    while pending:
        page = Directory(data, pending.pop())
        if page.start in seen:
            raise Refused("damaged or made to overload its reader: its directories point to each other")
        seen.add(page.start)
        tags += page.count + 1
        if tags > MOST_TAGS:
            raise Refused(f"damaged or made to overload its reader: more than {MOST_TAGS} tags")
        yield page
        pending += [page.next] if page.next else []
        pending += [start for start in page.numbers(_SUB_DIRECTORIES)[:MOST_TAGS] if start]
