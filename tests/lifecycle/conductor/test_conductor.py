"""Shadow, canary and drift on a real worker with a real database."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from lifecycle.conductor import drift as drift_module
from lifecycle.conductor import drift_wafers as drift_wafers_module
from lifecycle.conductor.canary import COMPLETE_AFTER_S, audited, look, start_canary, wafers_of
from lifecycle.conductor.differences import differences
from lifecycle.conductor.drift import check_drift
from lifecycle.conductor.drift_accepted import accept_drift, read_where
from lifecycle.conductor.drift_state import keep_look
from lifecycle.conductor.drift_wafers import summarise_wafers
from lifecycle.conductor.drift_wafers import wafers_of as wafers_of_streams
from lifecycle.conductor.shadow import Shadow, start_shadow, stop_shadow
from lifecycle.drift.fab import Alarm, Look
from lifecycle.drift.wafer_summary import Stream
from lifecycle.drift.watches import Finding
from router.canary import arm_of
from service.app import open_service
from service.settings import Settings
from service.state import Service
from service.store.evidence import pack_latent
from service.store.migrate import migrate
from service.store.ship import Shipper
from service.store.tables import drift_checks, inspections, rollouts, shadow_scores
from service.versions.folder import VersionFolder
from service.versions.follow import Follower, first_version
from tests.lifecycle.conftest import answering
from tests.service.conftest import png
from wafer_data.errors import InputError


@pytest.fixture
def service(folder: VersionFolder) -> Service:
    version, _ = first_version(folder)
    return open_service(Settings(data=folder.path.parent, node="a"), version)


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with answering(service) as running:
        yield running


def send(client: TestClient, count: int, wafer: str = "W1", first: int = 0) -> list[str]:
    ids = []
    for i in range(first, first + count):
        path = f"/api/v1/inspect?wafer_id={wafer}&inspection_point={i}&tool=T1&layer=M1"
        answer = client.post(path, content=png(7000 + i, 0.4 * (i % 2)))
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["id"])
    return ids


def ship(service: Service) -> None:
    shipper = Shipper(service.journal, service.database, service.images)
    while shipper.ship():
        pass


class TestShadow:
    def test_it_scores_what_production_decides_and_decides_nothing(
        self, client: TestClient, service: Service, folder: VersionFolder
    ):
        start_shadow(folder, "v1.1.0")
        shadow = Shadow(service)
        shadow.close()  # by hand, not by its thread
        shadow.look()
        service.after.append(shadow.take)
        ids = send(client, 8)
        assert shadow.score_waiting() == 8
        ship(service)
        assert shadow.write() == 8
        assert shadow.write() == 0
        found = differences(service.database, "vae-wafer-v1.1.0")
        assert (found["compared"], found["inspected"], found["share"]) == (8, 8, 1.0)
        assert sum(n for row in found["confusion"].values() for n in row.values()) == 8
        assert found["by_tool"]["T1"]["compared"] == 8
        with service.database.read() as connection:
            versions = set(connection.execute(sa.select(inspections.c.version)).scalars())
            scored = set(connection.execute(sa.select(shadow_scores.c.inspection_id)).scalars())
        assert versions == {"vae-wafer-v1.0.0"}
        assert scored == set(ids)

    def test_what_it_cannot_keep_up_with_is_dropped_and_the_share_is_said(
        self, client: TestClient, service: Service, folder: VersionFolder
    ):
        start_shadow(folder, "v1.1.0")
        shadow = Shadow(service)
        shadow.close()
        shadow.look()
        shadow._waiting = type(shadow._waiting)(maxlen=3)
        service.after.append(shadow.take)
        send(client, 6)
        shadow.score_waiting()
        ship(service)
        shadow.write()
        assert differences(service.database, "vae-wafer-v1.1.0")["share"] == 0.5

    def test_a_shadow_that_does_not_load_leaves_the_worker_alone(
        self, client: TestClient, service: Service, folder: VersionFolder
    ):
        start_shadow(folder, "v1.1.0")
        (folder.bundle("vae-wafer-v1.1.0") / "full.onnx").write_bytes(b"x")
        shadow = Shadow(service)
        shadow.close()
        shadow.look()
        service.after.append(shadow.take)
        assert len(send(client, 2)) == 2
        assert shadow.score_waiting() == 0

    def test_it_ends_when_it_is_told_to(self, service: Service, folder: VersionFolder):
        start_shadow(folder, "v1.1.0")
        stop_shadow(folder)
        shadow = Shadow(service)
        shadow.close()
        shadow.look()
        assert shadow._version is None

    def test_production_is_no_shadow_of_itself(self, folder: VersionFolder):
        with pytest.raises(InputError, match="its own shadow"):
            start_shadow(folder, "v1.0.0")


def insert(service: Service, rows: list[dict]) -> None:
    """Inspections as production leaves them behind, without their images: thousands of those say nothing more."""
    from service.store.tables import images, wafers

    now = time.time()
    usual = {
        "point": "1", "model_decision": "PASS", "reasons": [], "route": "lowres", "score": 0.0, "bundle": "b",
        "node": "a", "inference_ms": 1.0, "steps_ms": {}, "digest": "d", "image_sha256": "0" * 64, "tool": "T1",
        "layer": "M1", "received_at": now - 2 * COMPLETE_AFTER_S, "version": "vae-wafer-v1.0.0", "decision": "PASS",
        "rollout_id": None, "arm": None, "verdict": None, "audit_share": None, "lot": None, "latent": None,
        "recipe": None,
    }  # fmt: skip
    with service.database.write() as connection:
        connection.execute(
            service.database.insert_new(images).values(sha256="0" * 64, bytes=1, format="png", stored_at=now)
        )
        names = {row["wafer_id"] for row in rows}
        connection.execute(
            service.database.insert_new(wafers),
            [
                {
                    "wafer_id": n,
                    "lot": None,
                    "first_at": now,
                    "last_at": now,
                    "passed": 0,
                    "review": 0,
                    "rejected": 0,
                }
                for n in names
            ],
        )
        filled = [{**usual, **row, "id": f"{i:036d}", "entry": i} for i, row in enumerate(rows)]
        connection.execute(sa.insert(inspections), filled)


ROLLOUT = "a-fixed-rollout"
"""Its name draws the wafers: with another one each time, an equal version differs once in a hundred runs."""


def begin_canary(folder: VersionFolder, share: float = 0.3, promote: bool = False) -> None:
    start_canary(
        folder, "v1.1.0", share=share, days=7, by="eva", reason="try", promote=promote, rollout=ROLLOUT
    )


def rollout_rows(folder: VersionFolder, factor: float, wafers: int = 500, images: int = 20) -> list[dict]:
    pointer = folder.pointer()
    assert pointer is not None and pointer.canary is not None
    rng, rows = np.random.default_rng(3), []
    for w in range(wafers):
        arm = arm_of(pointer.canary.rollout, f"W{w}", pointer.canary.share)
        rate = 0.03 * np.exp(rng.normal(0, 0.4)) * (factor if arm == "canary" else 1)
        for reject in rng.random(images) < rate:
            decision = "REJECT" if reject else "PASS"
            rows.append(
                {"wafer_id": f"W{w}", "arm": arm, "rollout_id": pointer.canary.rollout, "decision": decision}
            )
    return rows


class TestCanary:
    def test_an_equal_version_goes_on_and_is_promoted_at_its_end_if_asked_for(
        self, service: Service, folder: VersionFolder
    ):
        migrate(service.database)
        begin_canary(folder, promote=True)
        insert(service, rollout_rows(folder, 1.0))
        first = look(service.database, folder)
        assert first is not None and first.action == "go on"
        assert folder.pointer().canary is not None  # type: ignore[union-attr]
        last = look(service.database, folder, time.time() + 8 * 86400)
        assert last is not None and last.action == "promote"
        assert folder.pointer().champion == "vae-wafer-v1.1.0"  # type: ignore[union-attr]
        assert look(service.database, folder) is None
        with service.database.read() as connection:
            row = connection.execute(sa.select(rollouts)).mappings().one()
        assert row["state"] == "promoted"
        assert [one["action"] for one in row["looks"]] == ["go on", "promote"]

    def test_a_version_whose_gate_said_no_meanwhile_is_not_promoted_at_its_end_but_taken_back(
        self, service: Service, folder: VersionFolder
    ):
        migrate(service.database)
        begin_canary(folder, promote=True)
        insert(service, rollout_rows(folder, 1.0))
        folder.set_gate("v1.1.0", {"passed": False, "reasons": ["it lost blowholes"]})
        look(service.database, folder, time.time() + 8 * 86400)
        pointer = folder.pointer()
        assert (pointer.champion, pointer.canary) == ("vae-wafer-v1.0.0", None)
        assert "lost blowholes" in pointer.reason
        with service.database.read() as connection:
            assert connection.execute(sa.select(rollouts.c.state)).scalar_one() == "rolled_back"

    def test_a_worse_version_is_taken_back_by_itself_and_the_evidence_is_kept(
        self, service: Service, folder: VersionFolder
    ):
        migrate(service.database)
        begin_canary(folder)
        insert(service, rollout_rows(folder, 5.0))
        judged = look(service.database, folder)
        assert judged is not None and judged.action == "roll back"
        pointer = folder.pointer()
        assert pointer is not None
        assert (pointer.champion, pointer.canary, pointer.by) == ("vae-wafer-v1.0.0", None, "guardrail")
        assert "reject" in pointer.reason

    def test_misses_are_counted_at_the_same_rate_as_catches(self, service: Service, folder: VersionFolder):
        migrate(service.database)
        begin_canary(folder)
        rollout = folder.pointer().canary.rollout  # type: ignore[union-attr]
        caught = [
            {
                "wafer_id": "W1",
                "arm": "canary",
                "rollout_id": rollout,
                "decision": "REVIEW",
                "verdict": "defect",
            }
            for _ in range(1000)
        ]
        audits = [
            {
                "wafer_id": "W1",
                "arm": "canary",
                "rollout_id": rollout,
                "audit_share": 0.05,
                "verdict": "defect",
            }
            for _ in range(10)
        ]
        insert(service, caught + audits)
        from service.review.tasks import open_task

        with service.database.write() as connection:
            for i in range(1000, 1010):
                open_task(connection, service.database, f"{i:036d}", "audit", 0.0, time.time())
        with service.database.read() as connection:
            found = audited(connection, rollout)
        assert sum(found) == 10
        assert abs((len(found) - 10) - 50) < 4 * (1000 * 0.05 * 0.95) ** 0.5
        judged = look(service.database, folder)
        assert judged is not None and judged.action == "roll back"
        assert "misses too much" in judged.text

    def test_wafers_that_still_run_do_not_count_yet(self, service: Service, folder: VersionFolder):
        migrate(service.database)
        now = time.time()
        insert(service, [{"wafer_id": "W1", "arm": "canary", "rollout_id": "r", "received_at": now}])
        with service.database.read() as connection:
            assert wafers_of(connection, "r", now) == []
            assert len(wafers_of(connection, "r", now + COMPLETE_AFTER_S + 1)) == 1

    def test_no_wafer_is_decided_by_two_versions_over_a_restart(
        self, client: TestClient, service: Service, folder: VersionFolder
    ):
        begin_canary(folder, share=0.5)
        for restart in range(2):
            Follower(folder, service.models, f"w{restart}").look()
            for w in range(6):
                send(client, 2, f"W{w}", first=100 * restart)
        ship(service)
        with service.database.read() as connection:
            query = sa.select(inspections.c.wafer_id, sa.func.count(sa.distinct(inspections.c.version)))
            counts = dict(connection.execute(query.group_by(inspections.c.wafer_id)).all())
        assert set(counts.values()) == {1}


class TestDrift:
    @pytest.mark.parametrize(("shift", "found"), [(0.0, 0), (3.0, 1)])
    def test_a_stream_that_moved_is_found_and_one_that_did_not_is_not(
        self, service: Service, folder: VersionFolder, shift: float, found: int
    ):
        migrate(service.database)
        rng, rows, now = np.random.default_rng(5), [], time.time()
        for w in range(75):
            own = rng.normal(0, 0.3) + (shift if w >= 60 else 0.0)
            latent = pack_latent(rng.normal(0, 1, 4).astype(np.float32))
            for score in rng.normal(own, 1, 12):
                at = now - (100 - w) * 3600
                rows.append(
                    {"wafer_id": f"W{w:03d}", "score": float(score), "received_at": at, "latent": latent}
                )
        insert(service, rows)
        current = service.models.current()
        raised = check_drift(service.database, current.name, current.inspector, now)
        assert len(raised) == found
        with service.database.read() as connection:
            kept = connection.execute(sa.select(sa.func.count()).select_from(drift_checks)).scalar_one()
        assert kept >= 2

    def test_an_alarm_of_a_group_is_kept_although_no_stream_of_it_is_sure_alone(
        self, service: Service, folder: VersionFolder, monkeypatch: pytest.MonkeyPatch
    ):
        migrate(service.database)
        streams = [Stream(f"T{i}", "M1", "default") for i in range(3)]
        weak = [Finding("scores", 1e-3 * (1 + i), 0.4, "higher", (60, 15)) for i in range(2)]
        look = Look(
            dict.fromkeys(streams, weak), 1e-6, (Alarm("everywhere", "", tuple(streams[:2]), "drift"),)
        )
        monkeypatch.setattr(drift_module, "look_at_fab", lambda *_: look)
        current = service.models.current()
        check_drift(service.database, current.name, current.inspector)
        with service.database.read() as connection:
            rows = connection.execute(sa.select(drift_checks)).mappings().all()
        alarmed = [(row["figures"]["tool"], row["p"]) for row in rows if row["alarm"]]
        assert alarmed == [("T0", 1e-3), ("T1", 1e-3)]

    def test_what_watches_said_long_ago_is_let_go_of_and_alarms_are_not(self, service: Service):
        migrate(service.database)
        alarm = {"cause": "tool", "where": "T1", "text": "drift", "p": 1e-9, "streams": []}
        row = {"recipe": "r", "what": "level", "statistic": 1.0, "p": 0.5, "alarm": False, "figures": {}}
        day = 86400.0
        for at in (0.0, day, 9 * day):
            with service.database.write() as connection:
                keep_look(connection, "v1", at, [alarm], [row])
        with service.database.read() as connection:
            kept = connection.execute(sa.select(drift_checks.c.at, drift_checks.c.what)).all()
        assert [at for at, what in kept if what == "level"] == [day, 9 * day]
        assert [at for at, what in kept if what == "alarm"] == [0.0, day, 9 * day]

    def test_how_images_look_is_kept_and_summed_up_by_wafer(self, client: TestClient, service: Service):
        send(client, 5, "W1")
        send(client, 3, "W2", first=5)
        ship(service)
        version, now = service.models.current().name, time.time()
        with service.database.read() as connection:
            kept = connection.execute(sa.select(inspections.c.appearance)).scalars().all()
        assert all(0.4 < one["mean"] < 0.6 and one["sharpness"] > 0 for one in kept)
        assert summarise_wafers(service.database, version, now) == 0  # both still run
        later = now + COMPLETE_AFTER_S + 60
        assert summarise_wafers(service.database, version, later) == 2
        assert summarise_wafers(service.database, version, later) == 0
        send(client, 1, "W1", first=8)
        ship(service)
        assert summarise_wafers(service.database, version, later + 3600) == 1
        ((_, wafers),) = wafers_of_streams(service.database, version, 0.0).items()
        found = {wafer.wafer: wafer for _, wafer in wafers}
        assert {name: wafer.images for name, wafer in found.items()} == {"W1": 6, "W2": 3}
        assert found["W1"].flagged > 0
        assert abs(float(np.exp(found["W2"].appearance[0])) - 0.5) < 0.1

    def test_wafers_are_summed_up_in_groups_of_so_many_images(
        self, client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
    ):
        for number in range(4):
            send(client, 2, f"W{number}", first=2 * number)
        ship(service)
        groups: list[list[str]] = []
        whole = drift_wafers_module._summarise
        monkeypatch.setattr(
            drift_wafers_module,
            "_summarise",
            lambda database, version, wafers, now: (
                groups.append(wafers),
                whole(database, version, wafers, now),
            ),
        )
        monkeypatch.setattr(drift_wafers_module, "_AT_ONCE", 5)
        version, later = service.models.current().name, time.time() + COMPLETE_AFTER_S + 60
        assert summarise_wafers(service.database, version, later) == 4
        assert [len(group) for group in groups] == [2, 2]
        assert summarise_wafers(service.database, version, later) == 0

    def test_what_a_person_accepts_is_the_new_usual(self, service: Service, folder: VersionFolder):
        migrate(service.database)
        rng, rows, now = np.random.default_rng(6), [], time.time()
        for w in range(100):
            own = rng.normal(0, 0.3) + (3.0 if w >= 60 else 0.0)
            at = now - (100 - w) * 3600
            rows += [
                {"wafer_id": f"W{w:03d}", "score": float(score), "received_at": at, "captured_at": at}
                for score in rng.normal(own, 1, 12)
            ]
        insert(service, rows)
        current = service.models.current()
        assert len(check_drift(service.database, current.name, current.inspector, now)) == 1
        accept_drift(
            service.database, current.name, read_where("everywhere"), "a new lamp", now - 40.5 * 3600
        )
        assert check_drift(service.database, current.name, current.inspector, now + 1) == []
        with pytest.raises(InputError, match="nothing to accept"):
            accept_drift(service.database, current.name, read_where("tool=T9"), "?", now)

    @pytest.mark.parametrize("text", ["", "tool", "tool=", "colour=red", "tool=a,tool=b"])
    def test_what_cannot_be_accepted_is_said(self, text: str):
        with pytest.raises(InputError, match="names nothing"):
            read_where(text)
