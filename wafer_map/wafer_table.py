"""A table (CSV) with a row for each wafer."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from wafer_data.errors import DataError, InputError

_DIGITS = 9


@dataclass(frozen=True)
class WaferRow:
    """One row.

    Attributes:
        where: the file and line, for messages. cells: by the name of their column.
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


def read_table(path: Path, needed: tuple[str, ...]) -> list[WaferRow]:
    """The rows of a table.

    Args:
        path: CSV in UTF-8; its first line names the columns. needed: columns that it must have.

    Returns:
        At least one row; empty lines are passed over.

    Raises:
        InputError: it cannot be read. DataError: it is no such table; names the line.
    """
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = next(reader, [])
            if twice := {name for name in names if names.count(name) > 1}:
                raise DataError(
                    f"{path}, line 1: the column {min(twice)} stands there twice: keep one of them"
                )
            for cells in reader:
                where = f"{path}, line {reader.line_num}"
                if cells and len(cells) != len(names):
                    raise DataError(f"{where}: it has another number of cells than the first line")
                if cells:
                    rows.append(WaferRow(where, dict(zip(names, cells, strict=True))))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table (CSV, UTF-8): {error}") from error
    if not rows or not set(needed) <= set(names):
        raise DataError(
            f"{path}: a table with the columns {', '.join(needed)} and a row for each wafer is needed"
        )
    return rows
