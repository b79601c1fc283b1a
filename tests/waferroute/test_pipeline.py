"""When a stage is skipped, redone or continued; what a kill at any moment leaves behind."""

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_text
from waferroute import pipeline, stage_record
from waferroute.pipeline import Pipeline, Stage


@dataclass(frozen=True)
class Settings:
    """Stands in for a configuration."""

    numbers: str = "1 2 3"
    factor: int = 10
    title: str = "sum"


class Killed(BaseException):
    """Stands in for a signal: not an Exception, like KeyboardInterrupt."""


@dataclass
class Workshop:
    """Three small real stages: numbers -> each times a factor -> a report. Counts what was done."""

    run_dir: Path
    done: list[str] = field(default_factory=list)
    kill_in: str | None = None
    listing: str = "v1"

    def _numbers(self, settings: Settings, run_dir: Path) -> None:
        self._enter("numbers")
        with new_directory(run_dir / "numbers") as folder:  # as the data stage does: the folder is replaced
            write_text(folder / "numbers.txt", settings.numbers)

    def _scale(self, settings: Settings, run_dir: Path) -> None:
        self._enter("scale")
        numbers = (run_dir / "numbers" / "numbers.txt").read_text().split()
        for index, number in enumerate(numbers):
            part = run_dir / "scaled" / "checkpoints" / f"{index}.txt"
            if not part.exists():
                self.done.append(f"part {index}")
                write_text(part, str(int(number) * settings.factor))
            if self.kill_in == f"part {index}":
                raise Killed
        parts = [(run_dir / "scaled" / "checkpoints" / f"{i}.txt").read_text() for i in range(len(numbers))]
        write_text(run_dir / "scaled" / "weights.txt", " ".join(parts))
        write_text(run_dir / "scaled" / "losses.csv", f"time,{len(self.done)}")
        self._leave("scale")

    def _report(self, settings: Settings, run_dir: Path) -> None:
        self._enter("report")
        total = sum(map(int, (run_dir / "scaled" / "weights.txt").read_text().split()))
        write_text(run_dir / "report" / "report.txt", f"{settings.title} {total}")
        self._leave("report")

    def _enter(self, name: str) -> None:
        self.done.append(name)
        if self.kill_in == f"start of {name}":
            raise Killed

    def _leave(self, name: str) -> None:
        if self.kill_in == f"end of {name}":
            raise Killed

    def pipeline(self, settings: Settings = Settings()) -> Pipeline[Settings]:
        stages = [
            Stage(
                "numbers",
                "numbers",
                settings=lambda s: {"numbers": s.numbers},
                function=self._numbers,
                sources=lambda s: self.listing,
                command="shop numbers",
            ),
            Stage(
                "scale",
                "scaled",
                settings=lambda s: {"factor": s.factor},
                function=self._scale,
                inputs=("numbers",),
                command="shop scale",
                logs=("*.csv", "checkpoint*"),
                packages=("router",),
            ),
            Stage(
                "report",
                "report",
                settings=lambda s: {"title": s.title},
                function=self._report,
                inputs=("numbers", "scale"),
                record="report.stage.json",
            ),
        ]
        return Pipeline(stages, settings, self.run_dir, announce=lambda line: None)

    def run(self, settings: Settings = Settings(), **more) -> list[str]:
        """Run all and return what was done, without parts."""
        self.done.clear()
        self.pipeline(settings).run(**more)
        return [name for name in self.done if not name.startswith("part")]

    def results(self) -> dict[str, str]:
        names = ("numbers/numbers.txt", "scaled/weights.txt", "report/report.txt")
        return {name: (self.run_dir / name).read_text() for name in names}


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "run")


ALL = ["numbers", "scale", "report"]


def test_a_first_run_does_every_stage_in_order(shop):
    assert shop.run() == ALL
    assert shop.results()["report/report.txt"] == "sum 60"


def test_a_second_run_does_nothing_and_says_so(shop):
    shop.run()
    outcomes = shop.pipeline().run()
    assert [outcome.status for outcome in outcomes] == ["skipped"] * 3
    assert shop.run() == []


def test_a_changed_setting_redoes_its_stage_and_those_that_read_its_result(shop):
    shop.run()
    assert shop.run(Settings(factor=20)) == ["scale", "report"]
    assert shop.results()["report/report.txt"] == "sum 120"
    assert shop.run(Settings(factor=20, title="total")) == ["report"]


def test_a_stage_redone_with_the_same_result_does_not_touch_the_next(shop):
    shop.run()
    shop.listing = "v2"  # the image files were touched, their content is the same
    assert shop.run() == ["numbers"]


