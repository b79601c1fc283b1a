"""The same service on a real PostgreSQL, also while that is away."""

import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.manage import Manager, restore_backup
from service.models import Version
from service.settings import Settings
from service.store.database import Database
from service.store.migrate import HEAD, migrate
from service.store.tables import audit, inspections
from service.store.verify import verify

_spec = importlib.util.spec_from_file_location(
    "service_test_postgres", Path(__file__).with_name("postgres.py")
)
assert _spec is not None and _spec.loader is not None
postgres = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(postgres)

MISSING = postgres.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

Png = Callable[..., bytes]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    running = postgres.Server(tmp_path_factory.mktemp("postgres"))
    yield running
    running.stop()


def place(number: int) -> dict[str, str]:
    return {"wafer_id": f"W{number // 4}", "inspection_point": str(number), "lot": "L1"}


def test_nothing_is_lost_and_nothing_doubled_when_the_database_is_killed(
    server: object, version: Version, tmp_path: Path, png: Png
) -> None:
    url = server.url  # type: ignore[attr-defined]
    assert migrate(Database(url)) == (None, HEAD)
    settings = Settings(data=tmp_path / "data", node="pg", database_url=url)
    settings.data.mkdir()
    service = open_service(settings, version)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    answers = {}
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        for number in range(24):
            if number == 8:
                server.kill()  # type: ignore[attr-defined]
            if number == 16:
                assert client.get("/readyz").status_code == 200, "the line does not need the database"
                assert client.get("/api/v1/wafers/W0").status_code == 503
                server.start()  # type: ignore[attr-defined]
            answered = client.post(
                "/api/v1/inspect", params=place(number), content=png(number, 0.4 * (number == 5))
            )
            assert answered.status_code == 200, answered.text
            answers[answered.json()["id"]] = answered.json()["decision"]
        deadline = time.monotonic() + 60
        while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
            time.sleep(0.2)
    with Database(url).read() as connection:
        rows = connection.execute(sa.select(inspections.c.id, inspections.c.decision)).all()
    assert len(rows) == 24 and {row.id: row.decision for row in rows} == answers
    assert Manager(settings.data, url).check()["problems"] == ()


def test_a_backup_moves_from_postgresql_to_sqlite_and_back(server: object, tmp_path: Path) -> None:
    url = server.url  # type: ignore[attr-defined]
    settings = Settings(data=tmp_path / "data", database_url=url)
    settings.data.mkdir()
    (settings.data / "secret").write_bytes(b"s" * 32)
    (settings.data / "journals").mkdir()
    before = Manager(settings.data, url)
    rows = before.back_up(tmp_path / "backup")["rows"]
    restore_backup(tmp_path / "backup", tmp_path / "moved")
    moved = Manager(tmp_path / "moved")
    found = moved.check(look_at_images=False)
    assert found == before.check(look_at_images=False) and found["problems"] == ()
    assert rows["inspections"] == found["decisions"] > 0


def test_the_trail_refuses_changes_there_too(server: object) -> None:
    database = Database(server.url)  # type: ignore[attr-defined]
    for change in (sa.update(audit).values(actor="x"), sa.delete(audit)):
        with pytest.raises(Exception, match="append-only"), database.write() as connection:
            connection.execute(change)
    assert verify(database, None).problems == ()
