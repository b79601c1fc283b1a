"""The audit trail: what people and programs did, in rows of which each one's hash covers the one before.

A row that is changed, removed or put in between breaks the chain from there on, and :func:`check` names the place.
What no chain shows is the removal of its newest rows; against that the head's hash, which `audit-check` prints, is
kept somewhere else and given back with `--expect`. Actors are numbers (`user:7`, `key:ab12`), never names, so that
a person's name can be erased and the chain still holds.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.store.tables import audit

START = "0" * 64
_LOCK = 0x61756474


@dataclass(frozen=True)
class TrailState:
    """What :func:`check` found.

    Attributes:
        problem: None, or what is wrong and where.
    """

    rows: int
    head: str
    problem: str | None


def record(
    connection: sa.Connection, actor: str, action: str, subject: str, details: dict[str, Any] | None = None
) -> str:
    """Append a row within the caller's write transaction, so that an act and its trace are kept together or not at all.

    Args:
        connection: Of `Database.write`.
        actor: Who: `user:7`, `key:ab12`, `node:a`, `command`.
        action: What, e.g. "key.revoked".
        subject: On what, e.g. "key:ab12".
        details: Further facts, JSON-ready; no names of people, no secrets.

    Returns:
        The row's hash, the new head of the chain.
    """
    if connection.dialect.name == "postgresql":  # SQLite's BEGIN IMMEDIATE lets one writer in anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    head = connection.execute(
        sa.select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)
    ).first()
    seq, prev = (head.seq + 1, head.hash) if head else (1, START)
    row = {
        "seq": seq,
        "at": round(time.time(), 3),
        "actor": actor,
        "action": action,
        "subject": subject,
        "details": _canonical(details or {}),
    }
    digest = _hash(row, prev)
    connection.execute(sa.insert(audit).values(**row, prev_hash=prev, hash=digest))
    return digest


def check(connection: sa.Connection, expect: str | None = None) -> TrailState:
    """Follow the whole chain.

    Args:
        connection: Of `Database.read`.
        expect: A head that was noted before and must be in the chain.
    """
    prev, count, seen = START, 0, expect is None
    for row in connection.execute(sa.select(audit).order_by(audit.c.seq)).mappings():
        count += 1
        content = {name: row[name] for name in ("seq", "at", "actor", "action", "subject", "details")}
        if row["seq"] != count:
            return TrailState(
                count, prev, f"row {count} is missing: row {row['seq']} follows row {count - 1}"
            )
        if row["prev_hash"] != prev:
            return TrailState(count, prev, f"row {count} does not follow from row {count - 1}")
        if row["hash"] != _hash(content, prev):
            return TrailState(count, prev, f"row {count} ({row['action']}) was changed")
        prev = row["hash"]
        seen = seen or prev == expect
    if not seen:
        return TrailState(count, prev, "the expected head is not in the chain: rows were removed at its end")
    return TrailState(count, prev, None)


def _hash(row: dict[str, Any], prev: str) -> str:
    return hashlib.sha256((prev + _canonical(row)).encode()).hexdigest()


def _canonical(obj: Any) -> str:
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
