"""People: accounts, passwords (argon2id), sessions. A session's token is a cookie; only its SHA-256 is kept."""

from __future__ import annotations

import hashlib
import secrets
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from service.auth.who import ROLES, Who
from service.store import audit
from service.store.database import Database
from service.store.tables import sessions, users
from wafer_data.errors import InputError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

SESSION_S = 12 * 3600.0
SHORTEST_PASSWORD = 10
LOCK_AFTER, LOCK_S = 5, 300.0


def add_user(
    connection: sa.Connection, name: str, role: str, password: str, *, actor: str = "command"
) -> int:
    """Make an account.

    Returns:
        The user's number, all that the trail ever names.

    Raises:
        InputError: The name is taken or malformed, the role unknown, the password too short.
    """
    if not name or len(name) > 100 or not name.isprintable() or name != name.strip():
        raise InputError("a user needs a name of 1 to 100 printable characters")
    _check_role(role)
    _check_password(password)
    if connection.execute(sa.select(users.c.id).where(users.c.name == name)).first():
        raise InputError(f"there is a user {name!r} already")
    connection.execute(
        sa.insert(users).values(
            name=name, role=role, password=_hasher().hash(password), active=True, created_at=time.time()
        )
    )
    user_id = user_number(connection, name)
    audit.record(connection, actor, "user.made", f"user:{user_id}", {"role": role})
    return user_id


def change_user(
    connection: sa.Connection,
    name: str,
    *,
    role: str | None = None,
    password: str | None = None,
    active: bool | None = None,
    actor: str = "command",
) -> int:
    """Change role, password or state of an account, and end its sessions. Returns its number.

    Raises:
        InputError: .
    """
    user_id = user_number(connection, name)
    values: dict[str, Any] = {}
    if role is not None:
        _check_role(role)
        values["role"] = role
    if password is not None:
        _check_password(password)
        values |= {"password": _hasher().hash(password), "failed": 0, "locked_until": None}
    if active is not None:
        values["active"] = active
    connection.execute(sa.update(users).where(users.c.id == user_id).values(**values))
    connection.execute(sa.delete(sessions).where(sessions.c.user_id == user_id))
    details: dict[str, Any] = {key: values[key] for key in ("role", "active") if key in values}
    if password is not None:
        details["password"] = "changed"
    audit.record(connection, actor, "user.changed", f"user:{user_id}", details)
    return user_id


def erase_user(connection: sa.Connection, name: str, *, actor: str = "command") -> int:
    """Erase a person's name and password. Their verdicts and the trail keep the number, which names nobody any more.

    Returns:
        The number. Raises InputError for an unknown name.
    """
    user_id = user_number(connection, name)
    connection.execute(
        sa.update(users)
        .where(users.c.id == user_id)
        .values(name=None, password=None, active=False, erased_at=time.time())
    )
    connection.execute(sa.delete(sessions).where(sessions.c.user_id == user_id))
    audit.record(connection, actor, "user.erased", f"user:{user_id}")
    return user_id


def user_number(connection: sa.Connection, name: str) -> int:
    """The number of the user of this name.

    Raises:
        InputError: If there is none.
    """
    found = connection.execute(sa.select(users.c.id).where(users.c.name == name)).scalar()
    if found is None:
        raise InputError(f"there is no user {name!r}")
    return int(found)


def log_in(database: Database, name: str, password: str) -> tuple[str, Who] | None:
    """Begin a session.

    Takes the same time for a wrong name as for a wrong password. After :data:`LOCK_AFTER` wrong passwords the
    account is locked for :data:`LOCK_S` seconds.

    Returns:
        The session's token and who it is; None if name or password is wrong, or the account is locked.
    """
    with database.read() as connection:
        user = connection.execute(sa.select(users).where(users.c.name == name)).mappings().first()
    now = time.time()
    right = _verify(user["password"] if user and user["password"] else _dummy_hash(), password)
    usable = user is not None and user["active"] and not (user["locked_until"] or 0) > now
    with database.write() as connection:
        if user is None:
            audit.record(connection, "nobody", "login.failed", "unknown name")
            return None
        subject = f"user:{user['id']}"
        if not (right and usable):
            failed = user["failed"] + 1
            locked = now + LOCK_S if failed >= LOCK_AFTER else user["locked_until"]
            connection.execute(
                sa.update(users).where(users.c.id == user["id"]).values(failed=failed, locked_until=locked)
            )
            audit.record(connection, subject, "login.failed", subject, {"failed": failed})
            return None
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        connection.execute(
            sa.update(users).where(users.c.id == user["id"]).values(failed=0, locked_until=None)
        )
        connection.execute(sa.delete(sessions).where(sessions.c.expires_at < now))
        connection.execute(
            sa.insert(sessions).values(
                token_hash=_hash(token),
                user_id=user["id"],
                csrf=csrf,
                created_at=now,
                expires_at=now + SESSION_S,
            )
        )
        audit.record(connection, subject, "login", subject)
    return token, _who(dict(user), csrf)


def who_of_session(database: Database, token: str) -> Who | None:
    """Whose session this is; None for an unknown or expired one. Raises DatabaseDown."""
    with database.read() as connection:
        row = (
            connection.execute(
                sa.select(users, sessions.c.csrf)
                .join(sessions, sessions.c.user_id == users.c.id)
                .where(
                    sessions.c.token_hash == _hash(token),
                    sessions.c.expires_at > time.time(),
                    users.c.active.is_(True),
                )
            )
            .mappings()
            .first()
        )
    return None if row is None else _who(dict(row), row["csrf"])


def log_out(database: Database, token: str) -> None:
    """End a session."""
    with database.write() as connection:
        connection.execute(sa.delete(sessions).where(sessions.c.token_hash == _hash(token)))


def _who(user: dict[str, Any], csrf: str) -> Who:
    return Who(f"user:{user['id']}", user["name"], ROLES[user["role"]], None, user["id"], user["role"], csrf)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InputError(f"roles are {', '.join(ROLES)}, not {role!r}")


def _check_password(password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= 1000:
        raise InputError(f"a password has at least {SHORTEST_PASSWORD} characters")


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher()  # argon2id with the parameters of RFC 9106's second choice


@lru_cache(maxsize=1)
def _dummy_hash() -> str:
    return _hasher().hash(secrets.token_urlsafe(16))


def _verify(hashed: str, password: str) -> bool:
    from argon2.exceptions import Argon2Error, InvalidHashError

    try:
        return _hasher().verify(hashed, password)
    except (Argon2Error, InvalidHashError):
        return False


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
