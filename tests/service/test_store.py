"""Schema, journal, shipping, retention: what is kept, once, and for how long."""

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from starlette.testclient import TestClient

from service.decide.rules import Retention, SiteRules
from service.retention import DAY_S, sweep
from service.state import Service
from service.store import record
from service.store.database import Database, sqlite_url
from service.store.evidence import deflated, pack_latent, pack_map, unpack_latent, unpack_map
from service.store.journal import Entry, Journal
from service.store.migrate import migrate
from service.store.ship import Shipper
from service.store.tables import attempts, inspections, metadata, wafers
from service.store.verify import verify


def test_the_migrations_lead_to_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "x.db"))
    migrate(database)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@given(arrays(np.float32, (6, 9), elements=st.floats(0, 2**20, width=32)))
def test_maps_come_back_with_three_digits(anomaly_map: np.ndarray) -> None:
    packed = pack_map(anomaly_map)
    small = deflated(packed)
    assert packed is not None and small is not None
    np.testing.assert_allclose(unpack_map(packed), np.minimum(anomaly_map, 65504), rtol=1e-3, atol=1e-7)
    np.testing.assert_array_equal(unpack_map(small), unpack_map(packed))


@given(arrays(np.float32, 128, elements=st.floats(width=32)))
def test_latents_come_back_as_they_were(latent: np.ndarray) -> None:
    packed = pack_latent(latent)
    assert packed is not None
    np.testing.assert_array_equal(unpack_latent(packed), latent)


def row(made: str, decision: str, node: str) -> dict[str, object]:
    values: dict[str, object] = dict.fromkeys((*record.DIGESTED, *record.CARRIED))
    body = hashlib.sha256(b"image").hexdigest()
    return values | {
        "id": made, "wafer_id": "W", "point": "1", "received_at": 1.0, "image_sha256": body, "decision": decision,
        "model_decision": decision, "reasons": [], "route": "lowres", "score": 0.5, "review_above": 1.0, "version": "v",
        "bundle": "b", "node": node, "inference_ms": 1.0, "steps_ms": {}, "image_bytes": 5, "image_format": "png",
    }  # fmt: skip


def entry(made: str, decision: str, node: str) -> Entry:
    content = row(made, decision, node)
    return Entry(
        made, None, made, str(content["image_sha256"]), b"{}", record.canonical(content), b"image", None, None
    )


def test_of_two_nodes_answers_the_stricter_one_counts_and_both_are_kept(
    service: Service, tmp_path: Path
) -> None:
    migrate(service.database)
    other = Journal(tmp_path / "other", "b")

    async def both() -> None:
        await service.journal.keep(entry("one", "PASS", "a"))
        await other.keep(entry("one", "REVIEW", "b"))

    asyncio.run(both())
    first, second = (
        Shipper(journal, service.database, service.images) for journal in (service.journal, other)
    )
    assert first.ship() == 1
    first.seal(now=True)
    assert second.ship() == 1 and second.conflicts == 1
    second.seal(now=True)
    with service.database.read() as connection:
        kept = connection.execute(sa.select(inspections)).mappings().one()
        assert (kept["decision"], kept["model_decision"], kept["node"]) == ("REVIEW", "PASS", "a")
        assert connection.execute(sa.select(attempts.c.decision)).scalars().all() == ["REVIEW"]
        counts = connection.execute(sa.select(wafers.c.passed, wafers.c.review)).one()
    assert tuple(counts) == (0, 1)
    assert verify(service.database, service.images).problems == (), "restated, and the trail says so"
    other.close()


def test_shipping_the_same_entries_again_changes_nothing(service: Service) -> None:
    migrate(service.database)
    asyncio.run(service.journal.keep(entry("one", "REJECT", "a")))
    shipper = Shipper(service.journal, service.database, service.images)
    with service.database.write() as connection:  # as if the process died before the cursor moved
        shipper._insert(connection, service.journal.after(0))
    assert shipper.ship() == 1 and shipper.ship() == 0
    with service.database.read() as connection:
        assert connection.execute(sa.select(wafers.c.rejected)).scalar_one() == 1
        assert connection.execute(sa.select(sa.func.count()).select_from(attempts)).scalar_one() == 0


def test_retention_removes_what_the_rules_let_go_and_nothing_else(
    client: TestClient, service: Service, png: Callable[..., bytes]
) -> None:
    answers = []
    for number in range(8):
        content = png(number, 0.5 if number == 3 else 0.0)
        params = {"wafer_id": "W", "inspection_point": number}
        answers.append(client.post("/api/v1/inspect", params=params, content=content).json())
    decisions = {answer["id"]: answer["decision"] for answer in answers}
    assert set(decisions.values()) >= {"PASS"} and len(set(decisions.values())) > 1
    deadline = time.monotonic() + 30
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.02)
    service.rules = SiteRules(retention=Retention(pass_days=30, days=3650))
    assert sum(sweep(service).values()) == 0, "nothing is old enough"
    removed = sweep(service, time.time() + 31 * DAY_S)
    passed = sum(decision == "PASS" for decision in decisions.values())
    assert removed == {"pass_days": passed, "days": 0, "budget": 0}
    for made, decision in decisions.items():
        status = client.get(f"/api/v1/inspections/{made}/image").status_code
        assert status == (410 if decision == "PASS" else 200), "the row stays, the image is gone"
        assert client.get(f"/api/v1/inspections/{made}").status_code == 200
    assert verify(service.database, service.images).problems == ()


def on_disk(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_budget_takes_the_oldest_pass_images_and_never_evidence(
    client: TestClient, service: Service, png: Callable[..., bytes]
) -> None:
    for number in range(6):
        params = {"wafer_id": "W", "inspection_point": number}
        client.post("/api/v1/inspect", params=params, content=png(number, 0.5 if number == 0 else 0.0))
    deadline = time.monotonic() + 30
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.02)
    used = on_disk(service.settings.images)
    service.settings = replace(service.settings, image_budget=used // 2)
    assert sweep(service)["budget"] >= 2
    assert on_disk(service.settings.images) <= used // 2
    service.settings = replace(service.settings, image_budget=1)
    sweep(service)
    assert "none may be removed" in service.notes["retention"], "it says so instead of deleting evidence"
    first = client.get("/api/v1/wafers/W").json()["inspections"][0]
    assert client.get(f"/api/v1/inspections/{first['id']}/image").status_code == 200
