"""The command line of the tool side: `inspect --watch`, `verify` and `bench`."""

from pathlib import Path
from typing import Any

import pytest

from tool_side.watch import watch
from waferroute.cli import main


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What argparse prints when it refuses the arguments."""
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", ["inspect", "verify", "bench"])
def test_every_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert f"waferroute {command} runs/quickstart/bundle" in text


class TestWatch:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What the watch mode is asked to do."""
        found: list[Any] = []
        monkeypatch.setattr(watch, "run_watch", lambda *arguments: found.extend(arguments) or 0)
        return found

    def test_options_reach_it(self, asked: list[Any]) -> None:
        arguments = ["--json-lines", "r.jsonl", "--csv", "r.csv", "--once", "--poll", "0.1", "--settle", "2"]
        more = ["--give-up", "9", "--threads", "2", "--heatmaps", "maps", "--json"]
        assert main(["inspect", "bundle", "--watch", "drop", *arguments, *more]) == 0
        assert asked == [
            "bundle",
            "drop",
            watch.WatchOptions(
                json_lines=Path("r.jsonl"),
                csv=Path("r.csv"),
                heatmaps=Path("maps"),
                json_output=True,
                once=True,
                poll=0.1,
                settle=2,
                give_up=9,
                threads=2,
            ),
        ]

    def test_without_options(self, asked: list[Any]) -> None:
        assert main(["inspect", "bundle", "--watch", "drop"]) == 0
        assert asked[2] == watch.WatchOptions()

    @pytest.mark.parametrize("option", [["--once"], ["--csv", "x"], ["--json-lines", "x"], ["--settle", "3"]])
    def test_its_options_need_it(self, option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert f"{option[0]} goes with --watch DIR" in said(capsys, "inspect", "bundle", "a.png", *option)

    def test_it_takes_one_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "--watch takes one folder; a.png" in said(
            capsys, "inspect", "bundle", "a.png", "--watch", "drop"
        )
        assert "give images or folders to inspect" in said(capsys, "inspect", "bundle")

    @pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "soon"])
    def test_times_must_be_positive(self, value: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert "--poll" in said(capsys, "inspect", "bundle", "--watch", "drop", f"--poll={value}")
