"""The rows of a version 1.2 defect list, which are told from each other by counting their columns.

Lines may be broken anywhere, and an image list is as long as it says. Tools write that list in two ways: its length
and then pairs of image number and type, or the pairs alone with the length in IMAGECOUNT. The way in which the whole
list comes out even is taken. A value too few in one row and one too many in another come out even, too: that is seen
where lines are rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from wafer_data.errors import InputError
from wafer_map.klarf.defects import Row
from wafer_map.klarf.model import Defect, ImageEntry, Place
from wafer_map.klarf.tokens import Text, Word

_COUNT, _LIST = "IMAGECOUNT", "IMAGELIST"


class Rows(NamedTuple):
    """What a list holds."""

    defects: list[Defect]
    places: list[Place]


class _Uneven(Exception):  # noqa: N818 (it never leaves this module)
    def __init__(self, word: Word, reason: str) -> None:
        super().__init__(reason)
        self.word, self.reason = word, reason


def read_rows(
    text: Text, words: Sequence[Word], columns: Sequence[str], spec: int, file: str | None, *, cut_off: bool
) -> Rows:
    """Read all rows of a list.

    Args:
        text: the file. words: the list's words. columns: names of its columns.
        spec: index of the column specification, for `Place`.
        file: the image file that the rows' images are in.
        cut_off: the file ends inside this list: its last row is left out.

    Returns:
        Defects and the places of their cells.

    Raises:
        InputError: the words are no whole number of rows, or a cell is not what its column holds; names the line.
    """
    row = Row(text, columns, 1.0)
    problems: list[_Uneven] = []
    for counted in (True, False) if _LIST in row.keys else (True,):
        try:
            found = _split(text, words, row.keys, counted, cut_off)
        except _Uneven as problem:
            problems.append(problem)
            continue
        _refuse_shifted(text, words, row.keys, found, counted)
        defects, places = [], []
        for cells in found:
            images = [cell for cell in cells if isinstance(cell, list)]
            entries = tuple(entry for cell in images for entry in _entries(text, cell, file))
            defects.append(row.defect([None if isinstance(c, list) else c for c in cells], entries))
            spans = (
                (c[0].start, c[-1].end) if isinstance(c, list) and c
                else (0, 0) if isinstance(c, list) else (c.start, c.end)
                for c in cells
            )  # fmt: skip
            places.append(Place(tuple(spans), spec))
        return Rows(defects, places)
    line = _uneven_line(text, words, row.keys) or problems[0].word
    text.refuse(line.start, problems[0].reason)


_Cell = Word | list[Word]


def _split(
    text: Text, words: Sequence[Word], keys: Sequence[str], counted: bool, cut_off: bool
) -> list[list[_Cell]]:
    rows: list[list[_Cell]] = []
    at = 0
    while at < len(words):
        first, count = words[at], None
        cells: list[_Cell] = []
        try:
            for key in keys:
                if key == _LIST:
                    length = 2 * _image_count(text, words, at, count, counted)
                    size = length + counted
                    if at + size > len(words):
                        raise _Uneven(first, _few(len(words), keys))
                    cells.append(list(words[at : at + size]))
                    at += size
                    continue
                if at >= len(words):
                    raise _Uneven(first, _few(len(words), keys))
                if key == _COUNT and words[at].text.isdecimal():
                    count = int(words[at].text[:9])
                cells.append(words[at])
                at += 1
        except _Uneven:
            if cut_off:
                return rows
            raise
        rows.append(cells)
    return rows[:-1] if cut_off else rows  # the last cell may have lost its last digits


def _image_count(text: Text, words: Sequence[Word], at: int, count: int | None, counted: bool) -> int:
    if not counted:
        if count is None:
            raise _Uneven(words[min(at, len(words) - 1)], f"{_LIST} without {_COUNT}")
        return count
    if at >= len(words):
        raise _Uneven(words[-1], f"the last row has no {_LIST}")
    try:
        length = text.integer(words[at], f"the length of {_LIST}")
    except InputError as error:
        raise _Uneven(words[at], f"the length of {_LIST} must be a whole number") from error
    if length < 0 or (count is not None and length != count):
        raise _Uneven(words[at], f"{_COUNT} is {count}, the {_LIST} says {length}")
    return length


def _few(words: int, keys: Sequence[str]) -> str:
    return f"{words} values are no whole number of rows of {len(keys)} columns ({keys[0]} ... {keys[-1]})"


def _entries(text: Text, cell: list[Word], file: str | None) -> list[ImageEntry]:
    pairs = cell[len(cell) % 2 :]
    return [
        ImageEntry(file, text.integer(number, "an image's number"), kind.value)
        for number, kind in zip(pairs[::2], pairs[1::2], strict=True)
    ]


def _uneven_line(text: Text, words: Sequence[Word], keys: Sequence[str]) -> Word | None:
    """The first word of the first line that is no row, where the others are one row a line."""
    for content in _lines(text, words):
        if not _is_row(text, content, keys, True):
            return content[0]
    return None


def _refuse_shifted(
    text: Text, words: Sequence[Word], keys: Sequence[str], rows: Sequence[list[_Cell]], counted: bool
) -> None:
    """Refuse rows that come out even by their count alone, though a line of this list is a row.

    A row that runs on over further lines is read, and so are lines that are broken anywhere. But where lines are rows,
    one that begins or ends inside another's line is made of values that are missing here and too many there.
    """
    spans = [(text.line(first.start), text.line(last.start)) for first, last in map(_ends, rows)]
    pairs = [(one, two) for one, two in pairwise(spans) if one[1] == two[0]]
    place = next((one[0] for one, two in pairs if one[0] < one[1] or two[0] < two[1]), None)
    if place is None:
        return
    lines = _lines(text, words)
    single = sum(_is_row(text, content, keys, counted) for content in lines)
    begun = len(rows) - len(pairs)  # rows that begin a line
    if len(lines) == len(rows) or 2 * single > len(lines) or 2 * begun > len(rows):
        text.refuse(
            next(word.start for word in words if text.line(word.start) == place),
            f"this line is no row of {len(keys)} columns ({keys[0]} ... {keys[-1]}), though lines of this list are: "
            "values are missing in one line, and too many in another",
        )


def _ends(row: list[_Cell]) -> tuple[Word, Word]:
    """The first and the last word of a row."""
    words = [word for cell in row for word in (cell if isinstance(cell, list) else [cell])]
    return words[0], words[-1]


def _lines(text: Text, words: Sequence[Word]) -> list[list[Word]]:
    lines: dict[int, list[Word]] = {}
    for word in words:
        lines.setdefault(text.line(word.start), []).append(word)
    return list(lines.values())


def _is_row(text: Text, words: Sequence[Word], keys: Sequence[str], counted: bool) -> bool:
    try:
        return len(_split(text, words, keys, counted, False)) == 1
    except _Uneven:
        return False
