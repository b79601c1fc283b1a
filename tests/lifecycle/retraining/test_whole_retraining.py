"""`waferroute retrain` as a person types it, with a real training, killed in each of its steps.

Images are synthetic and the backbone has random weights: nothing here says how well a retraining works.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lifecycle.conductor.shadow import shadow_of
from service.versions.folder import VersionFolder
from waferroute.retraining import STEPS

pytestmark = pytest.mark.end_to_end
PATIENCE_S = 600.0


def command(settings: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "waferroute", "retrain", str(settings), *more]


def status_of(folder: Path, step: str) -> str | None:
    record = folder / step / "stage.json"
    try:
        return json.loads(record.read_text())["status"]
    except (OSError, ValueError):
        return None


def kill_in(settings: Path, folder: Path, step: str) -> str | None:
    """SIGKILL as soon as the step is seen to have begun or ended; what its record then says."""
    with (folder.parent.parent / "said.txt").open("w") as said:
        process = subprocess.Popen(
            command(settings, "--id", "first"), stdout=subprocess.DEVNULL, stderr=said,
            env={**os.environ, "WAFERROUTE_QUIET": "1"},
        )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and status_of(folder, step) is None:
        assert time.monotonic() < deadline, f"{step} was not reached"
        time.sleep(0.002)
    process.kill()
    process.wait()
    return status_of(folder, step)


def test_killed_in_every_step_it_goes_on_and_registers_one_whole_version(
    retraining_file: Path, tmp_path: Path
):
    folder, models = tmp_path / "work" / "first", VersionFolder(tmp_path / "data" / "models")
    for step in STEPS:
        reached = kill_in(retraining_file, folder, step)
        assert reached in ("begun", "done"), (tmp_path / "said.txt").read_text()
        # what is there is whole: a version has its bundle, and the pointer is where it was
        for version in models.versions():
            assert version.gate is None or version.gate["passed"]
            models.require_usable(version)
        assert len(models.versions()) <= 2
        assert models.pointer().champion == "vae-wafer-v1.0.0"
    done = subprocess.run(command(retraining_file, "--id", "first", "--json"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [one["step"] for one in found["steps"]] == list(STEPS)
    assert found["version"] == "vae-wafer-v1.1.0" and found["gate"]["passed"]
    assert [version.name for version in models.versions()] == ["vae-wafer-v1.0.0", "vae-wafer-v1.1.0"]
    assert shadow_of(models.path)[0] == "vae-wafer-v1.1.0"
    about = models.get("v1.1.0").about
    assert about["retraining"] == "first" and {"data_fingerprint", "certificate", "report"} <= set(about)
    assert list(models.path.glob(".*.part")) == list(folder.rglob("*.part")) == []
    again = subprocess.run(
        command(retraining_file, "--id", "first", "--json"), capture_output=True, text=True
    )
    assert {one["status"] for one in json.loads(again.stdout)["steps"]} == {"skipped"}
