"""`waferroute errors` and `waferroute novelty` from the command line."""

import json
import shutil
from pathlib import Path

import pytest

from waferroute.cli import main


@pytest.mark.parametrize("command", ["errors", "novelty"])
class TestBoth:
    def test_a_folder_that_is_no_run_is_refused(self, command, tmp_path, capsys):
        assert main([command, str(tmp_path)]) == 2
        assert "is not a run folder" in capsys.readouterr().err

    def test_a_run_that_was_not_calibrated_is_refused(self, command, tiny_data, tmp_path, capsys):
        run = tmp_path / "run"
        shutil.copytree(tiny_data, run / "data")
        assert main([command, str(run), "--out", str(tmp_path / "out")]) == 2
        assert "waferroute calibrate" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", [["--rate", "0"], ["--rate", "x"], ["--per-type", "1.5"], ["--seed", "-1"]]
)
def test_impossible_settings_are_refused_before_anything_is_read(option, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["novelty", str(tmp_path), *option])
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_errors_are_written_into_the_run_and_summed_up(tiny_run: Path, tmp_path, capsys):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    assert main(["errors", str(run)]) == 0
    said = capsys.readouterr().out
    content = json.loads((run / "errors" / "errors.json").read_text())
    assert f"missed defects: {content['counts']['missed']} of {content['counts']['test_defects']}" in said
    assert str(run / "errors" / "errors.html") in said
    # The certificate of a run without configuration tells the rates that it was calibrated for.
    assert content["operating_point"]["escalation_target"] == 0.2
    assert content["operating_point"]["flag_rate"] == 0.1
