"""What people looked at and called the new usual: from then on a stream's reference begins anew.

A lamp that was changed for good, a process that is meant to be as it is now: without a word from a person that is
drift until the next version.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from service.store import audit
from service.store.database import Database
from service.store.tables import drift_checks, drift_wafers
from wafer_data.errors import InputError

ACCEPTED = "accepted"
"""`drift_checks.what` of a row that holds what was accepted."""
FIELDS = ("tool", "layer", "recipe")


@dataclass(frozen=True)
class Accepted:
    """What is usual from a time on.

    Attributes:
        where: Of `FIELDS` to names; empty: everywhere.
        at: Unix time; wafers until then are no reference any more.
    """

    where: Mapping[str, str]
    at: float

    def is_past(self) -> sa.ColumnElement[bool]:
        """Whether a row of `drift_wafers` is of the time before."""
        c = drift_wafers.c
        return sa.and_(c.at <= self.at, *(c[field] == name for field, name in self.where.items()))


def read_where(text: str) -> dict[str, str]:
    """What a person writes: "tool=T7", "tool=T7,layer=M1", or "everywhere".

    Raises:
        InputError: Something else.
    """
    if text == "everywhere":
        return {}
    found = {}
    for part in text.split(","):
        field, _, name = part.partition("=")
        if field not in FIELDS or not name or field in found:
            raise InputError(
                f"{text!r} names nothing that drift can be accepted for: write tool=NAME, layer=NAME, recipe=NAME, "
                "some of them with commas between, or everywhere"
            )
        found[field] = name
    return found


def accept_drift(
    database: Database, version: str, where: Mapping[str, str], reason: str, now: float | None = None
) -> Accepted:
    """Make what is seen now the usual, for the version in use. Raises DatabaseDown, InputError for unknown names."""
    now = time.time() if now is None else now
    c = drift_wafers.c
    with database.write() as connection:
        known = connection.execute(
            sa.select(sa.func.count()).where(
                c.version == version, *(c[f] == name for f, name in where.items())
            )
        ).scalar_one()
        if not known:
            said = ", ".join(f"{field} {name}" for field, name in where.items()) or "the fab"
            raise InputError(f"no finished wafer of {said} is known under {version}: nothing to accept")
        connection.execute(
            sa.insert(drift_checks).values(
                at=now, version=version, recipe=None, what=ACCEPTED, statistic=None, p=None, alarm=False,
                figures={"where": dict(where), "reason": reason},
            )
        )  # fmt: skip
        audit.record(
            connection, "command", "drift.accepted", version, {"where": dict(where), "reason": reason}
        )
    return Accepted(dict(where), now)


def accepted_drift(connection: sa.Connection, version: str) -> list[Accepted]:
    """All that was accepted under a version, oldest first."""
    c = drift_checks.c
    rows = connection.execute(
        sa.select(c.at, c.figures).where(c.version == version, c.what == ACCEPTED).order_by(c.seq)
    )
    return [Accepted(row.figures["where"], row.at) for row in rows]
