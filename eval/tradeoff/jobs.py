"""Measurements to do, each run in a process of its own."""

import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from wafer_data.errors import InputError
from wafer_data.own_code import child_command, child_environment

BATCHES = (1, 8, 32, 64)


@dataclass(frozen=True)
class Job:
    """What to time.

    Attributes:
        kind: "graph" (an ONNX file at `path`), "route" (a bundle at `path`; the share `share` of the images is
            escalated) or "torch" (the model `model` in the folder `path`, on `device`).
        inputs: .npy file of float32 images (N, 1, S, S).
        batches: Sizes to time.
        seconds: For each.
        least: Calls at least.
    """

    kind: Literal["graph", "route", "torch"]
    model: str
    path: Path
    inputs: Path
    threads: int = 1
    batches: tuple[int, ...] = BATCHES
    seconds: float = 1.0
    least: int = 20
    share: float = 0.0
    device: str = "cpu"


def run_job(job: Job, patience_s: float = 600.0) -> dict[str, Any]:
    """Rows (a `Timing` each, with memory_bytes) and, of a route, the times of both kinds of image.

    Raises `InputError` with what the process said when it fails, and when it takes more than `patience_s`.
    """
    given = {name: str(v) if isinstance(v, Path) else v for name, v in asdict(job).items()}
    try:
        done = subprocess.run(
            child_command("eval.tradeoff.worker"),
            input=json.dumps(given),
            capture_output=True,
            text=True,
            env=child_environment(OMP_NUM_THREADS=str(job.threads)),
            timeout=patience_s,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"timing took more than {patience_s:.0f} s") from None
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise InputError(said[0])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
