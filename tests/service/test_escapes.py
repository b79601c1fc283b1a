"""Defects that were found later in the line: kept once, and counted as what they are."""

import time
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from service.auth.keys import make_key
from service.feedback_evidence import gather_evidence
from service.state import Service
from service.store.tables import audit, escapes, inspections

Png = Callable[..., bytes]
PLACES = [{"wafer_id": "W1", "inspection_point": str(i), "lot": "L1"} for i in range(4)]


@pytest.fixture
def passed(client: TestClient, service: Service, png: Png) -> list[str]:
    """Ids of four PASS images that are in the database, of which the first two were sampled, with a share of 0.5."""
    ids = [
        client.post("/api/v1/inspect", params=place, content=png(i)).json()["id"]
        for i, place in enumerate(PLACES)
    ]
    deadline = time.monotonic() + 30
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.05)
    with service.database.write() as connection:
        connection.execute(
            sa.update(inspections)
            .where(inspections.c.id.in_(ids[:2]))
            .values(audit_share=0.5, verdict="good")
        )
    return ids


@pytest.fixture
def fab(client: TestClient, service: Service) -> dict[str, str]:
    """Headers of a key of the fab's yield system."""
    with service.database.write() as connection:
        key = make_key(connection, "yield", ["escape", "read"])
    service.keys.refresh(service.database)
    return {"Authorization": f"Bearer {key}"}


def kept(service: Service) -> int:
    with service.database.read() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(escapes)).scalar_one()


def test_an_escape_is_kept_once_with_what_passed_it(
    client: TestClient, service: Service, passed: list[str], fab: dict[str, str]
) -> None:
    body = {
        "wafer_id": "W1",
        "inspection_point": 2,
        "found_at": "probe",
        "defect": "void",
        "note": "die 3\nopen",
    }
    first = client.post("/api/v1/escapes", json=body, headers={**fab, "Idempotency-Key": "e1"})
    assert first.status_code == 201
    said = first.json()
    assert (said["inspection_id"], said["decision"], said["model_version"]) == (passed[2], "PASS", "v1.0.0")
    again = client.post("/api/v1/escapes", json=body, headers={**fab, "Idempotency-Key": "e1"})
    assert again.status_code == 200 and again.headers["idempotency-replayed"] == "true"
    assert again.json()["escape"] == said["escape"]
    assert client.post("/api/v1/escapes", json=body, headers=fab).status_code == 200, (
        "nor twice without a key"
    )
    other = client.post(
        "/api/v1/escapes", json={**body, "defect": "x"}, headers={**fab, "Idempotency-Key": "e1"}
    )
    assert other.status_code == 422
    assert kept(service) == 1
    (listed,) = client.get("/api/v1/escapes", params={"wafer_id": "W1"}, headers=fab).json()["escapes"]
    assert (
        listed["escape"] == said["escape"]
        and listed["note"] == "die 3\nopen"
        and listed["decision"] == "PASS"
    )
    with service.database.read() as connection:
        trail = connection.execute(sa.select(audit.c.action).where(audit.c.subject == "escape:1")).scalars()
        assert list(trail) == ["escape.reported"]


def test_it_counts_as_a_miss_whatever_was_said_of_it(
    client: TestClient, service: Service, passed: list[str], fab: dict[str, str]
) -> None:
    for name in (passed[0], passed[3]):
        assert client.post("/api/v1/escapes", json={"inspection_id": name}, headers=fab).status_code == 201
    client.post("/api/v1/escapes", json={"wafer_id": "W1", "defect": "edge chip"}, headers=fab)
    with service.database.read() as connection:
        found = gather_evidence(connection)
    assert found["escapes"] == {"reported": 3, "images": 2, "sampled": 1, "by_version": {"v1.0.0": 2}}
    assert (found["all"]["judged"], found["all"]["misses"]) == (2, 1), "a reviewer had called it good"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ([], 400),
        ({"wafer_id": "W1", "defekt": "x"}, 400),
        ({"wafer_id": "W1", "note": "x" * 3000}, 400),
        ({"wafer_id": 7}, 400),
        ({"wafer_id": "elsewhere"}, 404),
        ({"wafer_id": "W1", "inspection_point": "99"}, 404),
        ({"inspection_id": "none"}, 404),
    ],
)
def test_what_cannot_be_kept_is_refused(
    client: TestClient, service: Service, passed: list[str], fab: dict[str, str], body: object, status: int
) -> None:
    assert client.post("/api/v1/escapes", json=body, headers=fab).status_code == status
    assert client.post("/api/v1/escapes", content=b"{", headers=fab).status_code == 400
    assert kept(service) == 0


def test_an_inspection_of_another_wafer_is_a_mistake(
    client: TestClient, passed: list[str], fab: dict[str, str]
) -> None:
    body = {"inspection_id": passed[0], "wafer_id": "W2"}
    assert client.post("/api/v1/escapes", json=body, headers=fab).status_code == 400


def test_a_tools_key_may_not(client: TestClient, passed: list[str]) -> None:
    assert client.post("/api/v1/escapes", json={"inspection_id": passed[0]}).status_code == 403
