"""The node's journal: what was answered, on this disk, before the answer leaves.

One SQLite file (WAL, synchronous=FULL) that one process writes, by one thread, in group commits: whatever arrives
while one commit is flushed to the disk goes into the next. An entry holds all that the database will get, image and
heat map included, so that neither the database nor the network is on the way of an answer. `service.store.ship`
carries entries on; image and map are then deleted here, the answer itself stays for retries.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.store.database import PAGE_CACHE_KB
from wafer_data.errors import BusyError, InputError

SUFFIX = ".journal"
MOST_IN_COMMIT = 64
# Answers that are remembered for retries. Counted, not timed: a clock may jump.
REMEMBERED = 200_000
# Among so many last images of this node, the same bytes of the same place are a retry even without a key.
RETRY_WINDOW = 10_000
_CHECKPOINT_AT = 4 << 20
_TRUNCATE_AT = 256 << 20
_PRUNE_AT_ONCE = 256
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, key TEXT, place TEXT NOT NULL,
  body TEXT NOT NULL, answer BLOB NOT NULL, record BLOB NOT NULL
);
CREATE UNIQUE INDEX IF NOT EXISTS entries_key ON entries (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_place ON entries (place);
CREATE TABLE IF NOT EXISTS pulse (id INTEGER PRIMARY KEY, padding BLOB);
CREATE TABLE IF NOT EXISTS blobs (seq INTEGER PRIMARY KEY, image BLOB NOT NULL, map BLOB, latent BLOB);
"""


class NotKept(RuntimeError):  # noqa: N818 (the name says what it is)
    """A decision could not be put on the disk, and so must not be answered.

    Attributes:
        disk_full: Whether that is the reason.
    """

    def __init__(self, reason: str, *, disk_full: bool = False) -> None:
        super().__init__(reason)
        self.disk_full = disk_full


@dataclass(frozen=True)
class Entry:
    """One answered image.

    Attributes:
        id: Of the inspection.
        key: The client's idempotency key, with the client's name before it; None if it sent none.
        place: Digest of tool, lot, wafer, point, layer, recipe, capture time and image: what makes two requests
            the same image even without a key.
        body: SHA-256 of the image's bytes.
        answer: The JSON that was answered.
        record: The inspection's row, canonical JSON (see `service.store.record`).
        image: The bytes as they came.
        map: From `evidence.pack_map`, or None.
        latent: From `evidence.pack_latent`, or None.
        seq: Number in the journal; 0 before it is there.
    """

    id: str
    key: str | None
    place: str
    body: str
    answer: bytes
    record: bytes
    image: bytes
    map: bytes | None
    latent: bytes | None
    seq: int = 0


@dataclass(frozen=True)
class Answered:
    """An answer that was given before: its image's SHA-256, and the answer."""

    body: str
    answer: bytes


