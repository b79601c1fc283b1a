"""The pages: what they show, what they hide, and what they refuse."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.auth.who import Who
from service.decide.rules import read_rules
from service.review.tasks import open_task
from service.state import Service

from .conftest import Station

LogIn = Callable[[str], Station]
TOLD_BY_THE_MODEL = {
    "decision",
    "score",
    "review_above",
    "reject_above",
    "reasons",
    "route",
    "rule",
    "defect",
}


def test_without_a_session_pages_lead_to_the_login_and_data_is_refused(running: TestClient):
    nobody = TestClient(running.app)
    page = nobody.get("/review", headers={"accept": "text/html"}, follow_redirects=False)
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    assert nobody.get("/review/next").status_code == 401


def test_pages_need_nothing_from_outside(queue: list[str], log_in: LogIn):
    eva = log_in("eva")
    for path in (
        "/review",
        "/search",
        "/overturned",
        "/agreement",
        "/wafers/W1",
        "/lots/L1",
        f"/inspections/{queue[0]}",
    ):
        page = eva.client.get(path, headers={"accept": "text/html"})
        assert page.status_code == 200, path
        assert "http://" not in page.text.replace("http://www.w3.org", ""), path
        assert "https://" not in page.text, path
        assert "default-src 'self'" in page.headers["content-security-policy"]


def test_an_inspector_sees_no_engineers_page(queue: list[str], log_in: LogIn):
    assert log_in("ann").client.get("/agreement").status_code == 403


def test_from_the_queue_to_a_verdict(queue: list[str], log_in: LogIn):
    ann = log_in("ann")
    (task,) = ann.next()
    assert set(task) >= TOLD_BY_THE_MODEL
    for name in ("image", "heatmap", "normal"):
        picture = ann.client.get(f"/review/{task['task']}/{name}.png")
        assert picture.status_code == 200, (name, picture.text)
        shown = Image.open(io.BytesIO(picture.content))
        assert shown.size == (256, 256)
        assert 90 < np.asarray(shown.convert("L")).mean() < 180
    assert ann.client.get(f"/review/{task['task']}/wafer.svg").text.startswith("<svg")
    told = ann.say(task["task"], "defect", defect="scratch", seconds=1.2, boxes=[[0.1, 0.2, 0.3, 0.4]])
    assert told.status_code == 200
    assert told.json()["decision"] in ("REVIEW", "REJECT")
    assert ann.next()[0]["task"] != task["task"]
    assert ann.undo(task["task"]).json()["task"]["task"] == task["task"]


def test_a_blind_look_tells_nothing_of_the_model(
    service: Service, queue: list[str], inspectors: dict[str, Who], log_in: LogIn
):
    with service.database.write() as connection:
        open_task(
            connection, service.database, queue[0], "double", 1e9, 2e9, not_user=inspectors["bob"].user_id
        )
    ann = log_in("ann")
    (task,) = ann.next()
    assert task["blind"]
    assert not TOLD_BY_THE_MODEL & set(task)
    assert "kind" not in task
    assert not set(task.values()) & {queue[0]}
    for name in ("heatmap", "reconstruction"):
        assert ann.client.get(f"/review/{task['task']}/{name}.png").status_code == 404
    assert "REVIEW" not in ann.client.get(f"/review/{task['task']}/wafer.svg").text


def test_a_known_image_looks_like_any_other(service: Service, queue: list[str], log_in: LogIn):
    ann, bob = log_in("ann"), log_in("bob")
    (usual,) = ann.next()
    with service.database.write() as connection:
        truth = {"verdict": "defect", "defect": None}
        open_task(connection, service.database, queue[1], "planted", 1e9, 2e9, truth=truth)
    (planted,) = bob.next()
    assert set(planted) == set(usual)
    assert set(bob.say(planted["task"], "good").json()) == set(ann.say(usual["task"], "good").json())


def test_another_persons_task_cannot_be_seen_or_decided(queue: list[str], log_in: LogIn):
    ann, bob = log_in("ann"), log_in("bob")
    (task,) = ann.next()
    assert bob.client.get(f"/review/{task['task']}/image.png").status_code == 409
    assert bob.say(task["task"], "good").status_code == 409


def test_a_verdict_without_the_sessions_token_is_refused(queue: list[str], log_in: LogIn):
    ann = log_in("ann")
    (task,) = ann.next()
    ann.csrf = "guessed"
    assert ann.say(task["task"], "good").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "maybe"},
        {"verdict": 1},
        {"verdict": "defect", "defect": "x" * 200},
        {"verdict": "defect", "boxes": [[0, 0, 2, 1]]},
        {"verdict": "defect", "boxes": "all"},
        {"verdict": "defect", "boxes": [[0.5, 0.5, 0.5, 0.5]]},
    ],
)
def test_a_malformed_verdict_is_refused_and_nothing_is_kept(queue: list[str], log_in: LogIn, body: dict):
    ann = log_in("ann")
    (task,) = ann.next()
    answer = ann.client.post(f"/review/{task['task']}/verdict", json=body, headers={"X-CSRF-Token": ann.csrf})
    assert answer.status_code == 422
    assert ann.say(task["task"], "good").status_code == 200


def test_what_people_write_is_shown_as_text(queue: list[str], log_in: LogIn):
    ann, eva = log_in("ann"), log_in("eva")
    (task,) = ann.next()
    ann.say(task["task"], "defect", defect="<script>alert(1)</script>")
    page = eva.client.get("/search?verdict=defect")
    assert "<script>alert" not in page.text


def test_a_known_image_is_planted_from_its_page(service: Service, queue: list[str], log_in: LogIn):
    eva = log_in("eva")
    form = {"truth": "defect", "defect": "scratch", "csrf": eva.csrf}
    assert (
        eva.client.post(f"/inspections/{queue[0]}/plant", data=form, follow_redirects=False).status_code
        == 303
    )
    assert eva.client.post(f"/inspections/{queue[0]}/plant", data={"truth": "defect"}).status_code == 403


def offered(station: Station) -> list[str]:
    page = station.client.get("/review", headers={"accept": "text/html"}).text
    return [part.split('"')[0] for part in page.split('data-type="')[1:]]


def test_the_types_on_the_keys_are_the_sites_or_those_that_people_named(
    queue: list[str], log_in: LogIn, service: Service, tmp_path: Path
):
    ann = log_in("ann")
    assert offered(ann) == []
    for name in ("void", "scratch", "scratch"):
        (task,) = ann.next()
        assert ann.say(task["task"], "defect", defect=name).status_code == 200
    assert offered(ann) == ["scratch", "void"], "the most frequent first"
    rules = tmp_path / "rules.toml"
    rules.write_text('[review]\ndefect_types = ["bridge", "<b>"]\n')
    service.rules = read_rules(rules)
    assert offered(ann) == ["bridge", "&lt;b&gt;"]


def test_a_number_that_no_database_holds_is_no_task(queue: list[str], log_in: LogIn):
    ann, huge = log_in("ann"), "9" * 40
    for path in (f"/review/{huge}/image.png", f"/review/{huge}/wafer.svg"):
        assert ann.client.get(path).status_code == 404
    for path in (f"/review/{huge}/skip", f"/review/{huge}/verdict"):
        sent = ann.client.post(path, json={"verdict": "good"}, headers={"X-CSRF-Token": ann.csrf})
        assert sent.status_code == 404


def test_the_wafers_page_says_whether_it_may_go_on_and_why(
    queue: list[str], log_in: LogIn, running: TestClient
):
    eva = log_in("eva")
    page = eva.client.get("/wafers/W1", headers={"accept": "text/html"}).text
    assert "RUN" not in page and "HOLD" not in page, "nobody has asked"
    said = running.post("/api/v1/wafers/W1/complete").json()
    page = eva.client.get("/wafers/W1", headers={"accept": "text/html"}).text
    assert said["disposition"] in page and all(reason in page for reason in said["reasons"])
