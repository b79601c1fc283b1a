"""People who review, and a queue with images in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from service.auth import people
from service.auth.people import add_user
from service.auth.who import ROLES, Who
from service.state import Service
from service.store.migrate import migrate

PASSWORD = "a long password, 7"


@dataclass
class Station:
    """A logged-in person's browser, without the browser."""

    client: TestClient
    csrf: str

    def next(self, count: int = 1) -> list[dict]:
        answer = self.client.get(f"/review/next?count={count}")
        assert answer.status_code == 200, answer.text
        return answer.json()["tasks"]

    def say(self, task: int, verdict: str, **more: object):
        body = {"verdict": verdict, **more}
        return self.client.post(f"/review/{task}/verdict", json=body, headers={"X-CSRF-Token": self.csrf})

    def undo(self, task: int):
        return self.client.delete(f"/review/{task}/verdict", headers={"X-CSRF-Token": self.csrf})


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """Hashes that cost nothing: here nobody guesses."""
    patch = pytest.MonkeyPatch()
    patch.setattr(people, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield
    patch.undo()


@pytest.fixture
def inspectors(service: Service) -> dict[str, Who]:
    """ann and bob inspect, sue is senior, eva an engineer."""
    migrate(service.database)
    found = {}
    with service.database.write() as connection:
        for name, role in (
            ("ann", "inspector"),
            ("bob", "inspector"),
            ("sue", "senior"),
            ("eva", "engineer"),
        ):
            number = add_user(connection, name, role, PASSWORD)
            found[name] = Who(f"user:{number}", name, ROLES[role], user_id=number, role=role, csrf="x")
    return found


@pytest.fixture
def running(client: TestClient, inspectors: dict[str, Who]) -> TestClient:
    return client


@pytest.fixture
def log_in(running: TestClient) -> Callable[[str], Station]:
    """log_in("ann"): her station."""

    def enter(name: str) -> Station:
        client = TestClient(running.app)
        answer = client.post("/login", data={"name": name, "password": PASSWORD}, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        page = client.get("/review", headers={"accept": "text/html"}).text
        return Station(client, page.split('name="csrf" content="')[1].split('"')[0])

    return enter


@pytest.fixture
def queue(
    client: TestClient, service: Service, png: Callable[..., bytes], inspectors: dict[str, Who]
) -> list[str]:
    """Ids of six inspected images with defects, shipped to the database, and of six that PASS."""
    from service.store.ship import Shipper

    ids = []
    for i in range(12):
        defect = 0.3 + i * 0.02 if i < 6 else 0.0
        answer = client.post(
            f"/api/v1/inspect?wafer_id=W{i % 3}&inspection_point={i}&layer=M1&lot=L1",
            content=png(5000 + i, defect),
        )
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["id"])
    shipper = Shipper(service.journal, service.database, service.images)
    while shipper.ship():
        pass
    return ids
