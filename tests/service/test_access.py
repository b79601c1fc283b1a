"""Who may do what: keys, people, sessions, forged requests, headers, limits."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth import keys, people
from service.limits import Limits
from service.models import Version
from service.settings import Settings
from service.state import Service
from service.store.migrate import migrate
from service.store.tables import api_keys, users

Png = Callable[..., bytes]
PLACE = {"wafer_id": "W1", "inspection_point": "1"}
PASSWORD = "correct horse battery"


@pytest.fixture
def visitor(service: Service) -> Iterator[TestClient]:
    """A browser that nobody is logged in with."""
    migrate(service.database)
    with service.database.write() as connection:
        for name, role in (("ina", "inspector"), ("ada", "admin")):
            people.add_user(connection, name, role, PASSWORD)
    with TestClient(create_app(service), follow_redirects=False) as client:
        yield client


def log_in(client: TestClient, name: str, password: str = PASSWORD) -> int:
    return client.post("/login", data={"name": name, "password": password}).status_code


def test_a_key_does_what_its_scopes_say(client: TestClient, service: Service, png: Png) -> None:
    with service.database.write() as connection:
        reader = keys.make_key(connection, "reader", ["read"])
        sender = keys.make_key(connection, "sender", ["inspect"], tools=["CDSEM-3"])
    service.keys.refresh(service.database)

    def post(key: str, **about: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return client.post(
            "/api/v1/inspect", params={**PLACE, **about}, content=png(1), headers=headers
        ).status_code

    assert post(reader) == 403
    assert post(sender, tool="CDSEM-3") == 200
    assert post(sender, tool="CDSEM-4") == 403 and post(sender) == 403
    assert client.get("/api/v1/wafers/W1", headers={"Authorization": f"Bearer {sender}"}).status_code == 403


def test_a_rotated_key_goes_on_for_a_while_and_a_revoked_one_does_not(service: Service) -> None:
    migrate(service.database)
    with service.database.write() as connection:
        old = keys.make_key(connection, "tool", ["inspect"])
        new = keys.rotate_key(connection, old.split("_")[1], overlap_s=0.2)
    service.keys.refresh(service.database)
    assert service.keys.who(old) is not None
    found = service.keys.who(new)
    assert found is not None and found.name == "tool", "idempotency keys belong to the name and survive"
    time.sleep(0.25)
    assert service.keys.who(old) is None and service.keys.who(new) is not None
    with service.database.write() as connection:
        keys.revoke_key(connection, new.split("_")[1])
    service.keys.refresh(service.database)
    assert service.keys.who(new) is None


def test_secrets_are_kept_as_hashes_only(service: Service) -> None:
    migrate(service.database)
    with service.database.write() as connection:
        key = keys.make_key(connection, "tool", ["inspect"])
        people.add_user(connection, "ina", "inspector", PASSWORD)
        row = connection.execute(api_keys.select()).mappings().one()
        assert key.split("_")[2] not in str(dict(row))
        hashed = connection.execute(users.select()).mappings().one()["password"]
    assert hashed.startswith("$argon2id$") and PASSWORD not in hashed


def test_keys_are_known_while_the_database_is_away(settings: Settings, version: Version) -> None:
    settings.data.mkdir()
    first = open_service(settings, version)
    migrate(first.database)
    with first.database.write() as connection:
        key = keys.make_key(connection, "tool", ["inspect"])
    first.keys.refresh(first.database)
    first.journal.close()
    away = replace(settings, database_url="postgresql://nobody@127.0.0.1:1/none")
    with TestClient(
        create_app(open_service(away, version)), headers={"Authorization": f"Bearer {key}"}
    ) as client:
        assert client.get("/readyz").status_code == 200
        answered = client.post("/api/v1/inspect", params=PLACE, content=b"no image")
        assert answered.status_code == 200 and answered.json()["decision"] == "REVIEW"


def test_a_person_logs_in_and_out(visitor: TestClient) -> None:
    assert (
        visitor.get("/api/v1/inspections/x/image", headers={"accept": "text/html"}).headers["location"]
        == "/login"
    )
    assert log_in(visitor, "ina", "wrong password") == 401 and log_in(visitor, "nobody") == 401
    assert log_in(visitor, "ina") == 303
    cookie = visitor.cookies.jar.__iter__().__next__()
    assert cookie.has_nonstandard_attr("HttpOnly") and "strict" in str(cookie._rest).lower()  # type: ignore[attr-defined]
    assert visitor.get("/api/v1/inspections/x/image").status_code == 404, "may look, and there is nothing"
    assert visitor.get("/api/v1/inspections/x").status_code == 401, (
        "results are for programs: reviews are blind"
    )
    assert visitor.post("/api/v1/inspect", params=PLACE, content=b"x").status_code == 401, (
        "a cookie sends no images"
    )


def test_an_account_is_locked_after_wrong_passwords(visitor: TestClient) -> None:
    assert [log_in(visitor, "ina", f"guess number {number}") for number in range(5)] == [401] * 5
    assert log_in(visitor, "ina") == 401, "the right password does not help for some minutes"
    assert log_in(visitor, "ada") == 303


def test_a_form_of_another_site_is_refused(visitor: TestClient, service: Service) -> None:
    log_in(visitor, "ina")
    assert visitor.post("/logout").status_code == 403
    assert visitor.post("/logout", data={"csrf": "guess"}).status_code == 403
    who = people.who_of_session(service.database, visitor.cookies["waferroute_session"])
    assert who is not None and who.csrf is not None
    foreign = {"sec-fetch-site": "cross-site", "x-csrf-token": who.csrf}
    assert visitor.post("/logout", headers=foreign).status_code == 403
    assert (
        visitor.post("/login", data={"name": "ina", "password": PASSWORD}, headers=foreign).status_code == 403
    )
    assert visitor.post("/logout", data={"csrf": who.csrf}).status_code == 303
    assert people.who_of_session(service.database, visitor.cookies.get("waferroute_session", "gone")) is None


def test_a_changed_role_or_password_ends_the_sessions(visitor: TestClient, service: Service) -> None:
    log_in(visitor, "ina")
    with service.database.write() as connection:
        people.change_user(connection, "ina", role="auditor")
    assert visitor.get("/api/v1/inspections/x/image").status_code == 401


def test_every_answer_carries_the_headers_that_make_browsers_careful(visitor: TestClient) -> None:
    for path in ("/login", "/healthz", "/api/docs", "/nowhere"):
        headers = visitor.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    page = visitor.get("/login").text
    assert not re.search(r"<script|style=|https?://", page)


def test_who_sends_too_much_is_told_to_wait(client: TestClient, service: Service) -> None:
    service.limits = Limits(rate=1, burst=3)
    statuses = [client.get("/api/v1/wafers/none").status_code for _ in range(5)]
    assert statuses == [404, 404, 404, 429, 429]
    assert int(client.get("/api/v1/wafers/none").headers["retry-after"]) >= 1


def test_too_many_headers_and_too_long_addresses_are_refused(client: TestClient) -> None:
    assert client.get("/healthz", headers={f"x-{n}": "1" for n in range(80)}).status_code == 431
    assert client.get("/healthz", headers={"x-long": "1" * 40_000}).status_code == 431
    refused = client.get("/healthz", params={"x": "1" * 9000})
    assert refused.status_code == 414 and "content-security-policy" in refused.headers


def test_roles_and_scopes_are_refused_when_unknown(service: Service) -> None:
    migrate(service.database)
    with pytest.raises(Exception, match="roles are"), service.database.write() as connection:
        people.add_user(connection, "x", "god", PASSWORD)
    with pytest.raises(Exception, match="at least 10"), service.database.write() as connection:
        people.add_user(connection, "x", "admin", "short")
    with pytest.raises(Exception, match="scopes of a key"), service.database.write() as connection:
        keys.make_key(connection, "x", ["everything"])
