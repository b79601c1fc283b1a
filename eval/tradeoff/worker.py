"""One measurement in a process of its own, so that its memory and its threads are its own.

Reads a job (JSON, see `eval.tradeoff.jobs.Job`) on standard input, writes timings and peak memory on its output.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tool_side.bench.process_memory import peak_bytes
from tool_side.bench.timing import time_calls

Call = Callable[[int], object]
_LONGEST_CELL_S = 5.0
_KEPT_TIMES = 1000


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Do the job. Batch sizes rise, so that the peak memory after each one is that size's."""
    images = np.load(job["inputs"], allow_pickle=False)
    kinds = {"graph": _graph, "route": _route, "torch": _torch}
    calls, more, memory = kinds[job["kind"]](job, images)
    rows = []
    for batch in sorted(job["batches"]):
        call = calls(batch)
        least = _affordable(call, job["least"])
        timing = time_calls(call, batch=batch, seconds=job["seconds"], least=least)
        rows.append(asdict(timing) | {"memory_bytes": memory()})
    return {"rows": rows, **more()}


def _affordable(call: Call, least: int) -> int:
    """Fewer calls of what takes long, three at the least."""
    call(0)
    started = perf_counter()
    call(1)
    return max(3, min(least, int(_LONGEST_CELL_S / max(perf_counter() - started, 1e-9))))


def _slices(images: np.ndarray, batch: int) -> list[np.ndarray]:
    """Batches of different images in turn: a single repeated one would stay in the processor's cache."""
    ring = np.resize(images, (max(len(images), 2 * batch), *images.shape[1:]))
    starts = [7 * run % (len(ring) - batch + 1) for run in range(min(len(ring), 64))]
    return [ring[start : start + batch] for start in starts]


def _graph(job: dict[str, Any], images: np.ndarray) -> tuple[Callable[[int], Call], Any, Any]:
    import onnxruntime

    from tool_side.runtime.session import STUDENT_OUTPUTS, session_options

    session = onnxruntime.InferenceSession(
        Path(job["path"]).read_bytes(), session_options(job["threads"]), providers=["CPUExecutionProvider"]
    )

    def calls(batch: int) -> Call:
        parts = _slices(images, batch)
        return lambda run: session.run(STUDENT_OUTPUTS, {"image": parts[run % len(parts)]})

    return calls, dict, peak_bytes


def _route(job: dict[str, Any], images: np.ndarray) -> tuple[Callable[[int], Call], Any, Any]:
    """The whole route on decoded images, one after the other as the runtime does; a stated share is escalated."""
    from tool_side.bench.images import on_route
    from tool_side.runtime.inspector import Inspector

    inspector = Inspector(job["path"], threads=job["threads"])
    low, high = (on_route(inspector, escalate=way) for way in (False, True))
    share, recipe = job["share"], inspector.recipes[0]

    def inspect(number: int) -> None:
        escalated = int((number + 1) * share) > int(number * share)
        (high if escalated else low).inspect(images[number % len(images), 0], recipe=recipe)

    def calls(batch: int) -> Call:
        def call(run: int) -> None:
            for number in range(run * batch, (run + 1) * batch):
                inspect(number)

        return call

    def more() -> dict[str, Any]:
        def times(way: Inspector) -> list[float]:
            return _times(
                lambda run: way.inspect(images[run % len(images), 0], recipe=recipe), job["seconds"]
            )

        return {"low_ms": times(low), "escalated_ms": times(high)}

    return calls, more, peak_bytes


def _times(call: Call, seconds: float) -> list[float]:
    """Milliseconds of single calls, in order."""
    for run in range(10):
        call(run)
    found: list[float] = []
    end = perf_counter() + seconds
    while len(found) < 50 or (perf_counter() < end and len(found) < _KEPT_TIMES):
        before = perf_counter()
        call(len(found))
        found.append(1e3 * (perf_counter() - before))
    return found


def _torch(job: dict[str, Any], images: np.ndarray) -> tuple[Callable[[int], Call], Any, Any]:
    import torch

    torch.set_num_threads(job["threads"])
    if job["model"] == "teacher":
        from teacher import load_teacher as load
    else:
        from student_vae import load_student as load  # type: ignore[assignment]
    device = torch.device(job["device"])
    model = load(Path(job["path"]))
    model.eval()
    model.to(device)

    @torch.inference_mode()
    def score(part: np.ndarray) -> None:
        # The copy there and back belongs to the time: images start and decisions end on the CPU.
        model.score(torch.from_numpy(part).to(device)).score.cpu()

    def calls(batch: int) -> Call:
        parts = _slices(images, batch)
        return lambda run: score(parts[run % len(parts)])

    memory = peak_bytes if device.type == "cpu" else lambda: torch.cuda.max_memory_allocated(device)
    return calls, dict, memory


def main(arguments: Sequence[str] = ()) -> None:
    """Read the job, do it, print the result as one JSON object."""
    print(json.dumps(work(json.load(sys.stdin))))


if __name__ == "__main__":
    main()
