"""What people said becomes a data set that a run takes, and evidence that says no more than it knows."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from scipy.stats import binomtest
from starlette.testclient import TestClient

from service.auth.who import ROLES, Who
from service.feedback import export_feedback, folder_of
from service.feedback_evidence import _rate
from service.review.masks import mask_of
from service.review.tasks import Said, give_verdict, lease_next, open_task
from service.state import Service
from service.store.image_files import ImageFiles
from service.store.ship import Shipper
from service.store.tables import escapes, inspections, users
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.files import sha256_file
from wafer_data.listing import NORMAL_NAMES
from wafer_data.sources.files import is_mask_folder
from wafer_data.sources.layouts import find_images

BOX = {"boxes": [[0.25, 0.5, 0.5, 0.75]]}


class Fab:
    """Images that were inspected and shipped, and people who say things of them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.people: dict[str, Who] = {}
        with service.database.write() as connection:
            for number, (name, role) in enumerate(
                [("ann", "inspector"), ("bob", "inspector"), ("sue", "senior")], 1
            ):
                connection.execute(
                    sa.insert(users).values(id=number, name=name, role=role, active=True, created_at=0.0)
                )
                self.people[name] = Who(
                    f"user:{number}", name, ROLES[role], user_id=number, role=role, csrf="x"
                )

    def say(self, who: str, inspection: str, said: Said, kind: str = "review") -> None:
        with self.service.database.write() as connection:
            open_task(connection, self.service.database, inspection, kind, 1e9, time.time())
        task = next(
            t for t in lease_next(self.service.database, self.people[who], 4) if t.row["id"] == inspection
        )
        give_verdict(self.service.database, self.people[who], task.seq, said)

    def export(self, out: Path, **more: int) -> dict:
        return export_feedback(self.service.database, ImageFiles(self.service.settings.images), out, **more)


@pytest.fixture
def fab(service: Service, client: TestClient, png: Callable[..., bytes]) -> tuple[Fab, list[str]]:
    """Twelve images of four wafers that nobody has looked at yet."""
    ids = []
    for i in range(12):
        place = f"wafer_id=W{i % 4}&inspection_point={i}&lot=L1&tool=T1&layer=M1"
        answer = client.post(f"/api/v1/inspect?{place}", content=png(7000 + i, 0.4 if i >= 9 else 0.0))
        ids.append(answer.json()["id"])
    shipper = Shipper(service.journal, service.database, service.images)
    while shipper.ship():
        pass
    return Fab(service), ids


def files(out: Path, part: str) -> list[Path]:
    return sorted(path for path in (out / part).rglob("*") if path.is_file())


def provenance(out: Path) -> dict[str, dict]:
    made = json.loads((out / "provenance.json").read_text())["images"]
    return {each["id"]: one for one in made for each in one["inspections"]}


def test_verdicts_become_a_data_set_with_masks_and_provenance(fab: tuple[Fab, list[str]], tmp_path: Path):
    people, ids = fab
    for name in ids[:8]:
        people.say("ann", name, Said("good"))
    people.say("ann", ids[9], Said("defect", "Scratch / deep", mask=mask_of(BOX)))
    people.say("bob", ids[10], Said("defect", None))
    out = tmp_path / "out"
    found = people.export(out)
    assert found["train_good"] + found["test_good"] == 8 and found["test_good"] >= 1
    assert found["defects"] == {"scratch_deep": 1, "defect": 1} and found["masks"] == 1
    (mask,) = files(out, "ground_truth")
    (image,) = files(out, "test/scratch_deep")
    assert mask.name == f"{image.stem}_mask.png"
    pixels = np.asarray(Image.open(mask))
    assert pixels.shape == Image.open(image).size[::-1]
    assert pixels.mean() == pytest.approx(255 / 16, rel=0.05)
    told = provenance(out)[ids[9]]
    assert told["sha256"] == sha256_file(out / told["file"])
    (inspection,) = told["inspections"]
    assert (inspection["wafer_id"], inspection["tool"], inspection["version"]) == ("W1", "T1", "v1.0.0")
    (said,) = inspection["said"]
    assert (said["user"], said["verdict"], said["defect"], said["drew"]) == (
        1,
        "defect",
        "Scratch / deep",
        True,
    )
    assert "ann" not in (out / "provenance.json").read_text()


def test_the_reader_of_data_sets_takes_it_as_it_is(fab: tuple[Fab, list[str]], tmp_path: Path):
    people, ids = fab
    for name in ids[:8]:
        people.say("ann", name, Said("good"))
    people.say("ann", ids[9], Said("defect", "good", mask=mask_of(BOX)))
    people.export(tmp_path / "out")
    problems: list = []
    found = find_images(DataConfig(format="mvtec", root=str(tmp_path / "out")), problems)
    assert problems == []
    assert sorted((one.side, one.label) for one in found).count(("test", 1)) == 1
    assert sum(one.label == 0 for one in found) == 8
    assert sum(one.mask is not None for one in found) == 1


def test_a_wafer_lies_on_one_side_only(fab: tuple[Fab, list[str]], tmp_path: Path):
    people, ids = fab
    for name in ids[:8]:
        people.say("ann", name, Said("good"))
    people.export(tmp_path / "out")
    sides: dict[str, set[str]] = {}
    for one in provenance(tmp_path / "out").values():
        sides.setdefault(one["inspections"][0]["wafer_id"], set()).add(one["file"].split("/")[0])
    assert all(len(side) == 1 for side in sides.values())


