"""Is all still what it was? The audit trail's chain, the digest of every decision, the seals over them, the images."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from service.store import audit, record
from service.store.database import Database
from service.store.image_files import Images
from service.store.ship import chain
from service.store.tables import audit as trail
from service.store.tables import images, inspections

_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        problems: The first of them, in words; none: all is well.
    """

    trail_rows: int
    trail_head: str
    decisions: int
    sealed: int
    images: int
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def verify(database: Database, store: Images | None, expect: str | None = None) -> Verified:
    """Check everything that can be checked.

    Args:
        database: To check.
        store: Where the images lie; None: do not look.
        expect: A head of the trail that was noted before.

    Raises:
        DatabaseDown: It does not answer.
    """
    problems: list[str] = []
    with database.read() as connection:
        state = audit.check(connection, expect)
        if state.problem is not None:
            problems.append(f"audit trail: {state.problem}")
        restated = _restated(connection)
        decisions = 0
        for row in _rows(connection):
            decisions += 1
            if record.digest(row) != row["digest"]:
                problems.append(f"inspection {row['id']}: it was changed after it was decided")
        sealed = 0
        for details in _details(connection, "inspections.sealed"):
            sealed += details["rows"]
            problems += _seal_problems(connection, details, restated)
        kept = 0
        if store is not None:
            for sha256 in connection.execute(
                sa.select(images.c.sha256).where(images.c.removed_at.is_(None))
            ).scalars():
                kept += 1
                if not store.has(sha256):
                    problems.append(f"image {sha256}: its file is missing")
    if len(problems) > _MOST_PROBLEMS:
        problems = [*problems[:_MOST_PROBLEMS], f"and {len(problems) - _MOST_PROBLEMS} more"]
    return Verified(state.rows, state.head, decisions, sealed, kept, tuple(problems))


def _rows(connection: sa.Connection) -> Iterator[Any]:
    columns = [inspections.c[name] for name in (*record.DIGESTED, "digest")]
    query = sa.select(*columns).execution_options(yield_per=1000)
    return iter(connection.execute(query).mappings())


def _details(connection: sa.Connection, action: str) -> list[dict[str, Any]]:
    query = sa.select(trail.c.details).where(trail.c.action == action).order_by(trail.c.seq)
    return [json.loads(text) for text in connection.execute(query).scalars()]


def _restated(connection: sa.Connection) -> dict[str, str]:
    """The digest that a row had at first, by the digest that it has now."""
    first: dict[str, str] = {}
    for details in _details(connection, "inspection.restated"):
        first[details["is"]] = first.pop(details["was"], details["was"])
    return first


def _seal_problems(connection: sa.Connection, details: dict[str, Any], restated: dict[str, str]) -> list[str]:
    rows = connection.execute(
        sa.select(inspections.c.digest)
        .where(
            inspections.c.node == details["node"],
            inspections.c.entry > details["after"],
            inspections.c.entry <= details["to"],
        )
        .order_by(inspections.c.entry)
    ).all()
    where = f"node {details['node']}, entries {details['after'] + 1} to {details['to']}"
    if len(rows) != details["rows"]:
        return [f"{where}: {details['rows']} decisions were sealed, {len(rows)} are there"]
    if chain(rows) == details["sha256"] or _chain_at_first(rows, restated) == details["sha256"]:
        return []
    return [f"{where}: the decisions are not those that were sealed"]


@dataclass(frozen=True)
class _Digest:
    digest: str


def _chain_at_first(rows: Any, restated: dict[str, str]) -> str:
    return chain([_Digest(restated.get(row.digest, row.digest)) for row in rows])
