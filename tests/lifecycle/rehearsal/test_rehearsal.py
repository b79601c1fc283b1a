"""The end-to-end test of a model's life: two weeks of a small fab through the real service, and what was noticed."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from lifecycle.conductor.shadow import start_shadow
from lifecycle.drift.fab import Alarm
from lifecycle.drift.wafer_summary import Stream
from lifecycle.rehearsal import timeline
from lifecycle.rehearsal.brightness import Drifting, explains
from lifecycle.rehearsal.images import Camera, Library, micrographs, recorded
from lifecycle.rehearsal.notices import Notice, Tally, as_text
from lifecycle.rehearsal.played_fab import Size
from lifecycle.rehearsal.rehearse import rehearse
from lifecycle.rehearsal.relearn import Learned, Relearning
from lifecycle.retraining.config import RetrainingConfig
from lifecycle.retraining.due import Due
from service.store.database import Database, sqlite_url
from service.store.migrate import migrate
from service.store.tables import drift_checks, shadow_scores
from service.versions.folder import VersionFolder
from tests.tool_side.conftest import square, wafer
from wafer_data.errors import InputError
from waferroute.cli import main

SETTINGS = RetrainingConfig.model_validate(
    {
        "work": "unused",
        "service": {"data": "unused-data"},
        "frozen": ["unused"],
        "train": {"config": "no-such.yaml"},
    }
)


@pytest.fixture(scope="module")
def library() -> Library:
    """What the bundle of the tool side's tests has learned."""
    images = {
        "good": [square(wafer(9000 + i)) for i in range(40)],
        "bright": [square(wafer(9100 + i, 0.4)) for i in range(6)],
        "dark": [square(wafer(9200 + i, -0.4)) for i in range(6)],
    }
    return Library(images, "dark", False)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch, bundles: list[Path]) -> None:
    """A ready bundle takes the place of what a retraining makes; `test_whole_retraining.py` trains."""

    def learn(self: Relearning, asked: Due) -> Learned:
        folder = VersionFolder(self._data / "models")
        name = folder.push(bundles[1]).name
        folder.set_gate(name, {"passed": True, "reasons": []})
        start_shadow(folder, name)
        return Learned(name, asked.why, 0.0, {})

    monkeypatch.setattr(Relearning, "learn", learn)


def test_everything_that_goes_wrong_is_noticed(
    bundles: list[Path], library: Library, trained: None, tmp_path: Path
):
    size = Size(days=18, tools=2, images_a_day=32)
    found, text = rehearse(bundles[0], library, size, workers=2, data=tmp_path / "data", retraining=SETTINGS)
    events = {one["event"]: one for one in found["events"]}
    assert set(events) == {
        timeline.SLOW_DRIFT, timeline.LAMP, timeline.RECIPE, timeline.NEW_TYPE, timeline.BLIND, timeline.NERVOUS,
        timeline.PROCESS, timeline.RETRAINING, timeline.CRASH,
    }  # fmt: skip
    assert {name for name, one in events.items() if one["noticed"] is None} <= {timeline.SLOW_DRIFT}, text
    promoted = events[timeline.RETRAINING]["figures"]["version"]
    assert VersionFolder(tmp_path / "data" / "models").pointer().champion == promoted
    with Database(sqlite_url(tmp_path / "data" / "waferroute.db")).read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(shadow_scores)).scalar_one() > 0
    assert events[timeline.LAMP]["days"] <= 2
    assert events[timeline.NEW_TYPE]["days"] <= 0.5
    assert events[timeline.BLIND]["by"].startswith("the gate")
    assert events[timeline.NERVOUS]["cost"]["reviews"] > 0
    assert (found["requests_failed"], found["wafers_decided_by_two_versions"]) == (0, 0)
    assert found["images_kept"] == found["images_sent"] == found["whole"]["images"]
    assert "11 days" in text


def test_a_bundle_that_knows_no_such_images_is_refused_at_once(bundles: list[Path]):
    strange = Library(
        {"good": [np.eye(256, dtype=np.float32)] * 4, "spot": [np.ones((256, 256))]}, "spot", False
    )
    with pytest.raises(InputError, match="has not learned such images"):
        rehearse(bundles[0], strange, Size(days=14))


def test_a_folder_that_is_in_use_is_refused(bundles: list[Path], library: Library, tmp_path: Path):
    (tmp_path / "x").touch()
    with pytest.raises(InputError, match="is not empty"):
        rehearse(bundles[0], library, Size(days=14), data=tmp_path)