def test_the_reason_to_redo_a_stage_names_the_setting(shop):
    shop.run()
    pipeline = shop.pipeline(Settings(factor=3))
    outcomes = pipeline.run()
    assert outcomes[1].reason == "factor changed"
    assert outcomes[2].reason == "the result of scale changed"


def test_another_version_redoes_everything(shop, monkeypatch):
    shop.run()
    monkeypatch.setattr("waferroute.pipeline.version", lambda name: "99.0")
    outcomes = shop.pipeline().run()
    assert outcomes[0].reason.startswith("it was made by waferroute ")
    assert [outcome.status for outcome in outcomes] == ["done"] * 3


@pytest.mark.parametrize("damage", ["delete", "change", "same size"])
def test_an_output_deleted_or_changed_by_hand_is_noticed(shop, damage):
    shop.run()
    before = shop.results()
    weights = shop.run_dir / "scaled" / "weights.txt"
    status = weights.stat()
    if damage == "delete":
        weights.unlink()
    else:
        weights.write_text("99" if damage == "change" else "99 20 30")
        os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "scale" in shop.run()
    assert shop.results() == before


def test_a_deleted_folder_is_noticed(shop):
    shop.run()
    (shop.run_dir / "report" / "report.txt").unlink()
    (shop.run_dir / "report").rmdir()
    assert shop.run() == ["report"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '{"schema": 2}', "null"])
def test_a_damaged_record_redoes_the_stage(shop, content):
    shop.run()
    (shop.run_dir / "scaled" / "stage.json").write_text(content)
    assert shop.run() == ["scale"]


def test_a_forged_record_redoes_the_stage(shop):
    shop.run()
    path = shop.run_dir / "scaled" / "stage.json"
    record = json.loads(path.read_text())
    record["depends"]["settings"]["factor"] = 30
    path.write_text(json.dumps(record))
    assert "scale" in shop.run(Settings(factor=30))


def test_lost_logs_and_checkpoints_do_not_undo_a_stage(shop):
    shop.run()
    (shop.run_dir / "scaled" / "losses.csv").unlink()
    (shop.run_dir / "scaled" / "checkpoints" / "0.txt").unlink()
    assert shop.run() == []


def test_files_that_a_user_adds_are_left_alone(shop):
    shop.run()
    note = shop.run_dir / "scaled" / "note.txt"
    note.write_text("mine")
    assert shop.run() == []
    assert note.exists()


def test_force_redoes_every_named_stage(shop):
    shop.run()
    assert shop.run(force=True) == ALL
    assert shop.run(names=["report"], force=True) == ["report"]


MOMENTS = [
    "start of numbers",
    "start of scale",
    "part 0",
    "part 1",
    "part 2",
    "end of scale",
    "start of report",
    "end of report",
]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_moment_ends_in_the_same_files(shop, tmp_path, moment):
    whole = Workshop(tmp_path / "whole")
    whole.run()
    shop.kill_in = moment
    with pytest.raises(Killed):
        shop.run()
    shop.kill_in = None
    shop.run()
    assert shop.results() == whole.results()
    assert shop.run() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_and_then_changed_holds_nothing_of_the_old_settings(shop, tmp_path, moment):
    whole = Workshop(tmp_path / "whole")
    whole.run(Settings(factor=7, numbers="4 5"))
    shop.kill_in = moment
    with pytest.raises(Killed):
        shop.run()
    shop.kill_in = None
    shop.run(Settings(factor=7, numbers="4 5"))
    assert shop.results() == whole.results()


def test_a_killed_stage_goes_on_from_its_checkpoints(shop):
    shop.kill_in = "part 1"
    with pytest.raises(Killed):
        shop.run()
    shop.kill_in = None
    shop.run()
    assert [name for name in shop.done if name.startswith("part")] == ["part 2"]


def test_force_starts_a_killed_stage_afresh(shop):
    shop.kill_in = "part 1"
    with pytest.raises(Killed):
        shop.run()
    shop.kill_in = None
    shop.run(force=True)
    assert [name for name in shop.done if name.startswith("part")] == ["part 0", "part 1", "part 2"]


def test_a_kill_between_the_result_and_its_record_is_harmless(shop, monkeypatch):
    write = stage_record.StageRecord.write

    def killed_when_done(self, path, stage):
        if self.outputs is not None and stage == "scale":
            raise Killed
        write(self, path, stage)

    monkeypatch.setattr(stage_record.StageRecord, "write", killed_when_done)
    with pytest.raises(Killed):
        shop.run()
    monkeypatch.undo()
    assert shop.run() == ["scale", "report"]
    assert shop.results()["report/report.txt"] == "sum 60"


