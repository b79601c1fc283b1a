"""Keys of tools and programs: `wr_<id>_<secret>`.

Only the secret's SHA-256 is kept; it has 256 random bits, so that a slow hash would add nothing but time to
every image.

A worker checks keys against a copy in memory, refreshed from the database every second or two and kept in a
file beside the journal: a key is checked while the database is away, and a revoked one is refused soon after.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.auth.who import SCOPES, Who, allowed_by
from service.store import audit
from service.store.database import Database
from service.store.tables import api_keys
from wafer_data.errors import InputError
from wafer_data.files import read_json, write_json

_FORM = re.compile(r"wr_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")
_COPIED = ("id", "name", "secret_hash", "scopes", "tools", "expires_at", "revoked_at")


@dataclass(frozen=True)
class Key:
    """A key as a worker knows it."""

    id: str
    name: str
    secret_hash: str
    scopes: list[str]
    tools: list[str] | None
    expires_at: float | None
    revoked_at: float | None


class KeyRing:
    """The copy of all keys that a worker checks against.

    Attributes:
        file: Where it outlives the process.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._keys: dict[str, Key] = {}
        if file is not None and file.exists():
            try:
                self._keys = {row["id"]: Key(**row) for row in read_json(file)}
            except (InputError, TypeError, KeyError):
                self._keys = {}  # the database will tell

    def refresh(self, database: Database) -> None:
        """Copy the keys from the database. Raises DatabaseDown."""
        with database.read() as connection:
            rows = connection.execute(sa.select(*(api_keys.c[name] for name in _COPIED))).mappings().all()
        fresh = {row["id"]: Key(**row) for row in rows}
        if fresh != self._keys:
            self._keys = fresh
            if self._file is not None:
                write_json(self._file, [asdict(key) for key in fresh.values()])
                self._file.chmod(0o600)

    def who(self, token: str) -> Who | None:
        """Whose key this is; None for a wrong, expired or revoked one."""
        form = _FORM.fullmatch(token)
        key = self._keys.get(form.group(1)) if form else None
        if form is None or key is None or not hmac.compare_digest(key.secret_hash, _hash(form.group(2))):
            return None
        now = time.time()
        if key.revoked_at is not None and key.revoked_at <= now:
            return None
        if key.expires_at is not None and key.expires_at <= now:
            return None
        tools = None if key.tools is None else frozenset(key.tools)
        return Who(f"key:{key.id}", key.name, allowed_by(key.scopes), tools)

    def __len__(self) -> int:
        return len(self._keys)


def make_key(
    connection: sa.Connection,
    name: str,
    scopes: Sequence[str],
    *,
    tools: Iterable[str] | None = None,
    expires_at: float | None = None,
    actor: str = "command",
) -> str:
    """Make a key and keep its hash.

    Args:
        connection: Of `Database.write`.
        name: Of the client; keys of one name share their idempotency keys, so that a rotation loses none.
        scopes: Of `who.SCOPES`.
        tools: Tools that it may speak for; None: any.
        expires_at: Seconds since 1970; None: never.
        actor: Who makes it, for the trail.

    Returns:
        The key, which is shown once and kept nowhere.

    Raises:
        InputError: An empty name, or an unknown scope.
    """
    if not name or len(name) > 100 or not name.isprintable():
        raise InputError("a key needs a name of 1 to 100 printable characters")
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InputError(f"scopes of a key are {', '.join(SCOPES)}, not {', '.join(unknown) or 'none'}")
    key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
    listed = None if tools is None else sorted(set(tools))
    connection.execute(
        sa.insert(api_keys).values(
            id=key_id, name=name, secret_hash=_hash(secret), scopes=sorted(set(scopes)),
            tools=sa.null() if listed is None else listed,
            created_at=time.time(), expires_at=expires_at,
        )
    )  # fmt: skip
    audit.record(
        connection, actor, "key.made", f"key:{key_id}", {"scopes": sorted(set(scopes)), "tools": listed}
    )
    return f"wr_{key_id}_{secret}"


def revoke_key(
    connection: sa.Connection, key_id: str, *, at: float | None = None, actor: str = "command"
) -> None:
    """Let a key end, now or at a time.

    Raises:
        InputError: For an unknown one.
    """
    when = time.time() if at is None else at
    done = connection.execute(
        sa.update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=when)
    ).rowcount
    if not done:
        raise InputError(f"there is no key {key_id!r}; `waferroute service key list` shows them")
    audit.record(connection, actor, "key.revoked", f"key:{key_id}", {"at": round(when, 3)})


def rotate_key(
    connection: sa.Connection, key_id: str, *, overlap_s: float = 86_400.0, actor: str = "command"
) -> str:
    """Make a successor of the same name, scopes and tools; the old key goes on for `overlap_s` seconds.

    Returns:
        The new key.

    Raises:
        InputError: There is no such key.
    """
    old = connection.execute(sa.select(api_keys).where(api_keys.c.id == key_id)).mappings().first()
    if old is None:
        raise InputError(f"there is no key {key_id!r}; `waferroute service key list` shows them")
    fresh = make_key(connection, old["name"], old["scopes"], tools=old["tools"], actor=actor)
    connection.execute(
        sa.update(api_keys).where(api_keys.c.id == key_id).values(replaced_by=fresh.split("_")[1])
    )
    revoke_key(connection, key_id, at=time.time() + overlap_s, actor=actor)
    return fresh


def list_keys(connection: sa.Connection) -> list[dict[str, Any]]:
    """All keys, without their hashes."""
    columns = [column for column in api_keys.c if column.name != "secret_hash"]
    rows = connection.execute(sa.select(*columns).order_by(api_keys.c.created_at)).mappings()
    return [dict(row) for row in rows]


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