def test_cameras_see_the_same_in_every_rehearsal_of_a_seed_and_differently_when_they_drift():
    image = square(wafer(1))
    first, again, gained, blurred = (
        camera.photograph(image, np.random.default_rng(0))
        for camera in (Camera(), Camera(), Camera(gain=1.05), Camera(blur=2.0))
    )
    assert first == again
    assert len({first, gained, blurred}) == 3


def test_synthetic_micrographs_hold_one_type_back():
    library = micrographs("line_space", 96, normals=2, of_a_type=1)
    assert library.new_type == "stain"
    assert set(library.known) == {"scratch", "particle", "residue", "bridge", "missing_feature"}
    assert library.synthetic


def test_recorded_images_come_from_a_folder(tmp_path: Path):
    for name in ("good", "pit", "scratch"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(
            Camera().photograph(square(wafer(2)), np.random.default_rng(0))
        )
    assert recorded(tmp_path).new_type == "scratch"
    assert recorded(tmp_path, "pit").known == ["scratch"]
    with pytest.raises(InputError, match="no defect type 'dent'"):
        recorded(tmp_path, "dent")


def test_costs_are_those_of_the_case_study():
    tally = Tally()
    for truth, decision in (("good", "PASS"), ("good", "REJECT"), ("pit", "PASS"), ("pit", "REVIEW")):
        tally.add(truth, decision)
    assert tally.usd == 12_000 + 18_000 + 2 * 5
    never = Notice("lamp change", 3.0, None, "nobody", "not noticed", tally, {})
    assert never.to_dict()["days"] is None
    late = Notice("slow drift", 3.0, 5.0, "drift", "found", tally, {})
    text = as_text([never, late], tally, "about")
    assert "later: slow drift (2.0 days); never: lamp change" in text
    assert "at that rate 165,055 USD in the 11 days of today" in text
    at_once = Notice("crashed worker", 3.0, 3 / 86_400, "the supervisor", "started again", tally, {})
    assert "at that rate" not in as_text([at_once], tally, "about")


class TestDriftAsks:
    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        (tmp_path / "data").mkdir()
        database = Database(sqlite_url(tmp_path / "data" / "waferroute.db"))
        migrate(database)
        yield database
        database.close()

    def alarm(self, database: Database, tool: str, at: float) -> None:
        figures = {"tool": tool, "layer": "M1"}
        row = {
            "at": at,
            "version": "v",
            "recipe": "r",
            "what": "level",
            "statistic": 1.0,
            "p": 1e-9,
            "alarm": True,
        }
        with database.write() as connection:
            connection.execute(sa.insert(drift_checks).values(**row, figures=figures))

    def test_for_what_more_tools_show_and_not_for_one_tool(self, database: Database, tmp_path: Path):
        relearning = Relearning(SETTINGS, tmp_path / "data", tmp_path, lambda: tmp_path)
        self.alarm(database, "T1", 50.0)
        self.alarm(database, "T2", 5.0)  # of something else, before
        assert relearning.asked(database, 100.0, 10.0) is None
        self.alarm(database, "T2", 60.0)
        asked = relearning.asked(database, 100.0, 10.0)
        assert asked is not None
        assert asked.trigger == "drift"

    def test_a_retraining_that_stops_says_why_and_ends_nothing(self, database: Database, tmp_path: Path):
        relearning = Relearning(SETTINGS, tmp_path / "data", tmp_path, lambda: tmp_path)
        found = relearning.learn(Due("drift", "drift-x", "drift", False))
        assert found.version is None
        assert "no-such.yaml" in found.text


@pytest.mark.parametrize("words", [("--tools", "1"), ("--days", "3"), ("--new-type", "pit")])
def test_what_cannot_be_rehearsed_is_said(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit):
        main(["rehearse", str(tmp_path), *words])
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("watches", "explained"),
    [(("appearance",), True), (("appearance", "flagged"), True), (("flagged",), False)],
)
def test_an_alarm_that_more_is_flagged_is_not_put_down_to_a_lamp(watches: tuple[str, ...], explained: bool):
    lamp = Drifting(timeline.LAMP, 0, 3, lambda day: 1.05)
    alarm = Alarm("tool", "T1", (Stream("T1", "M1", "r"),), "drift", watches)
    assert explains(alarm, lamp, "T1", 4.0) is explained
    assert explains(alarm, lamp, "T1", 2.0) is False
