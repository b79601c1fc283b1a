"""Back up and restore a service: one folder with the database, the journals, the images and the installation's secret.

The database of the backup is always an SQLite file, whatever it was made from, so a backup of SQLite restores into
PostgreSQL and the other way: that is also how a site moves. Journals are copied before the database, so that an entry
on its way between them is in one of both; a restored service ships it, and an entry in both is one row.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.settings import Settings
from service.store.database import Database, DatabaseDown, sqlite_url
from service.store.image_files import ImageFiles
from service.store.journal import SUFFIX
from service.store.migrate import HEAD, migrate
from service.store.tables import audit, images, metadata
from wafer_data.errors import InputError
from wafer_data.files import copy_folder, new_directory, read_json, sha256_file, write_error, write_json

DATABASE, MANIFEST, SCHEMA = "waferroute.db", "backup.json", 1
_AT_ONCE = 500


def back_up(settings: Settings, database: Database, out: Path) -> dict[str, Any]:
    """Write a backup while the service runs.

    Args:
        settings: Of the service.
        database: Of the service.
        out: Folder to write; must not exist.

    Returns:
        The manifest: files with their SHA-256, counts, the audit trail's head.

    Raises:
        InputError: `out` exists or cannot be written; names `out`, not the folder beside it that is filled.
        DatabaseDown: The database does not answer.
    """
    if out.exists():
        raise InputError(f"{out} exists: a backup never overwrites anything; name another folder")
    with new_directory(out) as folder:
        (folder / "journals").mkdir()
        for path in sorted(settings.journals.glob(f"*{SUFFIX}")):
            _copy_sqlite(path, folder / "journals" / path.name)
        copied = Database(sqlite_url(folder / DATABASE))
        try:
            rows = _copy_rows(database, copied)
        except DatabaseDown as error:
            # nothing is written to the service's database: it is the backup's that has no room
            if not error.reason.endswith("disk is full"):
                raise
            raise write_error(out, OSError(errno.ENOSPC, error.reason)) from error
        with copied.read() as connection:
            wanted = connection.execute(
                sa.select(images.c.sha256).where(images.c.removed_at.is_(None))
            ).scalars()
            missing = [sha for sha in wanted if not _copy_image(settings.images, folder / "images", sha)]
            head = connection.execute(sa.select(audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).scalar()
        copied.close()
        for suffix in ("-wal", "-shm"):  # empty once all connections are closed
            (folder / f"{DATABASE}{suffix}").unlink(missing_ok=True)
        shutil.copy2(settings.data / "secret", folder / "secret")
        named = [folder / DATABASE, folder / "secret", *sorted((folder / "journals").iterdir())]
        manifest = {
            "schema": SCHEMA,
            "revision": HEAD,
            "rows": rows,
            "images": sum(1 for path in (folder / "images").rglob("*") if path.is_file()),
            "images_missing": missing,
            "audit_head": head,
            "files": {str(path.relative_to(folder)): sha256_file(path) for path in named},
        }
        write_json(folder / MANIFEST, manifest)
    return manifest


def restore(backup: Path, settings: Settings) -> dict[str, Any]:
    """Restore a backup into an empty data folder and an empty database; all of it, or nothing.

    Args:
        backup: Folder that `back_up` wrote.
        settings: Of the service to be; without a database's URL the SQLite file in its data folder is written.

    Returns:
        The backup's manifest.

    Raises:
        InputError: The backup is damaged, or something is there already.
        DatabaseDown: The database does not answer.
    """
    manifest = read_json(backup / MANIFEST)
    if (
        not isinstance(manifest, dict)
        or manifest.get("schema") != SCHEMA
        or not all(isinstance(manifest.get(name), dict) for name in ("files", "rows"))
    ):
        raise InputError(f"{backup}: not a backup that this version reads")
    for name, sha256 in manifest["files"].items():
        if Path(name).is_absolute() or ".." in Path(name).parts or sha256_file(backup / name) != sha256:
            raise InputError(f"{backup}: {name} was changed after the backup; take another one")
    if settings.data.exists() and any(settings.data.iterdir()):
        raise InputError(f"{settings.data} is not empty: restore into a new folder")
    with new_directory(settings.data) as folder:
        folder.chmod(0o700)
        restored = replace(settings, data=folder)
        copy_folder(backup / "journals", restored.journals)
        if (backup / "images").is_dir():
            copy_folder(backup / "images", restored.images)
        shutil.copy2(backup / "secret", folder / "secret")
        # last, and in one transaction: a database of its own keeps nothing of a restoration that fails
        with (
            contextlib.closing(_Source(backup / DATABASE)) as source,
            contextlib.closing(Database(settings.database_url or sqlite_url(folder / DATABASE))) as target,
        ):
            migrate(source.database)
            _copy_rows(source.database, target, manifest["rows"])
    return manifest


class _Source:
    """The backup's database; read through a copy in memory of its own, so that the backup is not touched."""

    def __init__(self, path: Path) -> None:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        copy = Path(self._folder.name) / DATABASE
        shutil.copy2(path, copy)
        self.database = Database(sqlite_url(copy))

    def close(self) -> None:
        """Remove the copy."""
        self.database.close()
        self._folder.cleanup()


def _copy_rows(source: Database, target: Database, expected: dict[str, int] | None = None) -> dict[str, int]:
    """All tables, in one snapshot. Returns their sizes.

    Raises:
        InputError: If the target holds rows already, or the sizes are not the expected ones; it stays as it was.
    """
    migrate(target)
    counts = {}
    with source.read() as reading, target.write() as writing:
        if source.dialect == "postgresql":
            reading.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        for table in metadata.sorted_tables:
            if writing.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
                raise InputError(f"the database is not empty (table {table.name}): restore into a new one")
            count = 0
            found = reading.execute(sa.select(table).execution_options(yield_per=_AT_ONCE))
            for part in found.mappings().partitions(_AT_ONCE):
                writing.execute(sa.insert(table), [_with_nulls(table, dict(row)) for row in part])
                count += len(part)
            counts[table.name] = count
            if target.dialect == "postgresql":
                _advance_sequence(writing, table)
        # a backup of an earlier schema names fewer tables; those that came since are empty
        if expected is not None and counts != {**dict.fromkeys(counts, 0), **expected}:
            raise InputError(f"{counts} rows were restored, the backup says {expected}: take another one")
    return counts


def _with_nulls(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """A JSON column's None is the database's NULL, not JSON's null."""
    return {
        name: sa.null() if value is None and isinstance(table.c[name].type, sa.JSON) else value
        for name, value in row.items()
    }


def _advance_sequence(connection: sa.Connection, table: sa.Table) -> None:
    for column in table.primary_key.columns:
        if column.autoincrement is True:
            name = sa.func.pg_get_serial_sequence(table.name, column.name)
            largest = sa.select(sa.func.max(column)).scalar_subquery()
            connection.execute(
                sa.select(sa.func.setval(name, sa.func.coalesce(largest, 1), largest.is_not(None)))
            )


def _copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of an SQLite file that is being written."""
    try:
        with (
            contextlib.closing(sqlite3.connect(source)) as reading,
            contextlib.closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as error:
        raise InputError(
            f"{source} cannot be copied to {target.parent} ({error}): a full disk, or a damaged journal?"
        ) from error


def _copy_image(root: Path, target: Path, sha256: str) -> bool:
    """Images never change, so a second name for the same file is a copy where the file system allows it."""
    source, copy = ImageFiles(root).path_of(sha256), ImageFiles(target).path_of(sha256)
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, copy)
    except FileNotFoundError:
        return False
    except OSError:
        shutil.copy2(source, copy)
    return True
