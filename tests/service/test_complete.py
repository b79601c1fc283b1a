"""May a wafer go on? From the decisions on its sites and people's words, also while they are in a journal only."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.auth.who import Who
from service.client import Client
from service.decide.wafer import HOLD, PENDING, RUN, Site, count_sites, dispose, dispose_lot
from service.models import Version
from service.review.tasks import Said, give_verdict, lease_next, open_task
from service.settings import Settings
from service.state import Service
from service.store.migrate import migrate
from service.store.ship import Shipper
from service.store.tables import audit, dispositions
from tests.service.review.conftest import inspectors
from wafer_data.errors import ConfigurationError, InputError
from wafer_map.decide import LotPlan

__all__ = ["inspectors"]
Png = Callable[..., bytes]
PLAN = LotPlan(good_rate=0.01, bad_rate=0.2, sites_per_wafer=50, unjudged_at_most=0.1)


def sites(good: int = 0, defect: int = 0, waiting: int = 0, unsure: int = 0) -> list[Site]:
    return [
        *[Site("PASS")] * good, *[Site("REJECT")] * defect, *[Site("REVIEW")] * waiting,
        *[Site("REVIEW", "unsure")] * unsure,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "expected", "found"),
    [
        ({"good": 9}, None, RUN),
        ({"good": 9}, 9, RUN),
        ({"good": 9}, 10, HOLD),
        ({"good": 8, "defect": 1}, None, HOLD),
        ({"good": 8, "waiting": 1}, None, PENDING),
        ({"good": 7, "waiting": 1, "defect": 1}, None, HOLD),
        ({"good": 8, "unsure": 1}, None, HOLD),
    ],
)
def test_without_a_plan_a_wafer_runs_if_every_site_is_good(
    counts: dict[str, int], expected: int | None, found: str
) -> None:
    answer = dispose(count_sites(sites(**counts), expected), None)
    assert answer.disposition == found and answer.action is None and answer.reasons


def test_a_persons_word_counts_before_the_models() -> None:
    assert Site("REJECT", "good").state == "good" and Site("PASS", "defect").state == "defect"
    assert Site("PASS", "unsure").state == "unjudged"


@pytest.mark.parametrize(
    ("counts", "found", "action"),
    [
        ({"good": 50}, RUN, "GO"),
        ({"good": 49, "waiting": 1}, RUN, "GO"),  # even were it a defect
        ({"good": 30, "waiting": 20}, PENDING, "STOP"),  # what people say decides
        ({"good": 30, "defect": 20}, HOLD, "STOP"),
        ({"good": 30, "defect": 20, "waiting": 5}, HOLD, "STOP"),  # even were they good
        ({"good": 40, "unsure": 10}, HOLD, "HOLD"),
    ],
)
def test_a_plan_is_asked_at_best_and_at_worst(counts: dict[str, int], found: str, action: str) -> None:
    answer = dispose(count_sites(sites(**counts)), PLAN)
    assert (answer.disposition, answer.action) == (found, action), answer.reasons


def test_with_a_plan_too_a_site_without_a_decision_holds_the_wafer() -> None:
    answer = dispose(count_sites(sites(good=50), 51), PLAN)
    assert (answer.disposition, answer.action) == (
        HOLD,
        "HOLD",
    ) and "1 site has no decision" in answer.reasons


def test_killers_hold_a_wafer_and_those_that_wait_may_be_none() -> None:
    plan = LotPlan.from_dict({**PLAN.to_dict(), "killers": {"hold_at": 1, "stop_at": 2}})
    killer = {"type": "short", "bin": "B7", "killer": True}
    said = count_sites([*sites(good=49), Site("REJECT", None, killer)])
    assert dict(said.bins) == {"B7": 1} and dispose(said, plan).action == "HOLD"
    asked = count_sites([*sites(good=49), Site("REVIEW", None, killer)])
    assert dispose(asked, plan).disposition == PENDING
    second = {"type": "stain", "bin": "B1", "killer": False, "others": [killer]}
    assert count_sites([Site("REJECT", None, second)]).killers == 1, "not only the strongest defect counts"
    cleared = count_sites([*sites(good=49), Site("REVIEW", "good", killer)])
    assert dispose(cleared, plan).disposition == RUN and cleared.bins == {}


def test_a_lot_of_bad_wafers_is_stopped() -> None:
    assert dispose_lot([count_sites(sites(good=50))] * 3, PLAN).action == "GO"
    assert dispose_lot([count_sites(sites(good=40, defect=10))] * 3, PLAN).action == "STOP"


# --- over HTTP ------------------------------------------------------------------------------------------------


def send(client: TestClient, image: bytes, point: int, wafer: str = "W1", **more: str) -> dict:
    place = {"wafer_id": wafer, "inspection_point": point, "lot": "L1", **more}
    answer = client.post("/api/v1/inspect", params=place, content=image)
    assert answer.status_code == 200, answer.text
    return answer.json()


def complete(client: TestClient, wafer: str = "W1", **asked: object) -> dict:
    answer = client.post(f"/api/v1/wafers/{wafer}/complete", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def dispositions_of(service: Service) -> list[str]:
    with service.database.read() as connection:
        return list(
            connection.execute(sa.select(dispositions.c.disposition).order_by(dispositions.c.seq)).scalars()
        )


def test_right_after_the_last_image_and_asked_again_it_is_one_answer(
    client: TestClient, service: Service, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shipper, "ship", lambda self: 0)  # nothing gets into the database
    for point in range(4):
        assert send(client, png(point), point)["decision"] == "PASS"
    first = complete(client, sites=4)
    assert (first["disposition"], first["good"], first["lot"]) == (RUN, 4, "L1")
    assert complete(client, sites=4) == first
    assert dispositions_of(service) == [RUN], "a retry adds nothing"
    monkeypatch.undo()
    deadline = time.monotonic() + 30
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert complete(client, sites=4) == first, "nor does it, once the decisions are in the database"
    assert dispositions_of(service) == [RUN]
    assert client.get("/api/v1/wafers/W1").json()["disposition"] == RUN
    with service.database.read() as connection:
        trail = connection.execute(
            sa.select(audit.c.subject).where(audit.c.action == "disposition.made")
        ).scalars()
        assert list(trail) == ["wafer:W1"]


def test_what_people_say_changes_the_answer(
    client: TestClient, service: Service, png: Png, inspectors: dict[str, Who]
) -> None:
    send(client, png(1), 1)
    doubtful = send(client, b"no picture", 2)
    assert doubtful["decision"] == "REVIEW"
    assert complete(client)["disposition"] == PENDING
    while not (tasks := lease_next(service.database, inspectors["ann"], 1)):
        time.sleep(0.05)
    give_verdict(service.database, inspectors["ann"], tasks[0].seq, Said("good"))
    assert complete(client)["disposition"] == RUN
    with service.database.write() as connection:
        open_task(connection, service.database, doubtful["id"], "double", 1.0, time.time())
    (task,) = lease_next(service.database, inspectors["bob"], 1)
    give_verdict(service.database, inspectors["bob"], task.seq, Said("defect"))
    said = complete(client)
    assert said["disposition"] == HOLD and said["unjudged"] == 1, "two people who disagree are no PASS"
    assert dispositions_of(service) == [PENDING, RUN, HOLD]


def test_of_a_place_that_was_measured_again_the_last_image_counts(client: TestClient, png: Png) -> None:
    assert send(client, png(5003, 0.4), 1)["decision"] == "REJECT"
    assert complete(client)["disposition"] == HOLD
    send(client, png(5004), 1)
    said = complete(client)
    assert (said["disposition"], said["good"], said["defects"]) == (RUN, 1, 0)


def test_layers_are_wafers_of_their_own_if_asked(client: TestClient, png: Png) -> None:
    send(client, png(1), 1, layer="M1")
    send(client, png(5003, 0.4), 1, layer="M2")
    assert complete(client, layer="M1")["disposition"] == RUN
    assert complete(client)["defects"] == 1


def test_what_is_asked_wrongly_is_said(client: TestClient, png: Png, service: Service) -> None:
    assert client.post("/api/v1/wafers/none/complete").status_code == 404
    send(client, png(1), 1, tool="T1")
    for wrong in ({"sites": "0"}, {"sites": "many"}, {"point": "1"}):
        assert client.post("/api/v1/wafers/W1/complete", params=wrong).status_code == 400, wrong
    with service.database.write() as connection:
        other = make_key(connection, "other", ["inspect"], tools=["T2"])
        reader = make_key(connection, "reader", ["read"])
    service.keys.refresh(service.database)
    for key, status in ((other, 403), (reader, 403)):
        headers = {"Authorization": f"Bearer {key}"}
        assert client.post("/api/v1/wafers/W1/complete", headers=headers).status_code == status


def test_a_plan_of_the_site_decides_wafers_and_their_lot(version: Version, tmp_path: Path, png: Png) -> None:
    plan = tmp_path / "plan.json"
    strict = {**PLAN.to_dict(), "sites_per_wafer": 4, "bad_rate": 0.6, "good_lot_stopped_once_in": 20,
              "good_lot_held_once_in": 10}  # fmt: skip
    plan.write_text(json.dumps(strict))
    settings = Settings(data=tmp_path / "data", node="p", lot_plan=plan)
    settings.data.mkdir()
    service = open_service(settings, version)
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        lots = []
        for number in range(3):
            for point in range(4):
                send(client, png(5000 + 4 * number + point, 0.45), point, f"W{number}")
            said = complete(client, f"W{number}", sites=4)
            assert said["action"] in ("HOLD", "STOP") and said["disposition"] == HOLD, said
            lots.append(said["of_lot"])
        assert [lot["wafers"] for lot in lots] == [1, 2, 3]
        assert lots[-1]["action"] == "STOP" and lots[-1]["reasons"]
        assert complete(client, "W0", sites=4)["of_lot"] == lots[-1], (
            "a wafer that is asked again is no fourth one"
        )
    with service.database.read() as connection:
        rows = connection.execute(
            sa.select(dispositions.c.lot).where(dispositions.c.wafer_id.is_(None))
        ).scalars().all()  # fmt: skip
    assert set(rows) == {"L1"}


def test_a_plan_that_cannot_be_is_refused_at_the_start(version: Version, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(
        '{"schema": 1, "good_rate": 0.5, "bad_rate": 0.1, "sites_per_wafer": 9}'
    )
    with pytest.raises((InputError, ConfigurationError), match="bad_rate"):
        open_service(Settings(data=tmp_path / "data", lot_plan=tmp_path / "plan.json"), version)


def test_the_python_client_asks_it(client: TestClient, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    send(client, png(1), 1)
    asked = []

    def over_here(self: Client, method: str, path: str, *_: object) -> tuple[int, bytes, float]:
        asked.append(path)
        said = client.request(method, path)
        return said.status_code, said.content, 0.0

    monkeypatch.setattr(Client, "_once", over_here)
    with Client("http://here", "k") as one:
        assert one.complete("W1", sites=1)["disposition"] == RUN
    assert asked == ["/api/v1/wafers/W1/complete?sites=1"]
