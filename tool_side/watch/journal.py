"""The results file of watch mode: one JSON object a line and image, and the memory of what is done.

There is no other record of progress that could disagree with it. Lines are appended and flushed to the disk
before anything else is told of the result; a line that a crash or power cut left half written is cut off by
the next start, and its image inspected again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from tool_side.runtime.inspection import Inspection
from tool_side.runtime.repeats import picture_digest
from tool_side.watch.done import ArrivedFile, Done, FileState
from wafer_data.errors import BusyError, InputError
from wafer_data.files import write_bytes, write_error

SCHEMA = 1

Row = Mapping[str, Any]
_START = json.dumps({"schema": SCHEMA, "source": ""}).encode()[:-2]
_LONGEST_LINE = 1_000_000
_NUMBERS = ("size", "mtime_ns", "inode")


class Journal:
    """A results file held open for this process alone (on Windows nothing enforces that).

    Attributes:
        path: Created if missing. Use as a context manager, and :meth:`load` before :meth:`append`.
            Attributes: done: the last result of every path.
        rows: Number of lines.

    Raises:
        InputError: When another process writes the file, or when it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.done, self.rows, self._end = path, Done(), 0, 0
        self._last_read_ns = 0
        try:
            if not path.exists():
                write_bytes(path, b"")
            if not (path.is_file() or path.is_dir()):
                raise InputError(f"{path} is not a regular file, and cannot hold results; name another one")
            self._file = path.open("r+b", buffering=0)
        except OSError as error:
            raise write_error(path, error) from error
        try:
            _lock(self._file, path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, on_row: Callable[[Row], object] | None = None) -> int:
        """Read the results that are there; return the bytes of a half-written end that was cut off.

        Args:
            on_row: Called with each.

        Raises:
            InputError: When this is no results file, or one of another version.
        """
        torn = False
        for number, line in enumerate(self._lines(), start=1):
            row = _parse(line)
            if row is None:
                torn = True
                continue
            if torn:
                raise InputError(
                    f"{self.path}: a line before line {number} is not a result; repair it or name another file"
                )
            if row["schema"] != SCHEMA:
                raise InputError(
                    f"{self.path}: line {number} has schema {row['schema']!r}, this version writes {SCHEMA}; "
                    "name another results file"
                )
            self._remember(row)
            if on_row is not None:
                on_row(row)
            self._end += len(line)
        self.done.forget_doubts_before(self._last_read_ns)
        return self._cut_off_the_rest() if torn else 0

    def write(self, results: Sequence[Inspection]) -> None:
        """Append the lines of results (`tool_side.sinks.Sink`)."""
        if results:
            self.append([make_row(result) for result in results])

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows as one piece and flush them to the disk, or write none of them.

        Raises:
            InputError: When the disk is full or the file was moved, removed or changed by somebody else.
        """
        data = b"".join(json.dumps(row, allow_nan=False).encode() + b"\n" for row in rows)
        self._check_untouched()
        try:
            self._write(data)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise write_error(self.path, error) from error
        self._end += len(data)
        for row in rows:
            self._remember(row)

    def _write(self, data: bytes) -> None:
        self._file.seek(self._end)
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        os.fsync(self._file.fileno())

    def _check_untouched(self) -> None:
        try:
            there, ours = self.path.stat(), os.fstat(self._file.fileno())
        except OSError as error:
            raise InputError(
                f"{self.path} was moved or removed while results were written to it: start again"
            ) from error
        if not os.path.samestat(there, ours) or ours.st_size != self._end:
            raise InputError(
                f"{self.path} was replaced or changed by another program while results were written to it: "
                "start again; before moving a results file away, end the watch that writes it"
            )

    def _lines(self) -> Iterator[bytes]:
        with open(self._file.fileno(), "rb", closefd=False) as file:
            while line := file.readline(_LONGEST_LINE):
                yield line

    def _cut_off_the_rest(self) -> int:
        self._file.seek(self._end)
        tail = self._file.read(len(_START))
        # Some file systems fill what a power cut left unwritten with zeros.
        if not (_START.startswith(tail) or not tail.strip(b"\x00")):
            raise InputError(f"{self.path} is not a results file of watch mode; name another one")
        length = self._file.seek(0, os.SEEK_END) - self._end
        try:
            self._file.truncate(self._end)
            os.fsync(self._file.fileno())
        except OSError as error:
            raise write_error(self.path, error) from error
        return length

    def _remember(self, row: Row) -> None:
        self.rows += 1
        size, mtime_ns, inode = (row[name] for name in _NUMBERS)
        state = FileState(size, mtime_ns, inode, _whole(row.get("ctime_ns")))
        with contextlib.suppress(KeyError, TypeError, ValueError):
            self._last_read_ns = int(datetime.fromisoformat(row["time"]).timestamp() * 1e9)
        self.done.add(row["source"], state, row["sha256"], self._last_read_ns)


def make_row(result: Inspection) -> dict[str, Any]:
    """The line of a result, whose `ref` is an `ArrivedFile`; its sha256 is None if the file could not be read."""
    about, ref = result.to_dict(), result.ref
    if not isinstance(ref, ArrivedFile):
        raise TypeError("a results file holds results of files that arrived in a folder")
    picture = picture_digest(result)
    return {
        "schema": SCHEMA,
        "source": about.pop("source"),
        **ref.state._asdict(),
        "sha256": ref.sha256,
        **({} if picture is None else {"picture": picture}),
        "time": result.inspected.isoformat(timespec="milliseconds"),
        "bundle": result.bundle,
        **about,
    }


def _parse(line: bytes) -> Row | None:
    """The result in a whole line, or None."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict) or "schema" not in row:
        return None
    if row["schema"] != SCHEMA:
        return row
    whole = all(isinstance(row.get(name), int) for name in _NUMBERS) and isinstance(row.get("source"), str)
    return row if whole and (row.get("sha256") is None or _is_digest(row["sha256"])) else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and abs(value) < 2**63 else 0


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")


def _lock(file: BinaryIO, path: Path) -> None:
    """Hold the file until this process ends, however that happens."""
    try:
        import fcntl
    except ModuleNotFoundError:
        return
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise BusyError(
            f"{path} is written by another `waferroute inspect --watch`: end that one, or name another file"
        ) from error
    except OSError:  # a file system without locks
        return
