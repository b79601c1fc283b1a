"""KLARF 1.8 as a tree of records, fields and lists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from wafer_map.klarf.tokens import Text, Word

_DEEPEST = 16  # FileRecord > LotRecord > WaferRecord > TestRecord; nobody nests deeper for a reason
_SIGNS = ("{", "}", ";", ",")
_PADDING = "\x1a\x00"
Cell = list[Word]  # one word, or an image list with its braces


@dataclass
class Table:
    """A list: its columns as (type, name), their places, and its rows, a cell a column."""

    name: Word
    columns: list[tuple[Word, Word]]
    count: Word
    rows: list[list[Cell]]
    row_count: Word
    end: int


@dataclass
class Record:
    """A record: its name and identity, fields, lists and records in it."""

    name: Word
    identity: Word | None
    fields: dict[str, list[Word]] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)


class CutOff(Exception):  # noqa: N818 (it never leaves the reader)
    """The file ends inside something."""


class TreeReader:
    """Reads the words of a file of version 1.8; what is odd but readable goes into `notes`."""

    def __init__(self, text: Text, notes: list[str]) -> None:
        self.text, self.notes = text, notes
        self.words = [word for word in text.words(braces=True) if word.text.strip(_PADDING)]
        self.at = 0

    def read(self) -> tuple[Record, bool]:
        """The file's record, and whether EndOfFile follows it.

        Raises:
            InputError: With the line.
        """
        try:
            self._expect("Record")
            root = self._record(0)
        except CutOff:
            last = self.words[-1].start if self.words else 0
            self.text.refuse(last, "the file ends inside a record: it was cut off")
        rest = [word.text for word in self.words[self.at :]]
        if rest and rest[0] != "EndOfFile":
            self.text.refuse(
                self.words[self.at].start,
                "content after the file's record (several files in one, or a closing brace too many)",
            )
        if rest not in ([], ["EndOfFile"], ["EndOfFile", ";"]):
            self.text.refuse(self.words[self.at + 1].start, "content after EndOfFile")
        return root, bool(rest)

    def _next(self) -> Word:
        if self.at >= len(self.words):
            raise CutOff
        word = self.words[self.at]
        self.at += 1
        return word

    def _peek(self) -> Word:
        if self.at >= len(self.words):
            raise CutOff
        return self.words[self.at]

    def _expect(self, text: str, what: str = "") -> Word:
        word = self._next()
        if word.text != text:
            self.text.refuse(word.start, f"{text!r} is expected{what}, not {word.text[:40]!r}")
        return word

    def _plain(self, what: str) -> Word:
        word = self._next()
        if word.quoted or word.text in _SIGNS:
            self.text.refuse(word.start, f"{what} is expected here, not {word.text[:40]!r}")
        return word

    def _record(self, depth: int) -> Record:
        name = self._plain("a record's name")
        if depth > _DEEPEST:
            self.text.refuse(name.start, f"records are nested more than {_DEEPEST} deep: damaged")
        identity = None if self._peek().text == "{" else self._next()
        record = Record(name, identity)
        self._expect("{", f" after {name.text}")
        self._content(record, depth)
        return record

    def _content(self, record: Record, depth: int) -> None:
        while (word := self._next()).text != "}":
            if word.text == "Record":
                record.records.append(self._record(depth + 1))
            elif word.text == "Field":
                self._field(record)
            elif word.text == "List":
                self._table(record)
            elif word.text == ";":
                self.notes.append(f"line {self.text.line(word.start)}: a semicolon without a statement")
            else:
                self.text.refuse(
                    word.start, f"Record, Field, List or a closing brace is expected, not {word.text[:40]!r}"
                )

    def _field(self, record: Record) -> None:
        name = self._plain("a field's name")
        count = self.text.integer(self._plain("the number of values"), "the number of a field's values")
        self._expect("{", f" after Field {name.text}")
        values: list[Word] = []
        while (word := self._next()).text != "}":
            if word.text in ("{", ";") or word.text in ("Record", "Field", "List"):
                self.text.refuse(word.start, f"Field {name.text} has no closing brace before {word.text!r}")
            if word.text != ",":
                values.append(word)
        if len(values) != count:
            comma = "; are decimals written with commas?" if len(values) == 2 * count else ""
            self.text.refuse(
                name.start, f"Field {name.text} says {count} values and holds {len(values)}{comma}"
            )
        record.fields[name.text] = values

    def _table(self, record: Record) -> None:
        name = self._plain("a list's name")
        self._expect("{", f" after List {name.text}")
        self._expect("Columns", f" in List {name.text}")
        count = self._plain("the number of columns")
        columns = self._columns(name)
        if len(columns) != self.text.integer(count, "the number of columns"):
            self.text.refuse(count.start, f"Columns says {count.text} and names {len(columns)}")
        self._expect("Data", f" in List {name.text}")
        row_count = self._plain("the number of rows")
        self._expect("{", f" after Data in List {name.text}")
        table = Table(name, columns, count, [], row_count, row_count.end + 1)
        if record.tables.setdefault(name.text, table) is not table:
            self.text.refuse(name.start, f"a second List {name.text} in one record")
        rows = table.rows
        rows.extend(self._rows(table))
        table.end = self._expect("}", f" at the end of Data in List {name.text}").start
        if len(rows) != self.text.integer(row_count, "the number of rows"):
            self.text.refuse(
                row_count.start, f"Data of {name.text} says {row_count.text} rows and holds {len(rows)}"
            )
        self._expect("}", f" at the end of List {name.text}")

    def _columns(self, name: Word) -> list[tuple[Word, Word]]:
        self._expect("{", f" after Columns of {name.text}")
        columns: list[tuple[Word, Word]] = []
        while (word := self._next()).text != "}":
            if word.text == ",":
                continue
            if word.text in _SIGNS:
                self.text.refuse(word.start, f"a column's type is expected, not {word.text!r}")
            columns.append((word, self._plain("a column's name")))
        return columns

    def _rows(self, table: Table) -> Iterator[list[Cell]]:
        wanted = len(table.columns)
        while self._peek().text != "}":
            start = self._peek()
            row: list[Cell] = []
            while len(row) < wanted:
                word = self._next()
                if word.text in _SIGNS:
                    comma = "; decimals must be written with a point" if word.text == "," else ""
                    self.text.refuse(
                        word.start,
                        f"a row of {table.name.text} has {len(row)} cells instead of {wanted} before "
                        f"{word.text!r}{comma}",
                    )
                row.append([word] if word.quoted or word.text != "Images" else self._image_list(word))
            follows = self._peek()
            if follows.text == ";":
                self.at += 1
            elif follows.text == "}" or self.text.line(follows.start) > self.text.line(row[-1][-1].start):
                line = self.text.line(row[-1][-1].start)
                self.notes.append(f"line {line}: the semicolon after a row of {table.name.text} is missing")
            else:
                self.text.refuse(start.start, f"a row of {table.name.text} has more than {wanted} cells")
            yield row

    def _image_list(self, word: Word) -> Cell:
        cell = [word, self._plain("the number of images")]
        self.text.integer(cell[1], "the number of images")
        cell.append(self._expect("{", " after Images"))
        while (inner := self._next()).text != "}":
            if inner.text in ("{", ";"):
                self.text.refuse(inner.start, "a list of images has no closing brace")
            cell.append(inner)
        return [*cell, inner]
