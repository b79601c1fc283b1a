"""A table as people keep one: CSV with commas or semicolons, columns named in any case."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wafer_data.errors import DataError, InputError

_DIGITS = 9


@dataclass(frozen=True)
class TableRow:
    """One row.

    Attributes:
        where: the file and line, for messages. cells: by the name of their column, in small letters.
    """

    where: str
    cells: dict[str, str]

    def whole(self, name: str) -> int:
        """The whole number in a cell.

        Raises:
            DataError: it is none, or too large.
        """
        text = self.cells[name].strip()
        if not text.isdecimal() or len(text) > _DIGITS:
            raise DataError(
                f"{self.where}: {name} must be a whole number from 0 to {10**_DIGITS - 1}, got {text!r:.60}"
            )
        return int(text)


def read_table(path: Path, needed: Iterable[str]) -> list[TableRow]:
    """The rows of a table.

    Args:
        path: CSV in UTF-8, separated by commas or semicolons; its first line names the columns. needed: columns that it
            must have.

    Returns:
        Perhaps no row; empty lines are passed over.

    Raises:
        InputError: it cannot be read. DataError: it is no such table; names the line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text ({error.reason}): save the table as CSV in UTF-8"
        ) from error
    header = text.partition("\n")[0]
    separator = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows = []
    try:
        names = _names(path, next(reader, []), needed)
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if cells and len(cells) != len(names):
                raise DataError(f"{where}: it has another number of cells than the first line")
            if cells:
                rows.append(TableRow(where, dict(zip(names, cells, strict=True))))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a CSV table ({error})") from error
    return rows


def _names(path: Path, first: list[str], needed: Iterable[str]) -> list[str]:
    names = [name.strip().casefold() for name in first]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise DataError(f"{path}, line 1: two columns {twice[0]}: rename or remove one of them")
    if missing := [name for name in needed if name not in names]:
        raise DataError(
            f"{path} has no column {' and '.join(missing)}: its first line must name {', '.join(needed)}"
        )
    return names
