"""The database: one engine for SQLite or PostgreSQL, and two ways in, to read and to write.

SQLite runs in WAL mode with synchronous=FULL, and every write begins with BEGIN IMMEDIATE: a transaction that reads
first and writes later would fail at once, whatever the time-out, when another one wrote in between.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from service.settings import require_data
from wafer_data.errors import InputError, NotFoundError

BUSY_MS = 10_000
CONNECT_S = 3
PAGE_CACHE_KB = 500
"""Of each connection to SQLite. A worker has some seven, and with the usual 2 MB each it grows by 12 MB in its first
hours and is no faster for it: the system keeps the same pages."""
_READ = "service_reads"


class DatabaseDown(InputError):  # noqa: N818 (the name says what it is)
    """The database does not answer, or cannot write now; the same call may succeed later.

    Attributes:
        reason: What the database, or its driver, says.
    """

    kind = "database"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the database does not answer: {reason}")
        self.reason = reason


def sqlite_url(path: Path) -> str:
    """The URL of an SQLite file."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def existing_database(data: Path, url: str | None) -> Database:
    """The database of a service that has been started.

    Args:
        data: The service's data folder.
        url: Of the database; None: the SQLite file in `data`.

    Raises:
        InputError: The folder or the file is not there, or the URL cannot be used.
    """
    require_data(data)
    file = data / "waferroute.db"
    if url is None and not file.exists():
        raise NotFoundError(f"{file}: no such database; has the service ever been started there?")
    return Database(url or sqlite_url(file))


class Database:
    """A database that is connected to on first use.

    Args:
        url: `sqlite:///FILE` or `postgresql://USER@HOST/NAME`.

    Attributes:
        dialect: "sqlite" or "postgresql".

    Raises:
        InputError: The URL is of another kind, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            parsed = sa.make_url(url)
            if parsed.get_backend_name() == "postgresql":
                parsed = parsed.set(drivername="postgresql+psycopg")
                options: dict[str, Any] = {
                    "connect_args": {"connect_timeout": CONNECT_S, "options": "-c timezone=utc"},
                    "pool_pre_ping": True,
                    "pool_size": 4,
                    "max_overflow": 8,
                    "pool_timeout": CONNECT_S,
                }
            elif parsed.get_backend_name() == "sqlite":
                options = {"connect_args": {"timeout": BUSY_MS / 1000, "check_same_thread": False}}
            else:
                raise InputError(
                    f"database {parsed.get_backend_name()!r} is not supported: use sqlite:///FILE or "
                    "postgresql://USER@HOST/NAME"
                )
            self._engine = sa.create_engine(parsed, json_deserializer=_from_json, **options)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:  # a port that is no number
            raise InputError(f"the database URL cannot be used: {error}") from error
        self.url = parsed
        self.dialect = self._engine.dialect.name
        if self.dialect == "sqlite":
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads.

        Raises:
            DatabaseDown: The database does not answer.
        """
        with _translated(), self._engine.connect() as plain:
            connection = plain.execution_options(**{_READ: True})
            with connection.begin():
                yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that writes; committed at the end of the block, rolled back if that raises.

        Raises:
            DatabaseDown: The database does not answer, is locked for too long, or its disk is full.
        """
        with _translated(), self._engine.begin() as connection:
            yield connection

    def insert_new(self, table: sa.Table) -> Any:
        """An INSERT that leaves rows alone which are there already."""
        dialect: Any = postgresql if self.dialect == "postgresql" else sqlite
        return dialect.insert(table).on_conflict_do_nothing()

    def upsert(self, table: sa.Table) -> Any:
        """An INSERT of the dialect, to be completed with `on_conflict_do_update`."""
        dialect: Any = postgresql if self.dialect == "postgresql" else sqlite
        return dialect.insert(table)

    def close(self) -> None:
        """Close all connections; those that come later open new ones."""
        self._engine.dispose()


def _from_json(text: str | bytes) -> Any:
    """What a JSON column holds. SQLite keeps it as a text that nothing checks when it is read."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise DatabaseDown(
            f"its file is damaged (JSON that cannot be read: {error}): restore a backup"
        ) from error


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sa.exc.IntegrityError:
        raise
    except (
        sa.exc.OperationalError,
        sa.exc.InterfaceError,
        sa.exc.TimeoutError,
        sa.exc.InternalError,
    ) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise DatabaseDown(" ".join(str(cause).split())) from error
    except sa.exc.DatabaseError as error:
        if type(error) is not sa.exc.DatabaseError:  # its other kinds are mistakes of the program
            raise
        raise DatabaseDown(f"its file is damaged ({error.orig}): restore a backup") from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"cache_size={-PAGE_CACHE_KB}",
        "secure_delete=ON",  # an erased name must not stay behind in a free corner of a page
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get(_READ, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