class Journal:
    """The journal of one node, held by this process alone.

    Args:
        folder: Where the journals of this machine's workers lie.
        node: This worker's name, which names its file.

    Raises:
        InputError: Another process holds it, or it cannot be written.
    """

    def __init__(self, folder: Path, node: str) -> None:
        self.path, self.node = folder / f"{node}{SUFFIX}", node
        self._lock_file = _hold(folder, node)
        try:
            self._writer = _open(self.path)
            self._writer.executescript(_SCHEMA)
            self._reader = _open(self.path)
        except sqlite3.Error as error:
            self._lock_file.close()
            raise InputError(f"{self.path}: the journal cannot be opened ({error})") from error
        self._siblings: dict[Path, sqlite3.Connection] = {}
        self._reading = threading.Lock()
        self._waiting: deque[tuple[Entry, asyncio.Future[int]]] = deque()
        self._prune_to = 0
        self._wake = threading.Event()
        self._closing = False
        # What the last commit failed of; None after one that succeeded.
        self.broken: str | None = None
        self._pulse = False
        self.find_siblings()
        self._thread = threading.Thread(target=self._write_on, name="journal", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Entries that are not on the disk yet."""
        return len(self._waiting)

    async def keep(self, entry: Entry) -> int:
        """Wait until `entry` is on the disk.

        Returns:
            Its number.

        Raises:
            NotKept: It is not, and never will be: the entry was rolled back.
        """
        return await self.begin(entry)

    def begin(self, entry: Entry) -> asyncio.Future[int]:
        """Hand `entry` over; the future ends when it is on the disk, or with NotKept. To be called in an event loop."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._closing:
            future.set_exception(NotKept("the service is stopping"))
            return future
        self._waiting.append((entry, future))
        self._wake.set()
        return future

    def answered(self, key: str | None, place: str) -> Answered | None:
        """What this machine's workers answered to the same key or, without a key, to the same image lately."""
        with self._reading:
            for connection in (self._reader, *self._siblings.values()):
                with contextlib.suppress(sqlite3.Error):  # a sibling's file may be going away
                    found = _find(connection, key, place)
                    if found is not None:
                        return found
        return None

    def get(self, inspection_id: str) -> Entry | None:
        """The entry of an inspection while its image is still here."""
        with self._reading:
            for connection in (self._reader, *self._siblings.values()):
                with contextlib.suppress(sqlite3.Error):
                    rows = _entries(connection, "e.id = ?", (inspection_id,))
                    if rows:
                        return rows[0]
        return None

    def records_of(self, wafer_id: str, shipped: Mapping[str, int]) -> list[dict[str, Any]]:
        """Rows of a wafer that this machine's workers have answered and that are not in the database yet.

        Args:
            wafer_id: The wafer.
            shipped: By worker, the number of its last entry that is in the database.
        """
        found: list[dict[str, Any]] = []
        with self._reading:
            for path, connection in ((self.path, self._reader), *self._siblings.items()):
                after = shipped.get(path.name.removesuffix(SUFFIX), 0)
                with contextlib.suppress(sqlite3.Error):  # a sibling's file may be going away
                    rows = connection.execute(
                        "SELECT record FROM entries WHERE seq > ? "
                        "AND json_extract(CAST(record AS TEXT), '$.wafer_id') = ? ORDER BY seq",
                        (after, wafer_id),
                    ).fetchall()
                    found += [json.loads(row[0]) for row in rows]
        return sorted(found, key=lambda row: row["received_at"])

    def after(self, seq: int, most: int = MOST_IN_COMMIT) -> list[Entry]:
        """Up to `most` entries with a larger number, in order."""
        with self._reading:
            return _entries(self._reader, f"e.seq > ? ORDER BY e.seq LIMIT {int(most)}", (seq,))

    def last(self) -> int:
        """Number of the last entry; 0 if there is none."""
        with self._reading:
            return int(self._reader.execute("SELECT COALESCE(MAX(seq), 0) FROM entries").fetchone()[0])

    def shipped(self, seq: int) -> None:
        """Entries up to `seq` are in the database: their images may go."""
        self._prune_to = max(self._prune_to, seq)
        self._wake.set()

    def try_again(self) -> None:
        """After a failure: try to write something, so that `broken` tells how it stands without an image at risk."""
        if self.broken is not None:
            self._pulse = True
            self._wake.set()

    def find_siblings(self) -> None:
        """Look for the journals of this machine's other workers, to know what they answered."""
        with self._reading:
            for path in set(self.path.parent.glob(f"*{SUFFIX}")) - {self.path, *self._siblings}:
                with contextlib.suppress(sqlite3.Error):
                    self._siblings[path] = sqlite3.connect(
                        f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, timeout=0.2
                    )

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file while the writer goes on. To be called now and then."""
        wal = self.path.with_name(self.path.name + "-wal")
        size = wal.stat().st_size if wal.exists() else 0
        if size > _CHECKPOINT_AT:
            with contextlib.suppress(sqlite3.Error), contextlib.closing(_open(self.path)) as connection:
                mode = "TRUNCATE" if size > _TRUNCATE_AT else "PASSIVE"
                connection.execute(f"PRAGMA wal_checkpoint({mode})")

    def close(self) -> None:
        """Write what waits, and let the file go."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout=30)
        with self._reading:
            for connection in (self._reader, *self._siblings.values()):
                connection.close()
            self._siblings.clear()
        self._lock_file.close()

    def _write_on(self) -> None:
        while not (self._closing and not self._waiting):
            if not self._waiting:
                self._wake.wait()
                self._wake.clear()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_IN_COMMIT))]
            if batch:
                self._commit(batch)
            if self._pulse:
                self._beat()
            if self._prune_to and len(self._waiting) < MOST_IN_COMMIT:
                self._prune()
        self._writer.close()

    def _commit(self, batch: Sequence[tuple[Entry, asyncio.Future[int]]]) -> None:
        try:
            numbers = self._insert([entry for entry, _ in batch])
        except sqlite3.IntegrityError as error:
            if len(batch) > 1:  # one of them is here already; the others must not suffer
                for one in batch:
                    self._commit([one])
            else:
                _resolve([(batch[0][1], NotKept(f"it is in the journal already ({error})"))])
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
            reason = f"the journal cannot be written: {error}"
            self.broken = reason
            _resolve([(future, NotKept(reason, disk_full=full)) for _, future in batch])
            self._reopen()
        except Exception as error:  # whatever it is, nobody may be told that the decision was kept
            self.broken = f"the journal failed: {error}"
            _resolve([(future, NotKept(self.broken)) for _, future in batch])
            self._reopen()
        else:
            self.broken = None
            _resolve([(future, number) for (_, future), number in zip(batch, numbers, strict=True)])

    def _insert(self, entries: Sequence[Entry]) -> list[int]:
        cursor = self._writer.cursor()
        numbers = []
        cursor.execute("BEGIN IMMEDIATE")
        try:
            for e in entries:
                cursor.execute(
                    "INSERT INTO entries (id, key, place, body, answer, record) VALUES (?, ?, ?, ?, ?, ?)",
                    (e.id, e.key, e.place, e.body, e.answer, e.record),
                )
                number = int(cursor.lastrowid or 0)
                cursor.execute("INSERT INTO blobs VALUES (?, ?, ?, ?)", (number, e.image, e.map, e.latent))
                numbers.append(number)
            cursor.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                cursor.execute("ROLLBACK")
            raise
        return numbers

    def _prune(self) -> None:
        try:
            done = self._writer.execute(
                "DELETE FROM blobs WHERE seq IN (SELECT seq FROM blobs WHERE seq <= ? ORDER BY seq LIMIT ?)",
                (self._prune_to, _PRUNE_AT_ONCE),
            ).rowcount
            self._writer.execute(
                "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries WHERE seq <= ? ORDER BY seq LIMIT ?)",
                (self._prune_to - REMEMBERED, _PRUNE_AT_ONCE),
            )
            if done < _PRUNE_AT_ONCE:
                self._prune_to = 0
        except sqlite3.Error:
            self._prune_to = 0  # told again with the next shipment
            self._reopen()

    def _beat(self) -> None:
        self._pulse = False
        try:
            # As large as an image: a disk that takes a byte may be full for what comes.
            self._writer.execute("REPLACE INTO pulse VALUES (1, zeroblob(65536))")
            self.broken = None
        except sqlite3.Error as error:
            self.broken = f"the journal cannot be written: {error}"
            self._reopen()

    def _reopen(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._writer.close()
        with contextlib.suppress(sqlite3.Error):
            self._writer = _open(self.path)


def _resolve(ended: Sequence[tuple[asyncio.Future[int], int | NotKept]]) -> None:
    """Tell the waiting requests, with one visit to each event loop."""

    def tell(some: list[tuple[asyncio.Future[int], int | NotKept]]) -> None:
        for future, result in some:
            if future.done():  # its client went away
                continue
            if isinstance(result, NotKept):
                future.set_exception(result)
            else:
                future.set_result(result)

    loops: dict[Any, list[tuple[asyncio.Future[int], int | NotKept]]] = {}
    for one in ended:
        loops.setdefault(one[0].get_loop(), []).append(one)
    for loop, some in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, some)


