"""`waferroute service ...`: backups, checks, keys and users, on real data."""

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.manage import Manager, restore_backup
from service.state import Service
from service.store import database
from wafer_data.errors import InputError, WriteError

Png = Callable[..., bytes]


@pytest.fixture
def served(service: Service, key: str, png: Png) -> Manager:
    """A data folder after a day's work, its worker stopped."""
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        for number in range(6):
            params = {"wafer_id": f"W{number // 3}", "inspection_point": str(number), "lot": "L1"}
            answered = client.post("/api/v1/inspect", params=params, content=png(number, 0.4 * (number == 4)))
            assert answered.status_code == 200
    return Manager(service.settings.data)


def test_all_is_well_after_a_clean_stop(served: Manager) -> None:
    found = served.check()
    assert found["problems"] == ()
    assert found["decisions"] == found["sealed"] == found["images"] == 6


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            "UPDATE inspections SET decision = 'PASS', reasons = '[]' WHERE decision != 'PASS'",
            "was changed after",
        ),
        (
            "DELETE FROM review_tasks; DELETE FROM inspections WHERE entry = 2",
            "6 decisions were sealed, 5 are there",
        ),
        (
            "DROP TRIGGER audit_no_update; UPDATE audit SET actor = 'user:1' WHERE seq = 1",
            "row 1 (key.made) was changed",
        ),
        ("DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq = 1", "row 1 is missing"),
    ],
)
def test_a_change_behind_the_service_is_noticed(served: Manager, change: str, told: str) -> None:
    with sqlite3.connect(served.settings.data / "waferroute.db") as connection:
        connection.executescript(change)
    assert told in " ".join(served.check()["problems"])


def test_the_trail_itself_refuses_changes(served: Manager) -> None:
    with sqlite3.connect(served.settings.data / "waferroute.db") as connection:
        for change in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(change)


def test_a_removed_end_of_the_trail_is_noticed_by_the_noted_head(served: Manager) -> None:
    head = served.check()["trail_head"]
    with sqlite3.connect(served.settings.data / "waferroute.db") as connection:
        connection.executescript(
            "DROP TRIGGER audit_no_delete; DELETE FROM audit WHERE seq = (SELECT MAX(seq) FROM audit)"
        )
    assert "expected head" in " ".join(served.check(head)["problems"])


def test_a_missing_image_is_noticed(served: Manager) -> None:
    victim = next(path for path in served.settings.images.rglob("*") if path.is_file())
    victim.unlink()
    assert victim.name in " ".join(served.check()["problems"])


def test_a_backup_restores_to_the_same(served: Manager, tmp_path: Path) -> None:
    manifest = served.back_up(tmp_path / "backup")
    assert manifest["images"] == 6 and manifest["images_missing"] == []
    restore_backup(tmp_path / "backup", tmp_path / "restored")
    again = Manager(tmp_path / "restored")
    assert again.check() == served.check()
    assert again.check()["trail_head"] == manifest["audit_head"]


def test_a_full_disk_is_said_of_the_folder_that_was_asked_for(
    served: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, prepare = tmp_path / "backup", database._prepare_sqlite

    def without_room(connection: sqlite3.Connection, record: Any) -> None:
        prepare(connection, record)
        if ".part/" in connection.execute("PRAGMA database_list").fetchone()[2]:
            connection.execute("PRAGMA max_page_count=1")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(database, "_prepare_sqlite", without_room)
        with pytest.raises(WriteError, match=f"disk full while writing {out}: free"):
            served.back_up(out)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=f"disk full while writing {out / 'backup.json'}: free"):
        served.back_up(out)
    assert not any(path.name.endswith(".part") for path in tmp_path.iterdir())


def test_a_damaged_backup_is_refused_before_anything_is_written(served: Manager, tmp_path: Path) -> None:
    served.back_up(tmp_path / "backup")
    with (tmp_path / "backup" / "waferroute.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"xxxx")
    with pytest.raises(InputError, match="was changed after the backup"):
        restore_backup(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_backup_never_overwrites(served: Manager, tmp_path: Path) -> None:
    served.back_up(tmp_path / "backup")
    with pytest.raises(InputError, match="exists"):
        served.back_up(tmp_path / "backup")
    with pytest.raises(InputError, match="not empty"):
        restore_backup(tmp_path / "backup", served.settings.data)


def test_an_erased_person_leaves_a_number_and_the_chain_holds(served: Manager) -> None:
    number = served.add_user("Anna Adler", "inspector", "a long password")["user"]
    before = served.check()["trail_rows"]
    assert served.erase_user("Anna Adler") == {"user": number}
    found = served.check()
    assert found["problems"] == () and found["trail_rows"] == before + 1
    served.database.close()
    for path in served.settings.data.glob("waferroute.db*"):
        assert b"Anna Adler" not in path.read_bytes(), path
