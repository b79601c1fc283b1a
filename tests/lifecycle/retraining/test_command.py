"""`waferroute retrain` as a person types it, without its training: settings, lists, what is due, mistakes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from lifecycle.retraining.config import RetrainingConfig
from lifecycle.retraining.plan import locked
from tests.lifecycle.retraining.conftest import Fab
from wafer_data.errors import BusyError
from waferroute.cli import main
from waferroute.config_fields import list_fields
from waferroute.retraining import load_retraining

SHIPPED = Path(__file__).parents[3] / "deploy" / "retraining" / "retraining.yaml"


@pytest.fixture
def settings(config: RetrainingConfig, tmp_path: Path) -> Path:
    path = tmp_path / "retraining.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    return path


def say(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["retrain", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_the_shipped_file_holds_every_setting_with_its_default():
    content = yaml.safe_load(SHIPPED.read_text())
    load_retraining(SHIPPED)
    for field in list_fields(RetrainingConfig):
        section, _, key = field.key.rpartition(".")
        there = content[section] if section else content
        assert key in there, field.key
        if not field.required:
            assert there[key] == field.default, field.key


def test_all_seven_steps_from_the_command_line(
    settings: Path, fab: Fab, trained: list[Path], capsys: pytest.CaptureFixture[str]
):
    status, out, _ = say(capsys, settings, "--id", "monthly-2026-12", "--json")
    found = json.loads(out)
    assert status == 0 and found["version"] == "vae-wafer-v1.1.0" and found["trigger"] == "monthly"
    assert found["gate"]["passed"] and Path(found["gate"]["page"]).is_file()
    status, out, _ = say(capsys, settings, "--id", "monthly-2026-12")
    assert "scores beside production" in out and "skipped" in out
    assert "vae-wafer-v1.1.0 registered" in say(capsys, settings, "--list")[1]


def test_the_gate_s_no_is_exit_status_1_with_its_reasons(
    settings: Path, fab: Fab, trained: list[Path], capsys: pytest.CaptureFixture[str]
):
    status, out, _ = say(capsys, settings, "gate.auroc=1.1")
    assert status == 1
    assert "did not pass" in out and "below the threshold of 1.1" in out
    assert len(fab.folder.versions()) == 1


def test_due_says_what_is_due_and_begins_nothing(
    settings: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    status, out, _ = say(capsys, settings, "--due", "--json")
    found = json.loads(out)
    monthly = datetime.now(UTC).day <= 3
    assert status == 0 and found["due"] is monthly
    assert not (tmp_path / "work").exists()
    assert "no retraining is due" in say(capsys, settings, "--if-due", "due.monthly=false")[1]
    assert not (tmp_path / "work").exists()


def test_one_that_a_timer_began_and_that_was_stopped_is_gone_on_with(
    settings: Path, fab: Fab, trained: list[Path], capsys: pytest.CaptureFixture[str]
):
    say(capsys, settings, "--id", "monthly-2026-11", "--step", "extract")
    status, out, _ = say(capsys, settings, "--if-due", "--json")
    found = json.loads(out)
    assert (status, found["id"], found["version"]) == (0, "monthly-2026-11", "vae-wafer-v1.1.0")
    assert found["steps"][0] == {
        "step": "extract",
        "status": "skipped",
        "seconds": found["steps"][0]["seconds"],
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["service.data=nowhere"], "no such folder"),
        (["extract.dayz=3"], "did you mean extract.days"),
        (["extract.lot_share=0"], "extract.lot_share"),
        (["--id", "../x"], "cannot be called"),
        (["--step", "train", "--id", "new"], "needs the result of stage extract"),
        (["train.config=nowhere.yaml"], "nowhere.yaml does not exist"),
        (["frozen=[nowhere]"], "holds no images"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    words: list[str], said: str, settings: Path, capsys: pytest.CaptureFixture[str]
):
    status, _, err = say(capsys, settings, *words)
    assert status == 2 and said in err and "Traceback" not in err


def test_two_at_once_are_refused(settings: Path, config: RetrainingConfig, tmp_path: Path):
    import subprocess
    import sys

    with locked(config.work):
        other = "import sys; from lifecycle.retraining.plan import locked\nwith locked(sys.argv[1]): pass"
        ended = subprocess.run([sys.executable, "-c", other, config.work], capture_output=True, text=True)
    assert BusyError.__name__ in ended.stderr and "in use by another retraining" in ended.stderr