def test_disputes_escapes_and_planted_defects_are_never_good(fab: tuple[Fab, list[str]], tmp_path: Path):
    people, ids = fab
    for name in ids[:6]:
        people.say("ann", name, Said("good"))
    people.say("bob", ids[0], Said("unsure"), kind="double")
    people.say("bob", ids[1], Said("defect"), kind="double")
    with people.service.database.write() as connection:
        by_id = {"wafer_id": "W2", "inspection_id": ids[2], "point": None}
        by_place = {"wafer_id": "W3", "inspection_id": None}
        point = connection.execute(
            sa.select(inspections.c.point).where(inspections.c.id == ids[3])
        ).scalar_one()
        for one in (by_id | {"wafer_id": "elsewhere"}, by_place | {"point": point}):
            connection.execute(sa.insert(escapes).values(actor="key:a", at=0.0, **one))
    found = people.export(tmp_path / "out")
    assert set(provenance(tmp_path / "out")) == {ids[4], ids[5]}
    assert sum(found["left_out"].values()) == 4


def test_at_most_so_many_an_hour_of_a_tool_and_lot(fab: tuple[Fab, list[str]], tmp_path: Path):
    people, ids = fab
    for name in ids[:8]:
        people.say("ann", name, Said("good"))
    people.say("ann", ids[9], Said("defect", "particle"))
    found = people.export(tmp_path / "out", per_hour=2)
    # the twelve images may lie on both sides of a full hour
    assert 2 <= found["train_good"] + found["test_good"] <= 4
    assert found["defects"] == {"particle": 1}


def test_written_whole_or_not_at_all(
    fab: tuple[Fab, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    people, ids = fab
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no image that people called good"):
        people.export(out)
    for name in ids[:3]:
        people.say("ann", name, Said("good"))

    def broken(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("service.feedback._write_image", broken)
        with pytest.raises(KeyboardInterrupt):
            people.export(out)
    assert list(tmp_path.glob("*out*")) == []
    people.export(out)
    with pytest.raises(InputError, match="exists"):
        people.export(out)


def test_an_image_that_was_changed_on_the_disk_is_left_out(fab: tuple[Fab, list[str]], tmp_path: Path):
    people, ids = fab
    for name in ids[:3]:
        people.say("ann", name, Said("good"))
    with people.service.database.read() as connection:
        sha = connection.execute(
            sa.select(inspections.c.image_sha256).where(inspections.c.id == ids[0])
        ).scalar_one()
    buffer = io.BytesIO()
    Image.new("L", (256, 256)).save(buffer, "PNG")
    ImageFiles(people.service.settings.images).path_of(sha).write_bytes(buffer.getvalue())
    assert people.export(tmp_path / "out")["left_out"] == {"missing or changed on the disk": 1}
    assert ids[0] not in provenance(tmp_path / "out")


@pytest.mark.parametrize(
    "name", [*sorted(NORMAL_NAMES), "Good", "../../etc", "masks", "ground_truth", "傷", "a" * 100]
)
def test_no_type_that_people_write_leaves_its_folder_or_says_good(name: str):
    found = folder_of(name)
    assert found not in NORMAL_NAMES and not is_mask_folder(found)
    assert found == Path(found).name and found.isascii()


def test_one_share_has_clopper_and_pearsons_bounds():
    found = _rate([(0.02, "good", 497), (0.02, "defect", 3), (0.02, "unsure", 2), (0.02, None, 7)])
    exact = binomtest(3, 500).proportion_ci(0.95, "exact")
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high))
    assert found["rate"] == pytest.approx(0.006)
    assert found["stands_for"] == pytest.approx(25_000)
    assert (found["waiting"], found["unsure"]) == (7, 2)
    worst = binomtest(5, 502).proportion_ci(0.95, "exact").high
    assert found["high_if_unsure_is_defect"] == pytest.approx(worst)


def test_misses_weigh_as_many_images_as_they_stand_for():
    found = _rate([(0.01, "good", 99), (0.01, "defect", 1), (1.0, "good", 100), (1.0, "defect", 100)])
    assert found["rate"] == pytest.approx((100 + 100) / (10_000 + 200))
    assert found["low"] < found["rate"] < found["high"]


def test_no_verdict_is_no_evidence():
    found = _rate([(0.5, None, 10)])
    assert (found["rate"], found["low"], found["high"]) == (None, 0.0, 1.0)


def test_bounds_of_mixed_shares_hold_as_often_as_they_say():
    rng = np.random.default_rng(3)
    rates, passed, shares = (0.02, 0.2), (20_000, 500), (0.01, 0.4)
    true = sum(r * n for r, n in zip(rates, passed, strict=True)) / sum(passed)
    held = 0
    for _ in range(200):
        rows = []
        for rate, number, share in zip(rates, passed, shares, strict=True):
            sampled = rng.binomial(number, share)
            bad = int(rng.binomial(sampled, rate))
            rows += [(share, "defect", bad), (share, "good", int(sampled - bad))]
        found = _rate(rows)
        held += found["low"] <= true <= found["high"]
    assert held >= 190
