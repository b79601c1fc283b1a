"""Is a retraining due? On the 1st of a month, or because something drifts; a person may always start one.

Drift as a rule only asks: what drifts may be a broken lamp, and a model that learns a broken lamp as normal is worse
than an alarm. Where the site's configuration says `train`, drift that is not on one tool alone starts one by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from lifecycle.retraining.config import DueSection
from lifecycle.retraining.plan import Plan, Trigger
from service.store.database import Database
from service.store.tables import drift_checks

DAY_S = 86_400.0
RECENT_DAYS = 7.0


@dataclass(frozen=True)
class Due:
    """A retraining that is due.

    Attributes:
        trigger: "monthly" or "drift".
        id: What it is called: the same retraining is asked for under the same name.
        why: In words.
        start: Whether it may start by itself; otherwise a person confirms it.
    """

    trigger: Trigger
    id: str
    why: str
    start: bool


@dataclass(frozen=True)
class DriftAlarm:
    """A stream that drifts. at: Unix time of the check; where: tool, layer and recipe."""

    at: float
    tool: str
    where: str
    what: str


def due(settings: DueSection, plans: Sequence[Plan], alarms: Sequence[DriftAlarm], now: float) -> Due | None:
    """What is due now; None if nothing is.

    A 1st that nobody was there for is made up for within `grace_days`, and not later: whoever switches the schedule on
    in the middle of a month does not want last month's retraining at once.

    Args:
        settings: Of the schedule.
        plans: Retrainings so far.
        alarms: Streams that drifted at recent checks.
        now: Unix time.
    """
    today = datetime.fromtimestamp(now, UTC)
    first = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    name = f"monthly-{first:%Y-%m}"
    known = {plan.id for plan in plans}
    if settings.monthly and name not in known and today < first + timedelta(days=settings.grace_days):
        return Due("monthly", name, f"the 1st of {first:%B %Y}", True)
    if settings.on_drift == "off":
        return None
    last = max((plan.until for plan in plans), default=float("-inf"))
    fresh = [a for a in alarms if now - RECENT_DAYS * DAY_S < a.at <= now and a.at > last]
    if not fresh or now - last < settings.rest_days * DAY_S:
        return None
    tools = sorted({alarm.tool for alarm in fresh})
    alone = len(tools) == 1
    why = f"drift of {', '.join(sorted({f'{a.what} on {a.where}' for a in fresh})[:5])}"
    if alone:
        why += f"; on {tools[0]} alone: look at the tool first, a model must not learn its fault as normal"
    begun = datetime.fromtimestamp(min(alarm.at for alarm in fresh), UTC)
    return Due("drift", f"drift-{begun:%Y-%m-%d}", why, settings.on_drift == "train" and not alone)


def recent_alarms(database: Database, now: float) -> list[DriftAlarm]:
    """Streams that drifted at the checks of the last week.

    Raises:
        DatabaseDown: The database does not answer.
    """
    query = sa.select(drift_checks).where(drift_checks.c.alarm, drift_checks.c.at > now - RECENT_DAYS * DAY_S)
    with database.read() as connection:
        rows = connection.execute(query.order_by(drift_checks.c.seq)).mappings().all()
    found = []
    for row in rows:
        tool, layer = str(row["figures"].get("tool")), str(row["figures"].get("layer"))
        found.append(
            DriftAlarm(row["at"], tool, f"tool {tool}, layer {layer}, recipe {row['recipe']}", row["what"])
        )
    return found
