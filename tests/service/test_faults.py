"""What must hold when things break: the disk is full, the clock jumps, a graph fails, a process dies."""

import ctypes
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.manage import Manager
from service.models import Version
from service.settings import Settings
from service.state import Service
from service.store.migrate import migrate
from service.store.tables import inspections

Png = Callable[..., bytes]
PLACE = {"wafer_id": "W1", "inspection_point": "1"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted as root")
    folder = tmp_path / "small"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=6m") != 0:
        pytest.skip(f"a file system cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), 2)


def test_on_a_full_disk_nothing_is_answered_that_is_not_kept(
    small_disk: Path, version: Version, png: Png
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3_200_000))  # so that what fits beside it fits once more when it is shipped
    settings = Settings(data=small_disk / "data", node="a", disk_reserve=0)
    settings.data.mkdir()
    service = open_service(settings, version)
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect"])
    answered, refused = [], []
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        for number in range(150):
            said = client.post(
                "/api/v1/inspect",
                params={**PLACE, "inspection_point": str(number)},
                content=png(number % 5) + bytes([number]),
            )
            (answered if said.status_code == 200 else refused).append(said)
            if len(refused) >= 5:
                break
        assert refused, "the disk never became full"
        assert {said.status_code for said in refused} <= {503, 507}
        assert all("could not be kept" in said.json()["detail"] for said in refused)
        assert client.get("/readyz").status_code == 503
        filler.unlink()
        deadline = time.monotonic() + 20
        while client.get("/readyz").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.1)
        said = client.post("/api/v1/inspect", params=PLACE, content=png(99))
        assert said.status_code == 200, "with room again, it goes on by itself"
        answered.append(said)
        while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
            time.sleep(0.1)
    # What the busy disk kept the worker from shipping before it stopped is in its journal, and no less safe.
    Manager(settings.data).ship()
    with service.database.read() as connection:
        ids = set(connection.execute(sa.select(inspections.c.id)).scalars())
    assert ids == {said.json()["id"] for said in answered}
    assert Manager(settings.data).check()["problems"] == ()


def test_below_the_reserve_images_are_refused_and_nothing_else(
    settings: Settings, version: Version, png: Png
) -> None:
    settings = replace(settings, disk_reserve=1 << 60)
    settings.data.mkdir()
    service = open_service(settings, version)
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        said = client.post("/api/v1/inspect", params=PLACE, content=png(1))
        assert said.status_code == 507 and said.headers["retry-after"]
        assert client.get("/readyz").json()["problems"] == ["the disk is nearly full"]
        assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("jump", [-7 * 86_400.0, 7 * 86_400.0])
def test_a_clock_that_jumps_doubles_nothing(
    client: TestClient, png: Png, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    before = client.post("/api/v1/inspect", params=PLACE, content=png(1))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    after = client.post("/api/v1/inspect", params=PLACE, content=png(1))
    other = client.post("/api/v1/inspect", params={**PLACE, "inspection_point": "2"}, content=png(1))
    assert after.content == before.content
    assert other.status_code == 200 and other.json()["id"] != before.json()["id"]
    deadline = time.monotonic() + 20
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.05)
    sites = client.get("/api/v1/wafers/W1").json()["inspections"]
    assert [site["inspection_point"] for site in sites] == [1, 2], "in the order in which they came"


def test_a_graph_that_fails_is_review_and_takes_the_worker_out(
    client: TestClient, service: Service, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    inspector = service.models.current().inspector

    def broken(square: object) -> None:
        raise RuntimeError("out of memory in node 7")

    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr(inspector, "students", dict.fromkeys(inspector.students, broken))
    found = client.post("/api/v1/inspect", params=PLACE, content=png(1)).json()
    assert found["decision"] == "REVIEW" and found["confidence"] is None
    assert "out of memory in node 7" in found["reasons"][0]
    service.probe = (-1e9, None)  # the last look at the graphs is two seconds old
    not_ready = client.get("/readyz")
    assert not_ready.status_code == 503 and "out of memory in node 7" in not_ready.json()["problems"][0]


def test_a_journal_is_held_by_one_process(service: Service, settings: Settings, version: Version) -> None:
    with pytest.raises(Exception, match="another process serves as 'a'"):
        open_service(settings, version)


def test_what_a_killed_worker_left_is_shipped_by_the_next(
    settings: Settings, version: Version, png: Png
) -> None:
    settings.data.mkdir()
    service = open_service(settings, version)
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect"])
    app = create_app(service)
    app.state.background.shipper.ship = lambda: 0  # as if it were killed before its first shipment
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as client:
        said = client.post("/api/v1/inspect", params=PLACE, content=png(1)).json()
    again = open_service(settings, version)
    with TestClient(create_app(again), headers={"Authorization": f"Bearer {key}"}) as client:
        repeated = client.post("/api/v1/inspect", params=PLACE, content=png(1))
    assert repeated.json() == said and repeated.headers["idempotency-replayed"] == "true"
    found = Manager(settings.data).check()
    assert found["problems"] == () and found["decisions"] == 1
