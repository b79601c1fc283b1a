"""`waferroute model`, as a person types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from waferroute.cli import main

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """say("list"): exit status, standard output, standard error."""
    (tmp_path / "data").mkdir()

    def run(*words: str | Path) -> tuple[int, str, str]:
        status = main(["model", *map(str, words), "--data", str(tmp_path / "data")])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_from_the_first_push_to_a_rollback(say: Say, bundles: list[Path]):
    assert say("list")[1].startswith("no version yet")
    assert say("push", bundles[0])[1].startswith("vae-wafer-v1.0.0")
    assert say("push", bundles[1])[0] == 0
    assert "decides" in say("promote", "v1.0.0")[1]
    assert say("promote", "v1.1.0", "--reason", "better", "--by", "eva")[0] == 0
    found = json.loads(say("rollback", "--reason", "misses blowholes", "--json")[1])
    assert (found["champion"], found["reason"]) == ("vae-wafer-v1.0.0", "misses blowholes")
    assert found["seconds"] < 30
    history = json.loads(say("show", "--json")[1])
    assert [line["champion"][-6:] for line in history] == ["v1.0.0", "v1.1.0", "v1.0.0"]
    rows = json.loads(say("list", "--json")[1])
    assert [row["use"] for row in rows] == ["decides", "warm"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "v9.0.0"), "no version vae-wafer-v9.0.0"),
        (("promote", "latest"), "not the name of a version"),
        (("rollback", "--reason", "x"), "nothing to go back to"),
        (("push", "no-such-folder"), "no such folder"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(say: Say, words: tuple[str, ...], said: str):
    status, _, err = say(*words)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


def test_a_version_that_fails_its_gate_cannot_be_promoted(
    say: Say,
    bundles: list[Path],
    write_bundle: Callable[..., Path],
    student_graph: Callable[..., bytes],
    tmp_path: Path,
):
    from tests.tool_side.conftest import wafer

    for kind, defect, first, count in (("good", 0.0, 1000, 20), ("spot", 0.4, 2000, 6)):
        (tmp_path / "frozen" / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(wafer(first + i, defect)).save(tmp_path / "frozen" / kind / f"{i}.png")
    say("push", bundles[0])
    say("promote", "v1.0.0")
    say("push", write_bundle(tmp_path / "blind", lowres=student_graph(1, 0.2), full=student_graph(1, 0.2)))
    page = tmp_path / "gate.html"
    status, out, _ = say("gate", "v1.1.0", tmp_path / "frozen", "--set", "worse=0.5", "--page", page)
    assert "did not pass" in page.read_text(encoding="utf-8")
    assert status == 1
    assert "did not pass its gate on 26 images" in out
    status, _, err = say("promote", "v1.1.0")
    assert status == 2
    assert "did not pass its gate" in err


def test_a_registry_that_is_away_is_a_warning_and_no_more(say: Say, bundles: list[Path], tmp_path: Path):
    pytest.importorskip("mlflow", reason="MLflow is not installed")
    (tmp_path / "file").touch()
    status, out, err = say("push", bundles[0], "--mlflow", f"sqlite:///{tmp_path}/file/db")
    assert status == 0
    assert "vae-wafer-v1.0.0" in out
    assert "not shown in the registry" in err


def test_an_unknown_threshold_is_named(say: Say, bundles: list[Path]):
    with pytest.raises(SystemExit):
        say("gate", "v1.0.0", "x", "--set", "speed=1")
