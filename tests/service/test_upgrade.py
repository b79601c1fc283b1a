"""A database of an earlier version, with what people did in it, becomes this version's, and nothing is lost."""

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.models import Version
from service.settings import Settings
from service.store import backup, record
from service.store import migrate as migrations
from service.store.database import Database, sqlite_url
from service.store.migrate import HEAD, current_revision, migrate
from service.store.tables import metadata
from service.store.verify import verify
from tests.service import postgres
from wafer_data.errors import InputError
from wafer_data.files import sha256_file, write_json

# written by the service that had that schema, with its own `iterdump`
FIRST = Path(__file__).parent / "data" / "schema_0001.sql"
MISSING = postgres.missing()


def first_schema(path: Path) -> Path:
    with sqlite3.connect(path) as connection:
        connection.executescript(FIRST.read_text())
    connection.close()
    return path


def rows_of(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that there is, whatever the schema."""
    with database.read() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        return {
            name: [
                dict(row)
                for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()
            ]
            for name, table in found.tables.items()
            if name != "alembic_version"
        }


def is_kept(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> bool:
    """Whether all rows are there with all that they said."""
    return all(
        len(rows) == len(after[name])
        and all(row.items() <= now.items() for row, now in zip(rows, after[name], strict=True))
        for name, rows in before.items()
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path, server: Any) -> Iterator[Database]:
    """A database at the first schema, with rows in it, on each engine."""
    source = Database(sqlite_url(first_schema(tmp_path / "waferroute.db")))
    if request.param == "sqlite":
        yield source
        source.close()
        return
    if server is None:
        pytest.skip(str(MISSING))
    target = Database(server.url)
    _make_first_schema(target)
    _copy(source, target)
    source.close()
    yield target
    target.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    if MISSING is not None:
        yield None
        return
    running = postgres.Server(tmp_path_factory.mktemp("postgres"))
    yield running
    running.stop()


def _make_first_schema(database: Database) -> None:
    """As the first version did it, by its own migration; what was there is gone."""
    with database.write() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    _upgrade(database, "0001")


def _upgrade(database: Database, revision: str) -> None:
    """Up to a revision and no further."""
    config = Config()
    config.set_main_option("script_location", str(migrations._FOLDER))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _copy(source: Database, target: Database) -> None:
    """Row by row, as the tables of the target's own schema take them."""
    found = rows_of(source)
    with target.write() as connection:
        reflected = sa.MetaData()
        reflected.reflect(connection)
        for table in reflected.sorted_tables:
            for row in found.get(table.name, []):
                for column in table.columns:
                    if isinstance(column.type, sa.JSON) and isinstance(row[column.name], str):
                        row[column.name] = json.loads(row[column.name])
                    if isinstance(column.type, sa.JSON) and row[column.name] is None:
                        row[column.name] = sa.null()
                    if isinstance(column.type, sa.Boolean):
                        row[column.name] = bool(row[column.name])
                connection.execute(sa.insert(table).values(row))
            if table.name in metadata.tables:
                backup._advance_sequence(connection, metadata.tables[table.name])


def test_the_first_schema_becomes_this_one_and_every_row_stays(old: Database, tmp_path: Path) -> None:
    before = rows_of(old)
    assert current_revision(old) == "0001" != HEAD
    assert sum(map(len, before.values())) == 38 and "review_skips" not in before
    assert migrate(old) == ("0001", HEAD)
    after = rows_of(old)
    assert is_kept(before, after)
    assert after["escapes"][0]["idempotency_key"] is None and after["dispositions"][0]["figures"] is None
    found = verify(old, None)
    assert found.problems == () and found.decisions == 5, (
        "the trail's chain and every decision's digest still hold"
    )
    assert migrate(old) == (HEAD, HEAD), "again changes nothing"


def test_the_second_schema_becomes_this_one_and_every_row_stays(old: Database) -> None:
    _upgrade(old, "0002")
    reflected = sa.MetaData()
    with old.write() as connection:
        reflected.reflect(connection)
        wafers, rows = reflected.tables["drift_wafers"], reflected.tables["inspections"]
        connection.execute(
            sa.insert(wafers).values(
                version="v1.0.0", tool="T1", layer="M1", recipe="", wafer_id="W0", at=1.0, last_entry=3, images=3,
                flagged=1, unjudged=0, figures=b"figures",
            )
        )  # fmt: skip
        connection.execute(sa.update(rows).values(appearance={"brightness": 0.5}))
    before = rows_of(old)
    assert migrate(old) == ("0002", HEAD)
    assert is_kept(before, rows_of(old)) and verify(old, None).problems == ()


def test_entries_that_an_earlier_version_left_in_the_journal_are_carried_over(
    service: Any, client: TestClient, png: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version's record holds less; here it is one without what the second schema added."""
    shorter = tuple(name for name in record.CARRIED if name != "appearance")
    with monkeypatch.context() as busy:
        busy.setattr(client.app.state.background.shipper, "ship", lambda: 0)  # type: ignore[attr-defined]
        with monkeypatch.context() as earlier:
            earlier.setattr(record, "CARRIED", shorter)
            first = client.post("/api/v1/inspect?wafer_id=W&inspection_point=1", content=png(1)).json()
        second = client.post("/api/v1/inspect?wafer_id=W&inspection_point=2", content=png(2)).json()
    deadline = time.monotonic() + 30
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:  # type: ignore[attr-defined]
        time.sleep(0.05)
    rows = {row["id"]: row["appearance"] for row in rows_of(service.database)["inspections"]}
    assert rows[first["id"]] is None and rows[second["id"]] is not None
    assert verify(service.database, None).problems == ()


def test_it_is_written_as_if_it_had_always_been_of_this_version(
    old: Database, version: Version, tmp_path: Path, png: Any
) -> None:
    migrate(old)
    settings = Settings(data=tmp_path / "data", node="new", database_url=old.url.render_as_string(False))
    settings.data.mkdir()
    service = open_service(settings, version)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read", "escape"])
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        place = {"wafer_id": "W1", "inspection_point": "9", "lot": "L1"}
        assert client.post("/api/v1/inspect", params=place, content=png(9)).status_code == 200
        said = client.post("/api/v1/wafers/W1/complete", params={"sites": 3}).json()
        assert (said["good"], said["defects"], said["missing"]) == (2, 1, 0), (
            "earlier verdicts and the new image"
        )
        assert said["disposition"] == "HOLD"
        told = client.post(
            "/api/v1/escapes", json={"wafer_id": "W0", "inspection_point": 1, "defect": "void"}
        )
        assert told.status_code == 201 and told.json()["escape"] == 2, "numbers go on where they were"
    assert verify(old, None).problems == ()


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
def test_a_shared_database_is_upgraded_by_a_person_and_the_line_goes_on(
    server: Any, version: Version, tmp_path: Path, png: Any
) -> None:
    database = Database(server.url)
    _make_first_schema(database)
    source = Database(sqlite_url(first_schema(tmp_path / "waferroute.db")))
    _copy(source, database)
    settings = Settings(data=tmp_path / "data", node="pg", database_url=server.url)
    settings.data.mkdir()
    service = open_service(settings, version)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    service.keys.refresh(service.database)
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        place = {"wafer_id": "W7", "inspection_point": "1"}
        assert client.post("/api/v1/inspect", params=place, content=png(3)).status_code == 200
        assert current_revision(database) == "0001", "no worker upgrades what others use too"
        assert client.get("/readyz").status_code == 200
        migrate(database)
        for _ in range(200):
            if client.get("/api/v1/wafers/W7").status_code == 200:
                break
            time.sleep(0.1)
        assert client.get("/api/v1/wafers/W7").json()["inspections"][0]["inspection_point"] == 1


def test_a_backup_of_the_first_schema_is_restored_into_this_one(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    (folder / "journals").mkdir(parents=True)
    first_schema(folder / backup.DATABASE)
    old = Database(sqlite_url(folder / backup.DATABASE))
    before = rows_of(old)
    old.close()
    for suffix in ("-wal", "-shm"):
        (folder / f"{backup.DATABASE}{suffix}").unlink(missing_ok=True)
    (folder / "secret").write_bytes(bytes(32))
    named = (folder / backup.DATABASE, folder / "secret")
    write_json(folder / backup.MANIFEST, {
        "schema": 1, "revision": "0001", "rows": {name: len(rows) for name, rows in before.items()}, "images": 0,
        "files": {path.name: sha256_file(path) for path in named},
    })  # fmt: skip
    settings = Settings(data=tmp_path / "restored")
    settings.data.mkdir()
    with pytest.raises(InputError, match="not empty"):
        (settings.data / "x").write_text("")
        backup.restore(folder, settings)
    (settings.data / "x").unlink()
    backup.restore(folder, settings)
    restored = Database(sqlite_url(settings.data / "waferroute.db"))
    assert current_revision(restored) == HEAD and is_kept(before, rows_of(restored))


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Database(sqlite_url(first_schema(tmp_path / "waferroute.db")))
    before = rows_of(old)
    from alembic import op

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the power went")

    monkeypatch.setattr(op, "create_table", broken)
    with pytest.raises(RuntimeError, match="the power went"):
        migrate(old)
    assert current_revision(old) == "0001" and rows_of(old) == before
    monkeypatch.undo()
    assert migrate(old) == ("0001", HEAD) and is_kept(before, rows_of(old))
