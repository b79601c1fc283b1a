"""The results of watch mode as a table for spreadsheets, made from the results file and from nothing else."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from tool_side.runtime.inspection import Inspection
from tool_side.watch.journal import Row, make_row
from wafer_data.errors import InputError
from wafer_data.files import write_error

COLUMNS = (
    "source", "decision", "route", "score", "lowres_score", "full_score", "reasons", "milliseconds",
    "time", "size", "sha256", "bundle",
)  # fmt: skip


class CsvCopy:
    """A CSV file that always holds the first rows of the results file, and all of them after each start.

    It is made anew at every start (:meth:`add` for each row, then :meth:`publish`) and continued from there
    by :meth:`append`, so what a crash left behind in it does not matter. Use as a context manager.

    Raises:
        InputError: When the path holds something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = path.with_name(f".{path.name}.part")
        _refuse_other_content(path)
        try:
            self._file: BinaryIO = self._new.open("w+b")
        except OSError as error:
            raise write_error(path, error) from error
        self._write([dict(zip(COLUMNS, COLUMNS, strict=True))])

    def __enter__(self) -> CsvCopy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a table that was not published is gone."""
        self._file.close()
        self._new.unlink(missing_ok=True)

    def add(self, row: Row) -> None:
        """Copy one row of the results file; nothing is seen of it until :meth:`publish`."""
        self._write([_cells(row)])

    def publish(self) -> None:
        """Put the new table into the place of the old one."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._new.replace(self.path)
            self._file = self.path.open("ab")
        except OSError as error:
            raise write_error(self.path, error) from error

    def write(self, results: Sequence[Inspection]) -> None:
        """Add results that are already in the results file (`tool_side.sinks.Sink`)."""
        self.append(map(make_row, results))

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows that are already in the results file."""
        self._write(map(_cells, rows))
        try:
            self._file.flush()
        except OSError as error:
            raise write_error(self.path, error) from error

    def _write(self, rows: Iterable[dict[str, Any]]) -> None:
        text = io.StringIO(newline="")
        csv.DictWriter(text, COLUMNS).writerows(rows)
        try:
            # A file name may hold bytes that are no text; they are shown as escapes.
            self._file.write(text.getvalue().encode("utf-8", errors="backslashreplace"))
        except OSError as error:
            raise write_error(self.path, error) from error


def _cells(row: Row) -> dict[str, Any]:
    cells = {name: row.get(name) for name in COLUMNS}
    cells["reasons"] = "; ".join(row.get("reasons", ()))
    cells["milliseconds"] = round(1000 * row.get("seconds", {}).get("total", 0.0), 3)
    return cells


def _refuse_other_content(path: Path) -> None:
    head = ",".join(COLUMNS).encode()
    try:
        with path.open("rb") as file:
            start = file.read(len(head))
    except FileNotFoundError:
        return
    except OSError as error:
        raise write_error(path, error) from error
    if start and start != head:
        raise InputError(f"{path} exists and is not a table of watch mode: move it away or name another file")
