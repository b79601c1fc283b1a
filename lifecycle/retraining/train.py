"""Step 3: `waferroute run` on the extracted images, up to the bundle, in a process of its own.

The run keeps its own records and checkpoints (`waferroute.pipeline`), so a killed training goes on where it was.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lifecycle.retraining.extract import FOLDER as EXTRACT
from lifecycle.retraining.plan import Plan
from wafer_data.child_ends import ending_with_us
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.own_code import child_command, child_environment

FOLDER = "train"


def train(plan: Plan) -> dict[str, Any]:
    """Do the step; the run is `train/run`.

    Raises:
        InputError: The training did not end well; it has said why.
    """
    run_stages(plan, "--until", "export")
    return {"bundle": read_json(bundle_of(plan) / "manifest.json")["provenance"]}


def bundle_of(plan: Plan) -> Path:
    """The candidate."""
    return run_of(plan) / "bundle"


def run_of(plan: Plan) -> Path:
    """The run folder that makes it; a folder of its own, for a run shares with nobody."""
    return plan.folder / FOLDER / "run"


def run_stages(plan: Plan, *options: str) -> None:
    """`waferroute run` of this retraining, its messages among ours.

    Raises:
        InputError: It did not end well.
    """
    settings = plan.config.train
    overrides = [
        *settings.overrides,
        "data.format=mvtec",
        f"data.root={(plan.folder / EXTRACT / 'images' / 'data').resolve()}",
        f"data.labelled_defects_per_type={settings.labels_per_type}",
        f"run.dir={run_of(plan).resolve()}",
    ]
    command = child_command("waferroute", "run", settings.config, *overrides, *options)
    process = subprocess.Popen(
        command, stdout=sys.stderr.fileno() if _has_number(sys.stderr) else None, stdin=subprocess.DEVNULL,
        # a training whose retraining was killed must not go on: the next try would find its folder held
        env=child_environment(), preexec_fn=ending_with_us(signal.SIGKILL),
    )  # fmt: skip
    try:
        status = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    if status:
        said = f"signal {-status}" if status < 0 else f"status {status}"
        raise InputError(
            f"the training in {run_of(plan)} ended with {said}; it says why above. The same command goes on"
        )


def _has_number(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True
