"""The result of before stays until a new one takes its place, and is never taken for that of other settings."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.conftest import write_mvtec
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, write_text
from waferroute.cli.start import main
from waferroute.pipeline import Outcome, Pipeline, Stage


class Killed(BaseException):
    """Stands in for a signal."""


@dataclass
class Mill:
    """Two stages that replace their folders, `flour` by way of unfinished work in two parts, `bread` from it."""

    run_dir: Path
    done: list[str] = field(default_factory=list)
    kill_after: int | None = None
    outside: bool = False

    def _flour(self, grain: str, run_dir: Path) -> None:
        self.done.append("flour")
        work = run_dir / "flour" / "checkpoint"
        for part in range(2):
            if not (work / f"{part}").is_file():
                self.done.append(f"part {part}")
                write_text(work / f"{part}", grain)
            if self.kill_after == part:
                raise Killed
        if grain.startswith("bad"):
            raise InputError(f"{grain} cannot be milled")
        with new_directory(run_dir / "flour") as folder:
            write_text(
                folder / "flour.txt", f"flour of {(work / '0').read_text()} and {(work / '1').read_text()}"
            )

    def _bread(self, grain: str, run_dir: Path) -> None:
        self.done.append("bread")
        text = f"bread of {(run_dir / 'flour' / 'flour.txt').read_text()}"
        with new_directory(run_dir / "bread") as folder:
            write_text(folder / "bread.txt", text)

    def pipeline(self, grain: str) -> Pipeline[str]:
        stages = [
            Stage(
                "flour",
                "flour",
                settings=lambda grain: {"grain": grain},
                function=self._flour,
                logs=("checkpoint*",),
                replaces=lambda grain: True,
                record="flour.stage.json" if self.outside else "",
                command="mill flour",
            ),
            Stage(
                "bread",
                "bread",
                settings=lambda grain: {},
                function=self._bread,
                inputs=("flour",),
                replaces=lambda grain: True,
            ),
        ]
        return Pipeline(stages, grain, self.run_dir, announce=lambda line: None)

    def run(self, grain: str, names: list[str] | None = None, force: bool = False) -> list[Outcome]:
        self.done.clear()
        return self.pipeline(grain).run(names, force=force)

    def fails(self, grain: str) -> None:
        with pytest.raises(InputError, match="cannot be milled"):
            self.run(grain)

    def is_killed(self, grain: str, part: int = 0, force: bool = False) -> None:
        self.kill_after = part
        with pytest.raises(Killed):
            self.run(grain, force=force)
        self.kill_after = None

    @property
    def bread(self) -> str:
        return (self.run_dir / "bread" / "bread.txt").read_text()


@pytest.fixture(params=[False, True], ids=["record inside", "record beside"])
def mill(tmp_path: Path, request: pytest.FixtureRequest) -> Mill:
    made = Mill(tmp_path / "run", outside=request.param)
    made.run("rye")
    return made


def test_settings_that_fail_leave_the_result_which_is_current_with_its_own(mill: Mill):
    mill.fails("bad")
    assert (mill.run_dir / "flour" / "flour.txt").read_text() == "flour of rye and rye"
    assert [outcome.status for outcome in mill.run("rye")] == ["skipped", "skipped"]
    assert mill.done == []


def test_what_is_left_is_not_the_result_of_the_settings_that_failed(mill: Mill):
    mill.fails("bad")
    line = mill.pipeline("bad")
    assert line.why_not_current(line.stages[0]) == "it failed"
    with pytest.raises(
        InputError, match=r"needs the result of stage flour .* but it failed; run first: mill flour"
    ):
        mill.run("bad", ["bread"])
    mill.fails("bad")
    assert mill.done == ["flour"]  # it went on from its own work


def test_nor_of_settings_that_were_interrupted(mill: Mill):
    mill.is_killed("oats")
    line = mill.pipeline("oats")
    assert line.why_not_current(line.stages[0]) == "it was interrupted"
    assert [outcome.status for outcome in mill.run("rye")] == ["skipped", "skipped"]
    mill.run("oats")
    assert mill.done == ["flour", "part 1", "bread"]
    assert mill.bread == "bread of flour of oats and oats"


def test_unfinished_work_of_other_settings_is_not_gone_on_with(mill: Mill):
    mill.is_killed("oats")
    mill.run("spelt")
    assert mill.bread == "bread of flour of spelt and spelt"
    assert not (mill.run_dir / "flour" / "checkpoint").exists()


def test_work_that_was_half_removed_is_not_gone_on_with(mill: Mill, monkeypatch: pytest.MonkeyPatch):
    mill.is_killed("oats", part=1)

    def killed(folder: Path) -> None:
        (folder / "checkpoint" / "1").write_text("damaged")
        raise Killed

    monkeypatch.setattr("waferroute.pipeline._remove_work", killed)
    with pytest.raises(Killed):
        mill.run("spelt")
    monkeypatch.undo()
    mill.run("oats")
    assert mill.bread == "bread of flour of oats and oats"


def test_a_forced_stage_that_did_not_end_is_done_again(mill: Mill):
    mill.is_killed("rye", force=True)
    assert [outcome.status for outcome in mill.run("rye")] == ["done", "skipped"]


def test_an_old_result_that_was_edited_meanwhile_is_made_again(mill: Mill):
    mill.fails("bad")
    (mill.run_dir / "flour" / "flour.txt").write_text("chalk")
    assert mill.run("rye")[0].reason.endswith("was changed")
    assert mill.bread == "bread of flour of rye and rye"


def test_a_kill_between_the_new_result_and_its_record_is_noticed(mill: Mill, monkeypatch: pytest.MonkeyPatch):
    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("waferroute.pipeline.take_stock", killed)
    with pytest.raises(Killed):
        mill.run("oats")
    monkeypatch.undo()
    assert mill.run("rye")[0].status == "done"
    assert mill.bread == "bread of flour of rye and rye"


def test_without_room_for_both_the_old_result_goes_first(mill: Mill, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(mill.run_dir)._replace(free=30)
    monkeypatch.setattr("waferroute.pipeline.shutil.disk_usage", lambda _: usage)
    mill.fails("bad")
    assert not (mill.run_dir / "flour" / "flour.txt").exists()
    mill.run("rye")
    assert mill.bread == "bread of flour of rye and rye"


def test_a_first_attempt_that_failed_is_said_to_have_failed(tmp_path: Path):
    mill = Mill(tmp_path)
    mill.fails("bad")
    line = mill.pipeline("bad")
    assert line.why_not_current(line.stages[0]) == "it failed"


def test_a_stage_that_did_not_replace_its_folder_is_an_error(tmp_path: Path):
    def in_place(grain: str, run_dir: Path) -> None:
        write_text(run_dir / "flour" / "flour.txt", grain)

    stage = Stage("flour", "flour", settings=dict, function=in_place, replaces=lambda grain: True)
    with pytest.raises(RuntimeError, match="without a new"):
        Pipeline([stage], "", tmp_path, announce=lambda line: None).run()


def test_data_that_do_not_fit_leave_the_prepared_ones_and_their_configuration(tmp_path: Path, capsys):
    write_mvtec(tmp_path / "images")
    run_dir, path = tmp_path / "run", tmp_path / "config.yaml"
    data = {"format": "mvtec", "root": str(tmp_path / "images"), "calibration_fraction": 0.4}
    path.write_text(yaml.safe_dump({"run": {"dir": str(run_dir)}, "data": data}))
    assert main(["data", str(path)]) == 0
    before, kept = read_json(run_dir / "data" / "split.json"), (run_dir / "config.yaml").read_text()
    assert main(["data", str(path), "data.expected_size=[64,64]", "data.skip_bad_images=false"]) == 2
    assert read_json(run_dir / "data" / "split.json") == before
    assert (run_dir / "config.yaml").read_text() == kept
    assert main(["adapt", str(path), "data.expected_size=[64,64]", "data.skip_bad_images=false"]) == 2
    assert "but it failed; run first: waferroute data" in capsys.readouterr().err
    assert main(["data", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["status"] == "skipped"
