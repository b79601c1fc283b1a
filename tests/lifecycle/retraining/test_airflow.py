"""The DAG calls the same steps as the command. Where Airflow is installed, a whole run of it is done for real.

Airflow lives in an environment of its own; WAFERROUTE_AIRFLOW names its command where it is not on the path:

    python -m venv /tmp/airflow && /tmp/airflow/bin/pip install -r deploy/airflow/requirements.txt
    WAFERROUTE_AIRFLOW=/tmp/airflow/bin/airflow python -m pytest tests/lifecycle/retraining/test_airflow.py
"""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lifecycle.conductor.shadow import shadow_of
from lifecycle.retraining.config import RetrainingConfig
from service.versions.folder import VersionFolder
from wafer_data.own_code import ROOT
from waferroute.cli.start import build_parser
from waferroute.retraining import STEPS

DEPLOY = Path(__file__).parents[3] / "deploy" / "airflow"
DAG_FILE = DEPLOY / "waferroute_retrain.py"
AIRFLOW = os.environ.get("WAFERROUTE_AIRFLOW") or shutil.which("airflow")
WHY_NOT = "Airflow is not installed here (its pins do not go with ours): see deploy/airflow/requirements.txt"


@pytest.fixture(scope="module")
def tree() -> ast.Module:
    return ast.parse(DAG_FILE.read_text(encoding="utf-8"))


def dags(tree: ast.Module) -> dict[str, dict[str, ast.expr]]:
    """Keyword arguments of each DAG(...) by the name of the constant that is its id."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "DAG"]
    return {call.args[0].id: {k.arg: k.value for k in call.keywords} for call in calls}


def test_the_steps_are_those_of_the_command_in_their_order(tree: ast.Module):
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    (steps,) = [node.value for node in assigned if getattr(node.targets[0], "id", "") == "STEPS"]
    assert ast.literal_eval(steps) == STEPS
    for step in STEPS:
        build_parser().parse_args(["retrain", "x.yaml", "--id", "monthly-2026-12", "--step", step])
    build_parser().parse_args(["retrain", "x.yaml", "--due", "--json"])


def test_it_imports_airflow_and_the_standard_library_only(tree: ast.Module):
    names = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    names += [alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names]
    roots = {name.partition(".")[0] for name in names}
    assert roots - {"airflow"} <= sys.stdlib_module_names


def test_one_run_at_a_time_on_the_1st_and_nothing_is_made_up_for(tree: ast.Module):
    found = dags(tree)
    assert set(found) == {"RETRAIN", "ON_DRIFT"}
    for settings in found.values():
        assert ast.literal_eval(settings["max_active_runs"]) == 1
        assert ast.literal_eval(settings["catchup"]) is False
        assert ast.literal_eval(settings["is_paused_upon_creation"]) is True
    minute, hour, day, month, weekday = ast.literal_eval(found["RETRAIN"]["schedule"]).split()
    assert (day, month, weekday) == ("1", "*", "*") and minute.isdigit() and hour.isdigit()


def test_its_environment_is_pinned_exactly():
    lines = [
        line for line in (DEPLOY / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    ]
    assert len(lines) > 50 and all(re.fullmatch(r"[A-Za-z0-9_.-]+==[^ ]+", line) for line in lines)
    (required,) = [
        line for line in (DEPLOY / "requirements.txt").read_text().splitlines() if line[:1].isalpha()
    ]
    assert required in lines and required.startswith("apache-airflow==")


@pytest.mark.end_to_end
@pytest.mark.skipif(AIRFLOW is None, reason=WHY_NOT)
def test_a_whole_run_of_the_dag_ends_with_a_version_in_shadow(retraining_file: Path, tmp_path: Path):
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(DEPLOY),
        "WAFERROUTE": shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", "waferroute"]),
        "WAFERROUTE_RETRAINING": str(retraining_file),
        "WAFERROUTE_QUIET": "1",
    }
    for more in (
        ["db", "migrate"],
        ["dags", "test", "-f", str(DAG_FILE), "waferroute_retrain", "-c", '{"id": "by-airflow"}'],
    ):
        ended = subprocess.run(
            [str(AIRFLOW), *more], env=environment, capture_output=True, text=True, timeout=3000
        )
        assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-5000:]
    models = VersionFolder(tmp_path / "data" / "models")
    assert [version.name for version in models.versions()] == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]
    assert shadow_of(models.path)[0] == "vae-wafer-v1.1.0"
    assert models.get("v1.1.0").about["retraining"] == "by-airflow"
    for step in STEPS:
        assert (
            json.loads((tmp_path / "work" / "by-airflow" / step / "stage.json").read_text())["status"]
            == "done"
        )


@pytest.mark.end_to_end
@pytest.mark.skipif(AIRFLOW is None, reason=WHY_NOT)
def test_a_scheduled_run_asks_the_calendar_and_a_manual_one_keeps_its_name(
    config: RetrainingConfig, tmp_path: Path
):
    settings = tmp_path / "retraining.yaml"
    later = config.model_copy(update={"due": config.due.model_copy(update={"monthly": False})})
    settings.write_text(json.dumps(later.model_dump(mode="json")))
    program = """
from types import SimpleNamespace as Run
import waferroute_retrain as dag
from airflow.sdk.exceptions import AirflowSkipException
choose = dag.choose.function
print("name", choose(Run(conf={"id": "drift-2026-12-09"}, run_type="manual", run_id="x")))
print("name", choose(Run(conf={}, run_type="manual", run_id="manual__2026-12-09T10:11:12+00:00")))
try:
    choose(Run(conf={}, run_type="scheduled", run_id="scheduled__2026-11-01"))
except AirflowSkipException as skipped:
    print("skipped", skipped)
"""
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "WAFERROUTE": shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-P", "-m", "waferroute"]),
        "WAFERROUTE_RETRAINING": str(settings),
    }
    python = Path(str(AIRFLOW)).with_name("python")
    ended = subprocess.run(
        [str(python), "-c", program], env=environment, cwd=DEPLOY, capture_output=True, text=True
    )
    lines = [line for line in ended.stdout.splitlines() if line.startswith(("name ", "skipped "))]
    assert lines == [
        "name drift-2026-12-09",
        "name manual-2026-12-09T10-11-12-00-00",
        "skipped no monthly retraining is due now",
    ], ended.stdout + ended.stderr
