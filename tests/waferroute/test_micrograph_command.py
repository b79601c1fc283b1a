"""`waferroute micrographs`: what it writes, says and refuses."""

import json
from pathlib import Path

import pytest

from waferroute.cli import main

FEW = [
    "--normal",
    "3",
    "--test-normal",
    "1",
    "--defects-per-type",
    "1",
    "--novel-per-type",
    "2",
    "--size",
    "48",
]


def test_it_writes_a_folder_and_says_synthetic(tmp_path: Path, capsys):
    folder = tmp_path / "set"
    assert main(["micrographs", str(folder), *FEW, "--layout", "logic"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("SYNTHETIC") and "no real wafer" in said
    assert "train/good 3, test/good 1" in said
    assert "test/stain 2 (novel type)" in said and "test/bridge 1:" in said
    assert len(list((folder / "test/stain").iterdir())) == 2
    assert (folder / "synthetic.json").is_file()


def test_json_for_programs(tmp_path: Path, capsys):
    folder = tmp_path / "set"
    assert main(["micrographs", str(folder), *FEW, "--bits", "16", "--seed", "5", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["synthetic"] is True
    assert (summary["bits"], summary["seed"], summary["size"]) == (16, 5, 48)
    assert summary["train_good"] == 3 and summary["defects"]["stain"]["images"] == 2
    low, high = summary["defects"]["stain"]["contrast_to_noise"]
    assert 0 < low <= high


def test_a_used_folder_is_refused(tmp_path: Path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    assert main(["micrographs", str(tmp_path), *FEW]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "not an empty folder" in said
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "8"], "--size"),
        (["--normal", "0"], "at least one normal image"),
        (["--defects-per-type", "-1"], "0 or more"),
        (["--seed", "-1"], "seed must be 0 or more"),
    ],
)
def test_impossible_numbers_are_explained(tmp_path: Path, capsys, options: list[str], message: str):
    assert main(["micrographs", str(tmp_path / "set"), *FEW, *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and message in said and "Traceback" not in said
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("options", [["--layout", "mixed"], ["--bits", "12"], ["--size", "big"], []])
def test_a_wrong_command_line_exits_with_2(tmp_path: Path, capsys, options: list[str]):
    arguments = [str(tmp_path / "set"), *options] if options else []
    with pytest.raises(SystemExit) as stopped:
        main(["micrographs", *arguments])
    assert stopped.value.code == 2
    assert "usage: waferroute micrographs" in capsys.readouterr().err


def test_the_help_gives_an_example(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["micrographs", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    assert "example: waferroute micrographs" in said and "SYNTHETIC" in said
