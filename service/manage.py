"""What `waferroute service ...` does: keys, users, migrations, backups, checks. Each method returns what is printed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.auth import keys, people
from service.settings import Settings
from service.store.backup import back_up, restore
from service.store.database import existing_database
from service.store.image_files import ImageFiles
from service.store.journal import SUFFIX, Journal
from service.store.migrate import HEAD, current_revision, migrate
from service.store.ship import Shipper
from service.store.tables import users
from service.store.verify import verify
from wafer_data.errors import BusyError, InputError
from wafer_data.files import write_error


class Manager:
    """The service's data, for the command line.

    Args:
        data: The data folder.
        url: Of the database; default the SQLite file in `data`.

    Raises:
        InputError: There is no such folder or file. What a method raises as `DatabaseDown` is one, too.
    """

    def __init__(self, data: Path, url: str | None = None) -> None:
        self.settings = Settings(data=data, database_url=url)
        self.database = existing_database(data, url)

    def migrate(self) -> dict[str, Any]:
        """Bring the database to this version's schema."""
        before, after = migrate(self.database)
        return {"before": before, "after": after}

    def back_up(self, out: Path) -> dict[str, Any]:
        """See `backup.back_up`."""
        self._current()
        with _told():
            return back_up(self.settings, self.database, out)

    def check(self, expect: str | None = None, *, look_at_images: bool = True) -> dict[str, Any]:
        """See `verify.verify`."""
        self._current()
        store = ImageFiles(self.settings.images) if look_at_images else None
        with _told():
            return verify(self.database, store, expect).to_dict()

    def export_feedback(
        self, out: Path, per_hour: int | None = None, track: Callable[[Iterable[Any]], Iterable[Any]] = iter
    ) -> dict[str, Any]:
        """See `feedback.export_feedback`."""
        from service.feedback import export_feedback

        self._current()
        store = ImageFiles(self.settings.images)
        with _told():
            return export_feedback(self.database, store, out, per_hour=per_hour, track=track)

    def ship(self) -> dict[str, Any]:
        """Carry journals into the database whose workers do not run (any more)."""
        self._current()
        carried, held = {}, []
        for path in sorted(self.settings.journals.glob(f"*{SUFFIX}")):
            node = path.name.removesuffix(SUFFIX)
            try:
                journal = Journal(self.settings.journals, node)
            except BusyError:
                held.append(node)
                continue
            shipper = Shipper(journal, self.database, ImageFiles(self.settings.images))
            with contextlib.closing(journal), _told():
                carried[node] = 0
                while count := shipper.ship():
                    carried[node] += count
                shipper.seal(now=True)
        return {"carried": carried, "served_by_a_worker": held}

    def add_key(
        self, name: str, scopes: Sequence[str], tools: Sequence[str] | None, days: float | None
    ) -> dict[str, Any]:
        """Make a key."""
        self._current()
        expires = None if days is None else time.time() + days * 86_400
        with self.database.write() as connection:
            key = keys.make_key(connection, name, scopes, tools=tools, expires_at=expires)
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
        revision = current_revision(self.database)
        if revision != HEAD:
            raise InputError(
                f"the database has schema {revision}, this version of waferroute has {HEAD}: "
                "run `waferroute service migrate`"
            )


def restore_backup(backup: Path, data: Path, url: str | None = None) -> dict[str, Any]:
    """See `backup.restore`."""
    with _told():
        return restore(backup, Settings(data=data, database_url=url))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """A disk that takes nothing, or gives nothing, is told as the user's to mend."""
    try:
        yield
    except OSError as error:
        raise write_error(Path(error.filename or "the data folder"), error) from error
