"""When a retraining is due: the 1st, a 1st that was missed by little, and drift, which as a rule only asks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from lifecycle.retraining.config import DueSection, RetrainingConfig
from lifecycle.retraining.due import DriftAlarm, due, recent_alarms
from lifecycle.retraining.plan import Plan
from service.store.database import Database, sqlite_url
from service.store.migrate import migrate
from service.store.tables import drift_checks

FIRST = datetime(2026, 12, 1, tzinfo=UTC)


def at(days: float) -> float:
    return (FIRST + timedelta(days=days)).timestamp()


def past(name: str, days: float) -> Plan:
    config = RetrainingConfig.model_validate(
        {"work": "w", "service": {"data": "d"}, "frozen": ["f"], "train": {"config": "c"}}
    )
    return Plan(name, "manual", "why", at(days), None, config)


def alarm(days: float, tool: str = "T1") -> DriftAlarm:
    return DriftAlarm(at(days), tool, f"tool {tool}", "KS of scores")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (-0.01, None),
        (0.0, "monthly-2026-12"),
        (2.9, "monthly-2026-12"),
        (3.1, None),
        (27.0, None),
        (31.0, "monthly-2027-01"),
    ],
)
def test_monthly_on_the_1st_and_a_little_later_but_not_in_the_middle_of_the_month(
    now: float, expected: str | None
):
    found = due(DueSection(), [], [], at(now))
    assert (found and found.id) == expected
    assert found is None or found.start


def test_once_a_month():
    assert due(DueSection(), [past("monthly-2026-12", 0.0)], [], at(0.5)) is None


def test_drift_asks_and_a_person_confirms():
    found = due(DueSection(), [], [alarm(9), alarm(9, "T2")], at(10))
    assert (found.trigger, found.id, found.start) == ("drift", "drift-2026-12-10", False)
    assert "KS of scores on tool T1" in found.why


def test_drift_starts_one_where_the_site_says_so_but_not_on_a_single_tool():
    settings = DueSection(on_drift="train")
    assert due(settings, [], [alarm(9), alarm(9, "T2")], at(10)).start
    alone = due(settings, [], [alarm(9), alarm(9.1)], at(10))
    assert not alone.start and "look at the tool first" in alone.why


@pytest.mark.parametrize(
    ("plans", "alarms", "settings"),
    [
        ([], [alarm(9)], DueSection(on_drift="off")),
        ([], [alarm(2)], DueSection()),  # more than a week ago
        ([past("x", 9.5)], [alarm(9)], DueSection()),  # a retraining has begun since
        ([past("x", 5)], [alarm(9)], DueSection()),  # rest
    ],
)
def test_drift_asks_for_nothing(plans: list[Plan], alarms: list[DriftAlarm], settings: DueSection):
    assert due(settings, plans, alarms, at(10)) is None


def test_alarms_come_from_the_service_s_own_checks(tmp_path: Path):
    database = Database(sqlite_url(tmp_path / "waferroute.db"))
    migrate(database)
    rows = [
        {"at": at(days), "recipe": "default", "version": "v", "what": "scores", "statistic": 1.0, "p": 1e-9,
         "alarm": is_alarm, "figures": {"tool": "T7", "layer": "M1"}}
        for days, is_alarm in ((9, True), (9, False), (1, True))
    ]  # fmt: skip
    with database.write() as connection:
        connection.execute(sa.insert(drift_checks), rows)
    (found,) = recent_alarms(database, at(10))
    assert (found.tool, found.where) == ("T7", "tool T7, layer M1, recipe default")
