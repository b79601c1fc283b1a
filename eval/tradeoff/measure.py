"""Times everything that a run holds, and puts its accuracy beside it."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.routing import decide
from eval.tradeoff.jobs import Job, run_job
from eval.tradeoff.points import Point, Study, ThresholdPoint
from eval.tradeoff.subject import Subject
from eval.tradeoff.thresholds import RouteTimes, threshold_points
from eval.tradeoff.variants import graph_scores, int8_graphs, precision_of, unpack
from tool_side.bench.command import BUSY_BELOW_CORES, describe_machine, thread_settings, usable_cores
from tool_side.bundle.load import MODEL_NAMES
from wafer_data.errors import InputError
from wafer_data.progress import Progress

_IMAGES = 96
_MOST_THREADS = 4
SHORT_S, FULL_S = 40.0, 420.0
"""After this a measurement begins nothing new."""
_GRAPH = "graph in ONNX Runtime"


@dataclass
class _Work:
    """What is still to be done and what came out of it."""

    folder: Path
    inputs: Path
    seconds: float
    least: int
    deadline: float
    points: list[Point] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    idle: bool = True

    def do(self, job: Job, what: str) -> dict[str, Any] | None:
        """Run one job; what fails or comes too late becomes a note."""
        if time.monotonic() > self.deadline:
            self.notes.append(f"{what} was not timed: the measurement had used its time.")
            return None
        try:
            found = run_job(replace(job, seconds=self.seconds, least=self.least))
        except InputError as error:
            self.notes.append(f"{what} could not be timed: {error}")
            return None
        if job.device == "cpu":
            self.idle &= min(row["cores"] for row in found["rows"]) >= BUSY_BELOW_CORES
        return found


def measure_study(
    subject: Subject,
    mode: Literal["short", "full"],
    others: Sequence[Subject] = (),
    seconds: float | None = None,
) -> Study:
    """Measure a run: each student's graph and the route at several batch sizes and thread counts. In full also the
    other models in PyTorch (else as the evaluation timed them), the students in 8 bits, the GPU if there is one,
    and `others`, runs judged on the same test images. After `seconds` (default 40, in full 420) nothing new begins.
    """
    short = mode == "short"
    cores = usable_cores()
    threads = [count for count in thread_settings(cores) if count <= _MOST_THREADS]
    with tempfile.TemporaryDirectory(prefix="waferroute_times_") as name, Progress():
        rows = np.unique(np.linspace(0, len(subject.indices) - 1, _IMAGES).round().astype(int))
        inputs = Path(name) / "inputs.npy"
        np.save(inputs, subject.store.batch(subject.indices[rows]))
        deadline = time.monotonic() + (seconds or (SHORT_S if short else FULL_S))
        work = _Work(Path(name), inputs, 0.3 if short else 1.5, 10 if short else 30, deadline)
        times = _students(subject, work, threads, "own")
        if not short:
            for number, other in enumerate(others):
                _students(other, work, [1], f"other{number}")
            _int8(subject, work)
            _torch_models(subject, work, ("teacher", "intermediate", "target"), "cpu")
            _gpu(subject, work)
    there = {point.model for point in work.points if not point.run}
    evaluated = [subject.evaluated_point(name) for name in subject.evaluation.models if name not in there]
    work.points += [point for point in evaluated if point is not None]
    if not work.idle:
        work.notes.append(
            "Other programs kept this computer busy while it was measured: the times are too long, their order holds "
            "better than their size, and medians hold best."
        )
    machine = describe_machine()
    return Study(
        mode=mode,
        measured=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{machine['processor']}, {machine['cores']} cores, {machine['system']}",
        cores=cores,
        images=len(rows),
        points=work.points,
        thresholds=[] if times is None else _thresholds(subject, times),
        low_ms=None if times is None else times.typical(0.0),
        full_ms=None if times is None else times.typical(1.0) - times.typical(0.0),
        notes=work.notes,
    )


def _thresholds(subject: Subject, times: RouteTimes) -> list[ThresholdPoint]:
    evaluation = subject.evaluation
    if evaluation.routing is None or subject.policy is None or subject.normal_lowres is None:
        return []
    return threshold_points(
        subject.policy,
        evaluation.labels,
        evaluation.models["lowres"].scores,
        evaluation.models["full"].scores,
        evaluation.routing.routes == "none",
        subject.normal_lowres,
        times,
    )


def _students(subject: Subject, work: _Work, threads: Sequence[int], label: str) -> RouteTimes | None:
    """Both graphs and the route of a bundle; the times of both kinds of image with one thread."""
    bundle, routing = subject.bundle, subject.evaluation.routing
    if bundle is None or routing is None:
        work.notes.append("The run has no calibrated route, so no student was timed as on the tool.")
        return None
    unpacked, whose = unpack(bundle, work.folder / label), f" of {subject.name}" if subject.name else ""
    share, times = routing.escalation_rate_normal or 0.0, None
    sizes = {name: len(bundle.contents[bundle.models[name].file]) for name in MODEL_NAMES}
    for count in threads:
        job = Job("route", "routed", unpacked, work.inputs, count, share=share)
        found = work.do(job, f"The route{whose}, threads: {count},")
        if found is not None:
            both = RouteTimes(np.array(found["low_ms"]), np.array(found["escalated_ms"]))
            times = both if count == 1 else times
            timed = f"route in the tool-side runtime, {100 * share:.1f} % escalated"
            for row in found["rows"]:
                point = subject.point("routed", row, count, timed, sum(sizes.values()))
                work.points.append(replace(point, typical_ms=both.typical(share)))
        for name in MODEL_NAMES:
            job = Job("graph", name, unpacked / bundle.models[name].file, work.inputs, count)
            found = work.do(job, f"{name}{whose}, threads: {count},")
            precision = precision_of(bundle, name)
            work.points += [
                subject.point(name, row, count, _GRAPH, sizes[name], precision=precision)
                for row in (found or {"rows": []})["rows"]
            ]
    return times


def _int8(subject: Subject, work: _Work) -> None:
    """Both students in 8 bits, timed and scored on all test images, and the route's accuracy with them."""
    labels, routing = subject.evaluation.labels, subject.evaluation.routing
    if subject.policy is None or routing is None:
        return
    try:
        graphs = int8_graphs(subject.run_dir, subject.store, subject.policy)
    except (InputError, RuntimeError, ValueError) as error:
        work.notes.append(f"No 8-bit graphs could be made: {error}")
        return
    scores = {}
    for name, data in graphs.items():
        file = work.folder / f"{name}_int8.onnx"
        file.write_bytes(data)
        scores[name] = graph_scores(data, subject.store, subject.indices, f"{name} in 8 bits")
        found = work.do(Job("graph", name, file, work.inputs), f"{name} in 8 bits")
        changed = {"precision": "int8", "delivered": False, **subject.accuracy(scores[name])}
        work.points += [
            subject.point(name, row, 1, _GRAPH, len(data), **changed)
            for row in (found or {"rows": []})["rows"]
        ]
    refused = routing.routes == "none"
    decisions, _, routed = decide(subject.policy, scores["lowres"], scores["full"], refused)
    other = int(np.sum(decisions != routing.decisions))
    auroc = subject.accuracy(np.where(np.isfinite(routed) & ~refused, routed, np.inf))["image_auroc"]
    work.notes.append(
        f"Routed with both students in 8 bits and the same thresholds, {other} of {len(labels)} test images are "
        "decided otherwise" + ("." if auroc is None else f"; image AUROC {auroc:.3f}.")
    )


def _torch_models(subject: Subject, work: _Work, names: Sequence[str], device: str) -> None:
    for name in names:
        folder = subject.run_dir / name
        if name not in subject.evaluation.models or not folder.is_dir():
            continue
        disk = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        found = work.do(
            Job("torch", name, folder, work.inputs, device=device), f"{name} in PyTorch on the {device}"
        )
        work.points += [
            subject.point(name, row, 1, "PyTorch", disk, device=device)
            for row in (found or {"rows": []})["rows"]
        ]


def _gpu(subject: Subject, work: _Work) -> None:
    import torch

    if torch.cuda.is_available():
        _torch_models(subject, work, ("teacher", "intermediate", "target", *MODEL_NAMES), "cuda")
    else:
        work.notes.append("No GPU was found, so nothing was timed on one.")
