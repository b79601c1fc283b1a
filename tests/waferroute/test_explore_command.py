"""`waferroute explore` from the command line, on small synthetic images."""

import json
from pathlib import Path

import pytest

from waferroute.cli import main


@pytest.fixture(autouse=True)
def without_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plots take most of the time; tests/eval looks at them."""
    monkeypatch.setattr("eval.explore.run.draw_plots", lambda found: {})


@pytest.fixture
def config(mvtec_folder: Path, tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"run:\n  dir: {tmp_path / 'run'}\n"
        f"data:\n  format: mvtec\n  root: {mvtec_folder}\n"
        "eval:\n  bootstrap: 100\n"
    )
    return str(path)


def test_it_explains_itself_with_an_example(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["explore", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    assert "example: waferroute explore configs/mvtec.yaml data.root=DIR" in said and "--out DIR" in said


def test_it_prepares_the_data_and_prints_the_answers(config, capsys, tmp_path):
    assert main(["explore", config]) == 0
    said = capsys.readouterr().out
    assert "What is the dominant texture? periodic pattern" in said
    assert f"page: {tmp_path / 'run/explore/explore.html'}" in said
    assert (tmp_path / "run/explore/explore.json").is_file()
    prepared = (tmp_path / "run/data/split.json").stat().st_mtime_ns
    assert main(["explore", config]) == 0
    assert (tmp_path / "run/data/split.json").stat().st_mtime_ns == prepared


def test_the_run_goes_on_from_the_data_it_prepared(config, capsys, tmp_path):
    main(["explore", config])
    capsys.readouterr()
    assert main(["data", str(tmp_path / "run/config.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["status"] == "skipped"


def test_json_is_all_that_goes_to_standard_output(config, capsys, tmp_path):
    assert main(["explore", config, "--json", "run.seed=3", "--out", str(tmp_path / "out")]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads((tmp_path / "out/explore.json").read_text(encoding="utf-8"))
    assert content["provenance"]["evaluation_seed"] == 3
    assert not (tmp_path / "run/explore").exists()


def test_a_folder_of_other_things_is_refused_before_any_image_is_read(config, capsys, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter.txt").write_text("dear")
    assert main(["explore", config, "--out", str(tmp_path / "home")]) == 2
    assert "error: " in (said := capsys.readouterr().err) and "letter.txt" in said
    assert not (tmp_path / "run/data").exists()
    assert main(["explore", config, "--out", str(tmp_path / "run")]) == 2
    assert main(["explore", config, "--out", str(tmp_path)]) == 2


def test_wrong_images_are_input_errors(config, capsys, tmp_path):
    assert main(["explore", config, f"data.root={tmp_path / 'nowhere'}"]) == 2
    assert "nowhere does not exist" in capsys.readouterr().err
