"""Two processes on one machine, as `accelerate launch` starts them, learn what one process learns."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.stages import run_stage
from tests.conftest import tiny_distill_config
from tests.distill.toy import copy_of_state, plain_model, toy_task, train
from training.tensors import load_tensors
from wafer_data.store import ImageStore

# Without GPUs too: `--cpu` starts one process whatever `--num_processes` says; ACCELERATE_USE_CPU below says CPU.
LAUNCH = [
    *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]


def run_without_lowres(tiny_run: Path, run_dir: Path) -> Path:
    shutil.copytree(tiny_run, run_dir)
    shutil.rmtree(run_dir / "lowres")
    return run_dir


def curve(run_dir: Path, column: str) -> list[float]:
    with (run_dir / "lowres" / "losses.csv").open(newline="") as handle:
        return [float(row[column]) for row in csv.DictReader(handle) if row["phase"] == "imitation"]


@pytest.fixture(scope="module")
def two(tiny_run, tmp_path_factory) -> Path:
    """A folder with what two processes left; the stage they trained is in `run`."""
    out = tmp_path_factory.mktemp("two")
    run_dir = run_without_lowres(tiny_run, out / "run")
    command = [sys.executable, *LAUNCH, "-m", "tests.distill.two_processes_worker", str(out), str(run_dir)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return out


def test_every_image_is_seen_once_an_epoch_over_both(two):
    asked = [json.loads((two / f"asked-{rank}.json").read_text()) for rank in (0, 1)]
    steps = 24 // 8
    assert [len(calls) for calls in asked] == [3 * steps, 3 * steps]
    for epoch in range(3):
        part = slice(epoch * steps, (epoch + 1) * steps)
        assert sorted(np.concatenate(asked[0][part] + asked[1][part])) == list(range(24))
    assert {len(rows) for calls in asked for rows in calls} == {4}


def test_they_step_on_the_gradient_of_the_whole_batch(two, tmp_path):
    one = plain_model()
    train(toy_task(one, images=24, epochs=3), tmp_path)
    first, second = (load_tensors(two / f"plain-{rank}.safetensors") for rank in (0, 1))
    for name, value in copy_of_state(one).items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-5)


def test_averaged_weights_and_early_stopping_agree(two):
    first, second = (load_tensors(two / f"everything-{rank}.safetensors") for rank in (0, 1))
    assert all(torch.equal(first[k], second[k]) for k in first)
    rows, none = (json.loads((two / f"rows-{rank}.json").read_text()) for rank in (0, 1))
    assert none == []  # only the main process records
    assert all(np.isfinite(row["held_out"]) for row in rows)


def test_the_loss_curve_is_that_of_one_process_with_two_micro_batches(two, tiny_run, tmp_path):
    """Both normalise the same half batches with their own statistics, so nothing but the order of sums differs."""
    run_dir = run_without_lowres(tiny_run, tmp_path / "run")
    config = tiny_distill_config()
    halves = config.lowres.model_copy(update={"gradient_accumulation": 2})
    store = ImageStore.open(run_dir / "data")
    run_stage("lowres", config.model_copy(update={"lowres": halves}), run_dir, store)
    for column in ("distill", "distill_normal", "distill_synthetic"):
        assert curve(two / "run", column) == pytest.approx(curve(run_dir, column), rel=1e-4), column


def test_the_loss_curve_is_near_that_of_one_process(two, tiny_run):
    """What is left is batch normalisation: each process normalises its 4 of the 8 images.

    The deepest layer has 4 x 4 positions, so its statistics rest on 64 values a channel. A spread estimated from n
    values is off by about 1 / sqrt(2 n), here 9 %, a squared error by twice that, and layers add up.
    """
    one, both = curve(tiny_run, "distill"), curve(two / "run", "distill")
    assert len(one) == len(both) == tiny_distill_config().lowres.epochs
    assert both == pytest.approx(one, rel=0.4)
