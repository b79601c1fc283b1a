"""Times everything that a run holds, and puts its accuracy beside it."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.tradeoff.jobs import Job, run_job
from eval.tradeoff.points import Point, Study, ThresholdPoint
from eval.tradeoff.subject import Subject
from eval.tradeoff.thresholds import RouteTimes, threshold_points
from eval.tradeoff.variants import int8_graphs, precision_of
from router.route_scores import RouteScores, route_scores
from tool_side.bench.command import BUSY_BELOW_CORES, describe_machine, thread_settings, usable_cores
from tool_side.bundle.load import MODEL_NAMES
from tool_side.runtime.session import StudentGraph
from wafer_data.errors import InputError
from wafer_data.progress import Progress, track

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
    """Measure a run: each student's graph and the route at several batch sizes and thread counts.

    In full also the other models in PyTorch (else as the evaluation timed them), the students in 8 bits, the
    GPU if there is one, and `others`, runs judged on the same test images. After `seconds` (default 40, in
    full 420) nothing new begins.
    """
    short = mode == "short"
    cores = usable_cores()
    threads = [count for count in thread_settings(cores) if count <= _MOST_THREADS]
    with tempfile.TemporaryDirectory(prefix="waferroute_times_") as name, Progress():
        rows = np.unique(np.linspace(0, len(subject.indices) - 1, _IMAGES).round().astype(int))
        inputs = Path(name) / "inputs.npy"
        np.save(inputs, subject.run.store.batch(subject.indices[rows]))
        deadline = time.monotonic() + (seconds or (SHORT_S if short else FULL_S))
        work = _Work(Path(name), inputs, 0.3 if short else 1.5, 10 if short else 30, deadline)
        times = _students(subject, work, threads)
        if not short:
            for other in others:
                _students(other, work, [1])
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
    run, evaluation = subject.run, subject.evaluation
    assert evaluation.routing is not None
    lowres, full = (evaluation.models[name].scores for name in MODEL_NAMES)
    scores = RouteScores(lowres, full, evaluation.routing.routes == "none")
    normal_lowres = np.array(run.calibration["lowres"], dtype=np.float64)
    return threshold_points(run.policy, evaluation.labels, scores, normal_lowres, times)


def _students(subject: Subject, work: _Work, threads: Sequence[int]) -> RouteTimes | None:
    """Both graphs and the route of a bundle; the times of both kinds of image with one thread."""
    routing = subject.evaluation.routing
    if routing is None:
        work.notes.append("The run has no calibrated route, so no student was timed as on the tool.")
        return None
    bundle, whose = subject.run.bundle, f" of {subject.name}" if subject.name else ""
    share, times = routing.escalation_rate_normal or 0.0, None
    sizes = {name: len(bundle.contents[bundle.models[name].file]) for name in MODEL_NAMES}
    for count in threads:
        job = Job("route", "routed", bundle.path, work.inputs, count, share=share)
        found = work.do(job, f"The route{whose}, threads: {count},")
        if found is not None:
            both = RouteTimes(np.array(found["low_ms"]), np.array(found["escalated_ms"]))
            times = both if count == 1 else times
            timed = f"route in the tool-side runtime, {100 * share:.1f} % escalated"
            for row in found["rows"]:
                point = subject.point("routed", row, count, timed, sum(sizes.values()))
                work.points.append(replace(point, typical_ms=both.typical(share)))
        for name in MODEL_NAMES:
            job = Job("graph", name, bundle.path / bundle.models[name].file, work.inputs, count)
            found = work.do(job, f"{name}{whose}, threads: {count},")
            precision = precision_of(bundle, name)
            work.points += [
                subject.point(name, row, count, _GRAPH, sizes[name], precision=precision)
                for row in (found or {"rows": []})["rows"]
            ]
    return times


def _int8(subject: Subject, work: _Work) -> None:
    """Both students in 8 bits, timed and scored on all test images, and the route's accuracy with them."""
    run, routing = subject.run, subject.evaluation.routing
    if routing is None:
        return
    try:
        graphs = int8_graphs(run.folder, run.store, run.policy)
    except (InputError, RuntimeError, ValueError) as error:
        work.notes.append(f"No 8-bit graphs could be made: {error}")
        return
    students = {name: StudentGraph(name, data, 1).batch for name, data in graphs.items()}
    images = track(subject.indices, "scoring with the students in 8 bits")
    scores = route_scores(run.policy.gate, (run.store.pixels(int(index)) for index in images), students)
    for name, data in graphs.items():
        file = work.folder / f"{name}_int8.onnx"
        file.write_bytes(data)
        found = work.do(Job("graph", name, file, work.inputs), f"{name} in 8 bits")
        changed = {"precision": "int8", "delivered": False, **subject.accuracy(getattr(scores, name))}
        work.points += [
            subject.point(name, row, 1, _GRAPH, len(data), **changed)
            for row in (found or {"rows": []})["rows"]
        ]
    routed = scores.under(run.policy)
    other = int(np.sum(routed.decisions != routing.decisions))
    auroc = subject.accuracy(routed.ranks)["image_auroc"]
    work.notes.append(
        f"Routed with both students in 8 bits and the same thresholds, {other} of {len(routed.decisions)} test images "
        "are decided otherwise" + ("." if auroc is None else f"; image AUROC {auroc:.3f}.")
    )


def _torch_models(subject: Subject, work: _Work, names: Sequence[str], device: str) -> None:
    for name in names:
        folder = subject.run.folder / name
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
