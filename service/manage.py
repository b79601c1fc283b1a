"""What `waferroute service ...` does: keys, users, migrations, backups, checks. Each method returns what is printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.auth import keys, people
from service.settings import Settings
from service.store.backup import back_up, restore
from service.store.database import Database, DatabaseDown, sqlite_url
from service.store.image_files import ImageFiles
from service.store.journal import SUFFIX, Journal
from service.store.migrate import HEAD, current_revision, migrate
from service.store.ship import Shipper
from service.store.tables import users
from service.store.verify import verify
from wafer_data.errors import InputError
from wafer_data.files import write_error


class Manager:
    """The service's data, for the command line.

    Args:
        data: The data folder.
        url: Of the database; default the SQLite file in `data`.

    Raises:
        InputError: There is no such folder.
    """

    def __init__(self, data: Path, url: str | None = None, *, must_exist: bool = True) -> None:
        if must_exist and not data.is_dir():
            raise InputError(f"{data}: no such folder; `waferroute serve BUNDLE --data {data}` makes it")
        self.settings = Settings(data=data, database_url=url)
        self.database = Database(url or sqlite_url(data / "waferroute.db"))

    def migrate(self) -> dict[str, Any]:
        """Bring the database to this version's schema."""
        before, after = _asked(lambda: migrate(self.database))
        return {"before": before, "after": after}

    def back_up(self, out: Path) -> dict[str, Any]:
        """See `backup.back_up`."""
        self._current()
        return _asked(lambda: back_up(self.settings, self.database, out))

    def restore(self, backup: Path) -> dict[str, Any]:
        """See `backup.restore`."""
        return _asked(lambda: restore(backup, self.settings, self.database))

    def check(self, expect: str | None = None, *, look_at_images: bool = True) -> dict[str, Any]:
        """See `verify.verify`."""
        self._current()
        store = ImageFiles(self.settings.images) if look_at_images else None
        return _asked(lambda: verify(self.database, store, expect)).to_dict()

    def export_feedback(
        self, out: Path, per_hour: int | None = None, track: Callable[[Iterable[Any]], Iterable[Any]] = iter
    ) -> dict[str, Any]:
        """See `feedback.export_feedback`."""
        from service.feedback import export_feedback

        self._current()
        store = ImageFiles(self.settings.images)
        return _asked(lambda: export_feedback(self.database, store, out, per_hour=per_hour, track=track))

    def ship(self) -> dict[str, Any]:
        """Carry journals into the database whose workers do not run (any more)."""
        self._current()
        carried, held = {}, []
        for path in sorted(self.settings.journals.glob(f"*{SUFFIX}")):
            node = path.name.removesuffix(SUFFIX)
            try:
                journal = Journal(self.settings.journals, node)
            except InputError:
                held.append(node)
                continue
            shipper = Shipper(journal, self.database, ImageFiles(self.settings.images))
            try:
                carried[node] = 0
                while count := _asked(shipper.ship):
                    carried[node] += count
                _asked(lambda shipper=shipper: shipper.seal(now=True))
            finally:
                journal.close()
        return {"carried": carried, "served_by_a_worker": held}

    def add_key(
        self, name: str, scopes: Sequence[str], tools: Sequence[str] | None, days: float | None
    ) -> dict[str, Any]:
        """Make a key."""
        self._current()
        expires = None if days is None else time.time() + days * 86_400

        def make() -> str:
            with self.database.write() as connection:
                return keys.make_key(connection, name, scopes, tools=tools, expires_at=expires)

        key = _asked(make)
        return {"id": key.split("_")[1], "key": key}

    def revoke_key(self, key_id: str) -> dict[str, Any]:
        """End a key now."""
        self._current()
        with self.database.write() as connection:
            keys.revoke_key(connection, key_id)
        return {"revoked": key_id}

    def rotate_key(self, key_id: str, overlap_hours: float) -> dict[str, Any]:
        """Make a key's successor."""
        self._current()
        with self.database.write() as connection:
            key = keys.rotate_key(connection, key_id, overlap_s=overlap_hours * 3600)
        return {"id": key.split("_")[1], "key": key, "old_key_ends_after_hours": overlap_hours}

    def keys(self) -> list[dict[str, Any]]:
        """All keys."""
        self._current()
        with self.database.read() as connection:
            return keys.list_keys(connection)

    def add_user(self, name: str, role: str, password: str) -> dict[str, Any]:
        """Make an account."""
        self._current()
        with self.database.write() as connection:
            return {"user": people.add_user(connection, name, role, password)}

    def change_user(
        self, name: str, role: str | None, password: str | None, active: bool | None
    ) -> dict[str, Any]:
        """Change an account."""
        self._current()
        with self.database.write() as connection:
            number = people.change_user(connection, name, role=role, password=password, active=active)
        return {"user": number}

    def erase_user(self, name: str) -> dict[str, Any]:
        """Erase a person's name."""
        self._current()
        with self.database.write() as connection:
            return {"user": people.erase_user(connection, name)}

    def users(self) -> list[dict[str, Any]]:
        """All accounts, without their passwords."""
        self._current()
        columns = [users.c[name] for name in ("id", "name", "role", "active", "created_at", "erased_at")]
        with self.database.read() as connection:
            return [
                dict(row) for row in connection.execute(sa.select(*columns).order_by(users.c.id)).mappings()
            ]

    def _current(self) -> None:
        revision = _asked(lambda: current_revision(self.database))
        if revision != HEAD:
            raise InputError(
                f"the database has schema {revision}, this version of waferroute has {HEAD}: "
                "run `waferroute service migrate`"
            )


def _asked(ask: Any) -> Any:
    """A database that does not answer, and a disk that takes nothing, are told as the user's to mend."""
    try:
        return ask()
    except DatabaseDown as error:
        raise InputError(f"the database does not answer: {error}") from error
    except OSError as error:
        raise write_error(Path(error.filename or "the data folder"), error) from error