class TestOneStageAlone:
    def test_names_the_command_of_an_earlier_stage_that_is_missing(self, shop):
        with pytest.raises(
            InputError, match=r"stage report needs the result of stage numbers.*run first: shop numbers"
        ):
            shop.pipeline().run(["report"])
        assert shop.done == []

    def test_names_the_command_of_an_earlier_stage_that_is_outdated(self, shop):
        shop.run()
        with pytest.raises(InputError, match=r"scale.*but factor changed; run first: shop scale"):
            shop.pipeline(Settings(factor=2)).run(["report"])

    def test_names_an_earlier_stage_that_was_interrupted(self, shop):
        shop.kill_in = "part 1"
        with pytest.raises(Killed):
            shop.run()
        with pytest.raises(InputError, match=r"scale.*it was interrupted"):
            shop.pipeline().run(["report"])

    def test_runs_only_itself(self, shop):
        shop.pipeline().run(["numbers"])
        shop.pipeline().run(["scale"])
        assert [name for name in shop.done if name in ALL] == ["numbers", "scale"]
        assert not (shop.run_dir / "report").exists()

    def test_does_not_need_later_stages(self, shop):
        shop.run()
        (shop.run_dir / "report" / "report.txt").unlink()
        assert [outcome.status for outcome in shop.pipeline().run(["scale"])] == ["skipped"]


def test_a_stage_that_fails_leaves_the_ones_before_it_done(shop):
    pipeline = shop.pipeline()

    def fails(settings: Settings, run_dir: Path) -> None:
        raise InputError("too few images")

    broken = [
        replace(stage, function=fails) if stage.name == "report" else stage for stage in pipeline.stages
    ]
    with pytest.raises(InputError, match="too few images"):
        Pipeline(broken, Settings(), shop.run_dir, announce=lambda line: None).run()
    assert shop.run() == ["report"]


def test_a_stage_that_writes_nothing_is_an_error(shop):
    stage = Stage("idle", "idle", settings=lambda s: {}, function=lambda s, run_dir: None)
    with pytest.raises(RuntimeError, match="idle"):
        Pipeline([stage], Settings(), shop.run_dir, announce=lambda line: None).run()


def test_what_a_stage_prints_does_not_reach_standard_output(shop, capsys):
    def chatty(settings: Settings, run_dir: Path) -> None:
        print("progress")
        write_text(run_dir / "chat" / "x.txt", "x")

    stage = Stage("chat", "chat", settings=lambda s: {}, function=chatty)
    Pipeline([stage], Settings(), shop.run_dir, announce=lambda line: None).run()
    assert capsys.readouterr().out == ""


def test_a_large_file_is_read_again_only_if_its_size_or_time_changed(shop, monkeypatch):
    monkeypatch.setattr(stage_record, "ALWAYS_HASHED_BYTES", 4)
    shop.run()
    weights = shop.run_dir / "scaled" / "weights.txt"
    monkeypatch.setattr(stage_record, "sha256_file", lambda path: pytest.fail(f"{path} was read again"))
    outputs = stage_record.StageRecord.read(shop.run_dir / "scaled" / "stage.json").outputs
    assert stage_record.first_damage(shop.run_dir / "scaled", outputs) is None
    monkeypatch.undo()
    monkeypatch.setattr(stage_record, "ALWAYS_HASHED_BYTES", 4)
    weights.write_text("99 20 30")
    assert "scale" in shop.run()


class TestEditedCode:
    @pytest.fixture
    def edited(self, monkeypatch):
        """Makes the program look edited (or, with None, installed from a wheel)."""

        def edit(code: str | None) -> None:
            monkeypatch.setattr(pipeline, "is_source_tree", lambda: code is not None)
            monkeypatch.setattr(pipeline, "code_digest", lambda package: f"{package} {code}")

        return edit

    def test_redoes_the_stages_that_use_it_and_what_follows_from_them(self, tmp_path, edited):
        shop = Workshop(tmp_path)
        edited("first")
        shop.run()
        assert shop.run() == []
        edited("second")
        assert shop.run() == ["scale"]  # the same result again: the report stands

    def test_says_what_was_edited(self, tmp_path, edited):
        shop = Workshop(tmp_path)
        edited("first")
        shop.run()
        edited("second")
        line = shop.pipeline()
        assert line.why_not_current(line.stages[0]) is None
        assert line.why_not_current(line.stages[1]) == "the program's code in router changed"

    def test_is_not_looked_at_in_an_installed_program(self, tmp_path, edited):
        shop = Workshop(tmp_path)
        edited(None)
        shop.run()
        assert "code" not in json.loads((tmp_path / "scaled" / "stage.json").read_text())["depends"]
