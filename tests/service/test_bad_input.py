"""What a person can get wrong around a served data folder is said in one line, and changes nothing."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.manage import Manager, restore_backup
from service.serve import take_in
from service.settings import Settings
from service.state import Service
from service.store.database import Database, DatabaseDown, sqlite_url
from service.store.migrate import migrate
from service.versions.folder import VersionFolder
from wafer_data.errors import InputError, WriteError
from waferroute.cli import main

Say = Callable[..., str]
_SERVICE = ("migrate", "audit-check", "ship", "key list", "key add T", "key rotate x", "key revoke x", "user list",
            "user erase anna", "user change anna --inactive")  # fmt: skip


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """say("service", "migrate", ...): what a command that is refused says."""

    def run(*words: str | Path) -> str:
        try:
            status = main([str(word) for word in words])
        except SystemExit as refused:  # the parser's
            status = int(str(refused.code))
        assert status == 2
        return capsys.readouterr().err.splitlines()[-1]

    return run


@pytest.fixture
def data(service: Service, bundle: Path) -> Iterator[Path]:
    """A data folder with a version in use and a database, that no worker serves."""
    migrate(service.database)
    take_in(VersionFolder(service.settings.models), bundle, None)
    service.journal.close()
    service.database.close()
    yield service.settings.data


@pytest.mark.parametrize("words", [*(f"service {name}" for name in _SERVICE), "model drift"])
def test_a_damaged_database_is_named(data: Path, say: Say, words: str) -> None:
    for suffix in ("-wal", "-shm"):
        (data / f"waferroute.db{suffix}").unlink(missing_ok=True)
    (data / "waferroute.db").write_bytes(b"no database, but long enough to be one" * 200)
    assert "its file is damaged (file is not a database): restore a backup" in say(
        *words.split(), "--data", data
    )


def test_a_damaged_json_value_is_named(data: Path, tmp_path: Path, say: Say) -> None:
    assert main(["service", "key", "add", "T", "--data", str(data)]) == 0
    with sqlite3.connect(data / "waferroute.db") as connection:
        connection.execute("UPDATE api_keys SET scopes = '[\"inspect'")
    for words in (["key", "list"], ["backup", "--out", tmp_path / "backup"]):
        assert "its file is damaged (JSON that cannot be read" in say("service", *words, "--data", data)
    assert not (tmp_path / "backup").exists()


@pytest.mark.parametrize("words", [*(f"service {name}" for name in _SERVICE), "model drift"])
def test_a_folder_without_a_database_stays_without(data: Path, say: Say, words: str) -> None:
    for path in data.glob("waferroute.db*"):
        path.unlink()
    assert "no such database" in say(*words.split(), "--data", data)
    assert not (data / "waferroute.db").exists()


@pytest.mark.parametrize(
    "words",
    ["service key list", "model list", "model show", "model shadow --stop", "model drift", "fleet show",
     "fleet halt R --reason x", "fleet start v1.0.0"],
)  # fmt: skip
def test_a_data_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path, say: Say, words: str) -> None:
    assert "no such folder" in say(*words.split(), "--data", tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_a_table_that_is_missing_is_the_databases_fault(data: Path, say: Say) -> None:
    with sqlite3.connect(data / "waferroute.db") as connection:
        connection.execute("DROP TABLE api_keys")
    for name in ("key list", "key add T", "key rotate x", "key revoke x"):
        assert "does not answer: no such table: api_keys" in say("service", *name.split(), "--data", data)


@pytest.mark.parametrize("url", ["postgresql://u@h:port/n", "mysql://u@h/n", "nothing"])
def test_a_databases_address_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="database"):
        Database(url)


def test_a_damaged_journal_is_no_journal_that_a_worker_holds(data: Path, say: Say, tmp_path: Path) -> None:
    for path in (data / "journals").glob("*.journal*"):
        path.unlink()
    (data / "journals" / "a.journal").write_bytes(b"no journal, but long enough to be one" * 200)
    assert "a.journal: the journal cannot be opened" in say("service", "ship", "--data", data)
    assert "a.journal cannot be copied" in say("service", "backup", "--data", data, "--out", tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("node", ["", ".", "../x", "a/b", "x\ny", "n" * 101, "\N{SNOWMAN}"])
def test_a_worker_has_a_name_that_can_be_a_files(tmp_path: Path, node: str) -> None:
    with pytest.raises(InputError, match="cannot be called"):
        Settings(data=tmp_path, node=node)


@pytest.mark.parametrize("name", ["noise.pem", "missing.pem", "."])
def test_a_certificate_that_cannot_be_used_is_named(
    bundle: Path, tmp_path: Path, say: Say, name: str
) -> None:
    (tmp_path / "noise.pem").write_text("no certificate")
    words = ("--port", "18999", "--tls-cert", tmp_path / name, "--tls-key", tmp_path / name)
    assert f"the certificate {tmp_path / name}" in say("serve", bundle, "--data", tmp_path / "data", *words)


@pytest.mark.parametrize(
    "words",
    ["--port 0", "--port 65536", "--port 65535 --workers 2", "--workers 100000", "--threads 100000", "--drain nan",
     "--drain -1", "--drain 1e400", "--drain 1e300", "--image-budget nan", "--image-budget inf", "--image-budget -3",
     "--proxy balancer", "--node ../x", "--traces collector"],
)  # fmt: skip
def test_serve_refuses_what_it_could_only_misunderstand(
    bundle: Path, tmp_path: Path, say: Say, words: str
) -> None:
    option, value = words.split()[-2:]
    said = say("serve", bundle, "--data", tmp_path / "data", *words.split())
    assert value in said or option in said


def test_a_bundle_has_one_name(bundle: Path, data: Path, say: Say) -> None:
    assert "vae-wafer-v1.0.0 already" in say("model", "push", bundle, "--data", data, "--name", "v2.0.0")
    assert "not the name of a version" in say("model", "push", bundle, "--data", data, "--name", "x")
    assert main(["model", "push", str(bundle), "--data", str(data), "--name", "v1.0.0"]) == 0


def test_a_version_that_does_not_fit_on_the_disk_is_not_there(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copy2", full)
    folder = VersionFolder(tmp_path / "models")
    with pytest.raises(WriteError, match="disk full"):
        folder.push(bundle)
    assert folder.versions() == [] and not list((tmp_path / "models").glob("*vae-wafer*"))


def test_a_backup_is_restored_whole_or_not_at_all(data: Path, tmp_path: Path) -> None:
    Manager(data).back_up(tmp_path / "backup")
    manifest = tmp_path / "backup" / "backup.json"
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "rows": {**told["rows"], "users": 7}}))
    with pytest.raises(InputError, match="the backup says"):
        restore_backup(tmp_path / "backup", tmp_path / "restored")
    assert not (tmp_path / "restored").exists()
    manifest.write_text('{"schema": 1}')
    with pytest.raises(InputError, match="not a backup"):
        restore_backup(tmp_path / "backup", tmp_path / "restored")


def test_a_database_that_is_damaged_while_it_is_served_is_down(tmp_path: Path) -> None:
    (tmp_path / "waferroute.db").write_bytes(b"no database" * 1000)
    database = Database(sqlite_url(tmp_path / "waferroute.db"))
    with pytest.raises(DatabaseDown, match="restore a backup"), database.read():
        pass
