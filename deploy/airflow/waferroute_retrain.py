"""Retraining under Airflow: the same seven steps as `waferroute retrain`, a task each.

Two DAGs. `waferroute_retrain` runs on the 1st of each month, when a person triggers it, and when
`waferroute_retrain_on_drift`, which looks once a day, finds that drift calls for it and the site's settings let it.

Airflow has an environment of its own (requirements.txt beside this file): its pins and those of waferroute do not go
together. So a task starts the command of the other environment:

    WAFERROUTE             how to start it, for example /opt/waferroute/bin/waferroute
    WAFERROUTE_RETRAINING  its settings, for example /etc/waferroute/retraining.yaml

Steps are idempotent and resume, so a task may be retried or cleared at will. The gate's "no" is not retried. Both DAGs
are paused when Airflow first sees them. Unpausing in the middle of a month makes Airflow run the last 1st at once; that
run asks `waferroute retrain --due`, which knows the calendar, and is skipped.
"""

import json
import os
import re
import shlex
import subprocess
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

STEPS = ("extract", "validate", "train", "evaluate", "gate", "register", "shadow")
RETRAIN, ON_DRIFT = "waferroute_retrain", "waferroute_retrain_on_drift"
GATE_SAID_NO = 1
# what belongs to Airflow's environment is not for the other one
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


def waferroute(*arguments: str) -> tuple[int, str]:
    """Run `waferroute retrain` with these arguments: exit status and standard output; messages go to the task's log."""
    command = [*shlex.split(os.environ.get("WAFERROUTE", "waferroute")), "retrain", settings(), *arguments]
    print("$", shlex.join(command), flush=True)
    environment = {key: value for key, value in os.environ.items() if key not in _OURS}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=None, stdin=subprocess.DEVNULL, text=True, env=environment
    )
    try:
        said, _ = process.communicate()
    except BaseException:  # the task was ended: what it started ends with it
        process.terminate()
        process.wait()
        raise
    print(said, flush=True)
    return process.returncode, said


def settings() -> str:
    """The settings file."""
    return os.environ.get("WAFERROUTE_RETRAINING", "/etc/waferroute/retraining.yaml")


def is_due() -> dict:
    """What `waferroute retrain --due` says."""
    status, said = waferroute("--due", "--json")
    if status:
        raise RuntimeError(f"waferroute retrain --due ended with status {status}; its messages stand above")
    return json.loads(said)


@task
def choose(dag_run=None) -> str:
    """Name the retraining that this run is about; skip everything if the calendar asks for none."""
    asked = (dag_run.conf or {}).get("id")
    if asked:
        return str(asked)
    if str(dag_run.run_type).rpartition(".")[2].lower() == "scheduled":
        found = is_due()
        if found.get("trigger") != "monthly":
            raise AirflowSkipException("no monthly retraining is due now")
        return found["id"]
    # a run that is cleared keeps its name, and so goes on with its own retraining
    return re.sub(r"[^A-Za-z0-9.-]+", "-", f"manual-{dag_run.run_id.removeprefix('manual__')}")[:80]


def do(step: str, name: str) -> None:
    """One step of a retraining."""
    status, _ = waferroute("--id", name, "--step", step)
    if step == "gate" and status == GATE_SAID_NO:
        raise AirflowFailException(
            f"{name}: the candidate did not pass its gate; the reasons and the page stand above"
        )
    if status:
        raise RuntimeError(f"{name}: step {step} ended with status {status}; its messages stand above")


with DAG(
    RETRAIN,
    description="Three months of validated images to a gated version in shadow",
    schedule="0 3 1 * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["waferroute"],
    doc_md=__doc__,
):
    chosen = choose()
    last = None
    for one in STEPS:
        now = task(task_id=one)(do)(one, chosen)
        if last is not None:
            last >> now
        last = now


with DAG(
    ON_DRIFT,
    description="Looks once a day whether drift calls for a retraining",
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["waferroute"],
    doc_md=__doc__,
):

    @task
    def ask() -> str:
        """The name of the retraining that drift calls for; skip if there is none, or if a person has to confirm it."""
        found = is_due()
        if found.get("trigger") != "drift":
            raise AirflowSkipException("nothing drifts that calls for a retraining")
        if not found["start"]:
            raise AirflowSkipException(
                f"a person has to confirm: {found['why']} (trigger {RETRAIN} with id {found['id']})"
            )
        return found["id"]

    name = ask()
    start = TriggerDagRunOperator(
        task_id="start",
        trigger_dag_id=RETRAIN,
        trigger_run_id=str(name),
        conf={"id": str(name)},
        skip_when_already_exists=True,
    )
