"""What the command line understands, prints and returns."""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import waferroute.cli.config
import waferroute.run_stages
from wafer_data.errors import InputError
from wafer_data.files import write_json, write_text
from waferroute.cli import main
from waferroute.cli.commands import COMMANDS
from waferroute.cli.distill import STUDENTS
from waferroute.cli.start import build_parser
from waferroute.common_keys import COMMON_KEYS
from waferroute.pipeline import Stage
from waferroute.stages import all_stages


def parsers_of(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command, and every command of a group, with its parser."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below, found in action.choices.items():
                yield from parsers_of(found, f"{name} {below}".strip())


PARSERS = dict(parsers_of(build_parser()))
STAGE_COMMANDS = ["run", "data", "adapt", "distill", "calibrate", "export", "evaluate"]
FIGURES = {
    "data": {"name": "cells", "train_normal": 60, "test_defect": 9},
    "models": {
        "pca": {"params": 100, "image_auroc": 0.71234, "fnr_at_fpr5": None, "latency_ms": {"p50": 1.5}}
    },
    "routing": {"escalation_rate_normal": 0.0651, "fnr": 0.0, "fnr_upper95": None},
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(f"run:\n  dir: {tmp_path / 'run'}\ndata:\n  format: elpv\n")
    return str(path)


@pytest.fixture
def quick_stages(monkeypatch: pytest.MonkeyPatch):
    """Puts small stages in place of the training; returns what they did."""
    done: list[str] = []

    def quick(stage: Stage) -> Stage:
        def work(config, run_dir: Path) -> None:
            done.append(stage.name)
            write_text(run_dir / stage.folder / "result.txt", stage.name)
            if stage.name == "evaluate":
                write_json(run_dir / stage.folder / "report.json", FIGURES)

        return Stage(
            stage.name,
            stage.folder,
            settings=stage.settings,
            function=work,
            inputs=stage.inputs,
            command=stage.command,
            record=stage.record,
        )

    monkeypatch.setattr(
        waferroute.run_stages, "all_stages", lambda tail: [quick(stage) for stage in all_stages(tail)]
    )
    return done


class TestHelp:
    @pytest.mark.parametrize("command", sorted(PARSERS))
    def test_every_command_explains_itself_with_an_example(self, command, capsys):
        with pytest.raises(SystemExit) as stopped:
            main([*command.split(), "--help"])
        said = " ".join(capsys.readouterr().out.split())
        assert stopped.value.code == 0
        assert f"example: waferroute {command}".strip() in said

    @pytest.mark.parametrize("command", sorted(PARSERS))
    def test_the_example_is_a_command_line_that_is_understood(self, command):
        line = PARSERS[command].epilog.removeprefix("example: ").partition(", then ")[0].partition("; ")[0]
        args, rest = build_parser().parse_known_args(shlex.split(line)[1:])
        assert args.action is not None
        assert not [text for text in rest if text.startswith("-") or not getattr(args, "takes_more", "")]

    @pytest.mark.parametrize("command", sorted(PARSERS))
    def test_every_argument_is_explained(self, command):
        assert [
            action.dest for action in PARSERS[command]._actions if not action.help and action.option_strings
        ] == []

    def test_every_command_is_one_module_and_listed(self):
        folder = Path(waferroute.cli.__file__).parent
        found = {path.stem for path in folder.glob("*.py") if "def add(" in path.read_text(encoding="utf-8")}
        assert found == set(COMMANDS)
        assert list(build_parser()._subparsers._group_actions[0].choices) == list(COMMANDS)

    @pytest.mark.parametrize("command", STAGE_COMMANDS)
    def test_stage_commands_take_json_and_force(self, command, capsys):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        said = capsys.readouterr().out
        assert "--json" in said and "--force" in said

    @pytest.mark.parametrize("command", [[], ["config"]])
    def test_no_command_prints_the_help_and_fails(self, command, capsys):
        assert main(command) == 2
        assert "COMMAND" in capsys.readouterr().out

    def test_a_name_in_an_error_does_not_steer_the_terminal(self, capsys):
        assert main(["verify", "no\x1b[31mbundle"]) == 2
        said = capsys.readouterr().err
        assert "\x1b" not in said and r"no\x1b[31mbundle" in said

    @pytest.mark.parametrize(
        "command", [["fly"], ["run"], ["run", "x.yaml", "--fast"], ["inspect", "bundle"]]
    )
    def test_a_wrong_command_line_exits_with_2(self, command, capsys):
        with pytest.raises(SystemExit) as stopped:
            main(command)
        assert stopped.value.code == 2
        assert "usage: waferroute" in capsys.readouterr().err

    def test_version(self, capsys):
        with pytest.raises(SystemExit):
            main(["--version"])
        assert capsys.readouterr().out.startswith("waferroute ")


class TestConfigCommands:
    def test_show_prints_yaml_that_can_be_run(self, config, capsys, tmp_path):
        assert main(["config", "show", config, "run.seed=4"]) == 0
        again = tmp_path / "again.yaml"
        again.write_text(capsys.readouterr().out)
        assert main(["config", "show", str(again), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["run"]["seed"] == 4

    def test_options_may_stand_between_overrides(self, config, capsys):
        assert main(["config", "show", config, "run.seed=4", "--json", "eval.worst=2"]) == 0
        content = json.loads(capsys.readouterr().out)
        assert (content["run"]["seed"], content["eval"]["worst"]) == (4, 2)

    def test_fields_documents_a_section(self, capsys):
        assert main(["config", "fields", "router", "--json"]) == 0
        fields = {field["key"]: field for field in json.loads(capsys.readouterr().out)}
        assert all(key.startswith("router.") for key in fields)
        assert fields["router.confidence"]["allowed"] == "a number > 0.5 and < 1"
        assert main(["config", "fields", "router"]) == 0
        assert "router.confidence: a number > 0.5 and < 1; default 0.95" in capsys.readouterr().out

    def test_fields_shows_the_keys_that_people_set_and_all_on_request(self, capsys):
        def keys(*options: str) -> set[str]:
            assert main(["config", "fields", *options, "--json"]) == 0
            return {field["key"] for field in json.loads(capsys.readouterr().out)}

        common, every = keys(), keys("--all")
        assert common < every and len(common) < len(every) / 2
        assert "distill.full.epochs" in common and "distill.full.ema" not in common
        assert keys("distill.full.ema") == {"distill.full.ema"}  # asked for by name
        assert [p for p in COMMON_KEYS if not any(fnmatchcase(key, p) for key in every)] == []

    def test_fields_of_a_constant_say_that_it_is_one(self, capsys):
        assert main(["config", "fields", "distill.full.kl_annealing"]) == 2
        assert "no setting: it is always the same" in capsys.readouterr().err

    def test_fields_of_an_unknown_section(self, capsys):
        assert main(["config", "fields", "ruoter"]) == 2
        assert capsys.readouterr().err.startswith("error: no key ruoter")


class TestRun:
    def test_runs_all_stages_then_skips_them(self, config, quick_stages, capsys, tmp_path):
        assert main(["run", config]) == 0
        assert quick_stages == [stage.name for stage in all_stages()]
        capsys.readouterr()
        assert main(["run", config, "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert {stage["status"] for stage in summary["stages"]} == {"skipped"}
        assert summary["models"] == FIGURES["models"] and summary["routing"] == FIGURES["routing"]
        assert summary["report"] == str(tmp_path / "run/report/report.html")
        assert summary["bundle"] == str(tmp_path / "run/bundle")

    def test_prints_the_figures_and_where_the_results_are(self, config, quick_stages, capsys, tmp_path):
        main(["run", config])
        said = capsys.readouterr().out
        assert "0.712" in said and "6.5%" in said and "1.50" in said
        assert str(tmp_path / "run/report/report.html") in said.replace("\n", "")

    def test_leaves_a_configuration_that_can_be_run(self, config, quick_stages, tmp_path):
        main(["run", config, "run.seed=5"])
        count = len(quick_stages)
        assert main(["run", str(tmp_path / "run/config.yaml")]) == 0
        assert len(quick_stages) == count

    def test_force(self, config, quick_stages):
        main(["run", config])
        main(["run", config, "--force"])
        assert len(quick_stages) == 2 * len(all_stages())


class TestStageCommands:
    def test_run_one_stage_each(self, config, quick_stages, capsys):
        assert main(["data", config]) == 0
        assert main(["adapt", config]) == 0
        assert quick_stages == ["data", "adapt"]
        assert main(["distill", config, "--only", "intermediate"]) == 0
        assert main(["distill", config]) == 0
        assert quick_stages[2:] == ["intermediate", "target", "full", "lowres"]

    def test_print_a_summary_for_programs(self, config, quick_stages, capsys, tmp_path):
        assert main(["data", config, "--json"]) == 0
        summary = json.loads(capsys.readouterr().out)
        assert set(summary) == {"run_dir", "stages"}
        assert [(stage["stage"], stage["status"]) for stage in summary["stages"]] == [("data", "done")]

    def test_name_the_command_that_is_missing(self, config, quick_stages, capsys):
        assert main(["evaluate", config, "run.seed=2"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: stage evaluate needs the result of stage data")
        assert f"run first: waferroute data {config} run.seed=2" in said
        assert quick_stages == []

    def test_refuse_several_processes_except_to_distill(self, config, quick_stages, capsys, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(["adapt", config]) == 2
        assert "only `waferroute distill` and `pretrain` run in several processes" in capsys.readouterr().err


def test_the_students_on_the_command_line_are_those_of_the_configuration():
    from distill.config import STAGES

    assert tuple(STAGES) == STUDENTS


class TestFailures:
    @pytest.fixture
    def failing(self, monkeypatch: pytest.MonkeyPatch):
        def fail_with(error: BaseException) -> None:
            def action(args) -> int:
                raise error

            monkeypatch.setattr(waferroute.cli.config, "run_show", action)

        return fail_with

    def test_wrong_input(self, failing, capsys):
        failing(InputError("no image in DIR"))
        assert main(["config", "show", "x"]) == 2
        output = capsys.readouterr()
        assert output.err == "error: no image in DIR\n" and output.out == ""

    def test_interrupt(self, failing, capsys):
        failing(KeyboardInterrupt())
        assert main(["config", "show", "x"]) == 130
        assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"

    def test_interrupt_that_a_package_tells_of_as_its_own_failure(self, monkeypatch, capsys):
        def loading(args) -> int:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except KeyboardInterrupt:
                raise ImportError("initialization failed") from None
            return 0

        monkeypatch.setattr(waferroute.cli.config, "run_show", loading)
        assert main(["config", "show", "x"]) == 130
        assert capsys.readouterr().err == "interrupted; run the same command again to go on\n"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_full_disk(self, failing, capsys):
        import errno

        failing(OSError(errno.ENOSPC, "No space left on device", "weights.safetensors"))
        assert main(["config", "show", "x"]) == 2
        assert "weights.safetensors: free some space" in capsys.readouterr().err

    def test_missing_training_side(self, failing, capsys):
        failing(ModuleNotFoundError("No module named 'omegaconf'", name="omegaconf"))
        assert main(["config", "show", "x"]) == 2
        assert 'omegaconf is not installed: pip install "waferroute[train]"' in capsys.readouterr().err

    @pytest.mark.parametrize(
        "error",
        [ValueError("a bug"), ModuleNotFoundError("gone", name="teacher.fit"), FileNotFoundError("x")],
    )
    def test_a_bug_keeps_its_traceback(self, failing, error):
        failing(error)
        with pytest.raises(type(error)):
            main(["config", "show", "x"])

    def test_of_what_a_launcher_starts_only_the_main_process_speaks(self, capsys, monkeypatch):
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(["distill", "nowhere.yaml"]) == 2
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("command", ["run", "data", "adapt", "calibrate", "export", "evaluate"])
    def test_what_refuses_a_launcher_is_never_silent(self, command, capsys, monkeypatch):
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main([command, "nowhere.yaml"]) == 2
        assert "nowhere.yaml" in capsys.readouterr().err

    def test_in_the_shell_of_a_job_everything_else_speaks(self, failing, capsys, monkeypatch):
        failing(InputError("wrong"))
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert main(["config", "show", "x"]) == 2
        assert capsys.readouterr().err == "error: wrong\n"

    def test_an_unset_variable_of_the_shell_is_not_the_working_directory(self, capsys):
        assert main(["inspect", "bundle", ""]) == 2
        assert "an argument is empty (behind 'bundle')" in capsys.readouterr().err

    def test_an_empty_folder_to_write_into(self, capsys):
        assert main(["inspect", "bundle", "images", "--heatmaps", ""]) == 2
        assert "an argument is empty (behind '--heatmaps')" in capsys.readouterr().err

    def test_a_missing_configuration(self, capsys):
        assert main(["run", "nowhere.yaml"]) == 2
        assert "error: configuration nowhere.yaml does not exist" in capsys.readouterr().err

    def test_a_missing_bundle(self, capsys, tmp_path):
        assert main(["inspect", str(tmp_path / "bundle"), str(tmp_path)]) == 2
        assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("command", [["config"], ["run", "--help"]])
def test_a_reader_that_goes_away_is_no_error(command):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        line = [sys.executable, "-m", "waferroute", *command]
        buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        ended = subprocess.run(
            line, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, env=buffered
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")
