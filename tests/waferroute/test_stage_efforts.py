"""How long the stages take in proportion: read from what the run folder holds so far."""

import json
from pathlib import Path

import pytest

from waferroute import stage_efforts
from waferroute.config import RunConfig
from waferroute.stages import STUDENT_STAGES, all_stages


def split_of(run_dir: Path, train: int, test: int = 100) -> None:
    counts = {"train_normal": train, "calibration_normal": 50, "test_normal": test, "test_defect": test}
    (run_dir / "data").mkdir()
    (run_dir / "data" / "split.json").write_text(json.dumps({"counts": counts}))


def asks(run_dir: Path, answers: object) -> None:
    (run_dir / "teacher").mkdir(exist_ok=True)
    (run_dir / "teacher" / "teacher.json").write_text(json.dumps({"answers": answers}))


@pytest.fixture
def config() -> RunConfig:
    return RunConfig.model_validate({"run": {"dir": "run"}, "data": {"format": "mvtec", "root": "images"}})


def test_every_stage_of_an_empty_run_has_an_effort(config: RunConfig, tmp_path: Path) -> None:
    assert all(stage.effort(config, tmp_path) > 0 for stage in all_stages())


def test_the_teacher_and_the_report_take_longer_the_more_images_there_are(
    config: RunConfig, tmp_path: Path
) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 100), (many, 10_000)):
        folder.mkdir()
        split_of(folder, count, count)
    for effort in (stage_efforts.data, stage_efforts.adapt, stage_efforts.evaluate):
        assert effort(config, many) > 10 * effort(config, few)


def test_both_students_take_longer_where_the_teacher_asks_more_than_places(
    config: RunConfig, tmp_path: Path
) -> None:
    split_of(tmp_path, 500)
    asks(tmp_path, None)
    place = {name: stage_efforts.student(name, config, tmp_path) for name in STUDENT_STAGES}
    asks(tmp_path, {"weights": {"place": 0.0, "painted": 1.0}})
    more = {name: stage_efforts.student(name, config, tmp_path) for name in STUDENT_STAGES}
    assert more["full"] > 1.5 * place["full"]
    assert more["lowres"] > 2 * place["lowres"]  # as many copies as ever, on a finer map
    assert {name for name in place if more[name] != place[name]} == {"full", "lowres"}


def test_damaged_records_cost_the_estimate_and_nothing_else(config: RunConfig, tmp_path: Path) -> None:
    guess = stage_efforts.adapt(config, tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "split.json").write_text("[]")
    assert stage_efforts.adapt(config, tmp_path) == guess


def test_the_split_is_read_once_as_long_as_it_stays_the_same(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    split_of(tmp_path, 500)
    monkeypatch.setattr(
        stage_efforts.json, "loads", lambda text, parse=json.loads: (read.append(text), parse(text))[1]
    )
    before = [stage.effort(config, tmp_path) for stage in all_stages()]
    assert len(read) == 1
    (tmp_path / "data" / "split.json").unlink()
    (tmp_path / "data").rmdir()
    split_of(tmp_path, 50_000)
    assert [stage.effort(config, tmp_path) for stage in all_stages()][1] > 10 * before[1]
