"""What the last look for drift said, as pages and metrics show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lifecycle.conductor.drift_accepted import ACCEPTED
from service.store.database import Database
from service.store.tables import drift_checks

KEPT_S = 8 * 86400.0
"""What watches said is kept for so long: a look an hour of a fab's streams is many rows. Alarms and what was accepted
stay."""
ALARM = "alarm"
"""`drift_checks.what` of a row that holds an alarm; other rows hold what a watch said of a stream."""


@dataclass(frozen=True)
class DriftState:
    """The last look.

    Attributes:
        at: Unix time; None: nobody has looked yet.
        alarms: Each with cause, where, text, streams and since, the first look of those that all raised it.
        findings: Of each stream and watch: tool, layer, recipe, watch, what, effect, p, units and whether it drifts.
    """

    at: float | None
    alarms: list[dict[str, Any]]
    findings: list[dict[str, Any]]


def last_look(database: Database, version: str) -> DriftState:
    """What the last look at a version's streams said. Raises DatabaseDown."""
    c = drift_checks.c
    with database.read() as connection:
        at = connection.execute(
            sa.select(sa.func.max(c.at)).where(c.version == version, c.what != ACCEPTED)
        ).scalar()
        if at is None:
            return DriftState(None, [], [])
        rows = connection.execute(
            sa.select(c.what, c.alarm, c.p, c.figures)
            .where(c.version == version, c.at == at, c.what != ACCEPTED)
            .order_by(c.seq)
        ).all()
    findings = [{**row.figures, "drifts": row.alarm, "p": row.p} for row in rows if row.what != ALARM]
    findings.sort(key=lambda one: (not one["drifts"], one["p"]))
    return DriftState(at, [row.figures for row in rows if row.what == ALARM], findings)


def keep_look(
    connection: sa.Connection,
    version: str,
    at: float,
    alarms: list[dict[str, Any]],
    findings: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Keep a look's rows; an alarm that the look before raised too keeps its beginning.

    Args:
        connection: That writes.
        version: Whose streams were looked at.
        at: Unix time of the look.
        alarms: As JSON, without `since`.
        findings: Columns of `drift_checks` but `at` and `version`.

    Returns:
        The alarms that are new.
    """
    c = drift_checks.c
    before = connection.execute(
        sa.select(sa.func.max(c.at)).where(c.version == version, c.at < at, c.what != ACCEPTED)
    ).scalar()
    rows = connection.execute(
        sa.select(c.figures).where(c.version == version, c.at == before, c.what == ALARM)
    ).scalars()
    sounding = {(row["cause"], row["where"]): row["since"] for row in rows}
    told = [{**one, "since": sounding.get((one["cause"], one["where"]), at)} for one in alarms]
    common = {"at": at, "version": version}
    kept = [
        {
            **common,
            "recipe": None,
            "what": ALARM,
            "statistic": None,
            "p": one["p"],
            "alarm": False,
            "figures": one,
        }
        for one in told
    ] + [{**common, **row} for row in findings]
    # a look that found nothing to compare is a look
    kept = kept or [
        {**common, "recipe": None, "what": "nothing to compare", "statistic": None, "p": 1.0, "alarm": False,
         "figures": {}}
    ]  # fmt: skip
    connection.execute(
        sa.delete(drift_checks).where(
            c.version == version, c.at < at - KEPT_S, c.what.not_in((ALARM, ACCEPTED))
        )
    )
    connection.execute(sa.insert(drift_checks), kept)
    return [one for one in told if one["since"] == at]