def _find(connection: sqlite3.Connection, key: str | None, place: str) -> Answered | None:
    if key is not None:
        row = connection.execute("SELECT body, answer FROM entries WHERE key = ?", (key,)).fetchone()
    else:
        row = connection.execute(
            "SELECT body, answer FROM entries WHERE place = ? AND seq > (SELECT MAX(seq) FROM entries) - ? "
            "ORDER BY seq DESC LIMIT 1",
            (place, RETRY_WINDOW),
        ).fetchone()
    return None if row is None else Answered(row[0], bytes(row[1]))


def _entries(connection: sqlite3.Connection, where: str, values: tuple[Any, ...]) -> list[Entry]:
    rows = connection.execute(
        "SELECT e.id, e.key, e.place, e.body, e.answer, e.record, b.image, b.map, b.latent, e.seq "
        f"FROM entries e JOIN blobs b ON b.seq = e.seq WHERE {where}",
        values,
    ).fetchall()
    return [Entry(*row) for row in rows]


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size={-PAGE_CACHE_KB}")
    # The log is folded in by `checkpoint`, beside the writer: within a commit it would delay an answer.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection


def _hold(folder: Path, node: str) -> Any:
    """Hold the node's name until this process ends, however that happens."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / f"{node}.lock").open("ab")
    except OSError as error:
        raise InputError(f"{folder}: the journal's folder cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise BusyError(
            f"another process serves as {node!r} from {folder}: stop that one, or use another port or --node NAME"
        ) from None
    os.set_inheritable(file.fileno(), False)
    return file
