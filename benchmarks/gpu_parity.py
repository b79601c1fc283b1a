"""The last parts of `gpu.py`: do a run's students decide on the GPU as its graphs do on the CPU, and how fast?"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import torch
from gpu_parts import Bench
from PIL import Image

from distill.calibration import calibrate_run
from distill.config import DistillConfig, PoolConfig
from distill.stages import run_stage
from router.config import RouterConfig
from router.policy import RoutingPolicy
from router.route_scores import RouteScores, look
from student_vae import StudentVAE, load_student
from teacher.config import TeacherConfig
from teacher.fit import fit_teacher
from teacher.questions.config import QuestionsConfig
from tool_side.export.graph import scoring_graph
from tool_side.export.parity import compare_scores, graph_scores
from tool_side.export.write import to_bytes
from wafer_data.config import DataConfig
from wafer_data.files import read_json
from wafer_data.micrograph import KNOWN_TYPES, MicrographConfig, draw_micrograph, normal_image
from wafer_data.store import ImageStore, prepare_data

STUDENTS = ("lowres", "full")


def parity(bench: Bench) -> dict[str, Any]:
    """A short run on drawn micrographs, trained here: test images by CPU graphs, and by the GPU in float32 and bf16."""
    with TemporaryDirectory() as temporary:
        folder = bench.keep or Path(temporary)
        run = folder / "run"
        store = _trained(bench, folder, run)
        policy = RoutingPolicy.from_dict(read_json(run / "router" / "policy.json"))
        students = {name: load_student(run / name).eval() for name in STUDENTS}
    normals = store.indices("test", label=0)
    every = [*normals, *store.indices("test", label=1)]
    images = np.stack([look(policy.gate, store.grey(int(i))).seen for i in every])
    graphs = {name: to_bytes(scoring_graph(student)) for name, student in students.items()}
    bench.found["graph"] = graphs["full"]
    try:
        cpu = RouteScores(**{name: graph_scores(graph, images, name) for name, graph in graphs.items()})
        decided = cpu.under(policy)
        kinds, counts = np.unique(decided.decisions.astype(str), return_counts=True)
        bench.note("test_images", len(images))
        bench.note("normal_test_images", len(normals))
        bench.note("decisions_of_the_cpu", dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
        bench.note("escalated_by_the_cpu", int(decided.escalated.sum()))
        for name in ("float32", "tf32", "bf16"):  # cuDNN's convolutions are in tf32 unless told otherwise
            torch.backends.cudnn.allow_tf32 = name == "tf32"
            found = RouteScores(
                **{key: _scores(bench, student, images, name == "bf16") for key, student in students.items()}
            )
            bench.note(f"device_in_{name}", compare_scores(policy, cpu, found, len(normals)).to_dict())
    finally:
        Bench.graph = bench.found.pop("graph")
    return bench.found


def _trained(bench: Bench, folder: Path, run: Path) -> ImageStore:
    normals, tests, each, generated, epochs = (300, 100, 12, 600, 4) if bench.on_gpu else (72, 8, 2, 24, 1)
    started = time.monotonic()
    config = MicrographConfig()
    for i in range(normals):
        _save(folder / f"set/train/good/{i:04d}.png", normal_image(config, 0, i))
    for i in range(tests):
        _save(folder / f"set/test/good/{i:04d}.png", normal_image(config, 1, i))
    for kind in KNOWN_TYPES:
        for i in range(each):
            _save(folder / f"set/test/{kind}/{i:04d}.png", draw_micrograph(config, 2, i, kind).image)
    bench.note("drawing_seconds", round(time.monotonic() - started, 1))
    store = prepare_data(DataConfig(format="mvtec", root=str(folder / "set")), run / "data")
    teacher = TeacherConfig(
        bf16=True, batch_size=64 if bench.on_gpu else 16, questions=QuestionsConfig(ask=[])
    )
    fit_teacher(teacher, store, run / "teacher")
    bench.note("teacher_seconds", round(time.monotonic() - started, 1))
    distill = DistillConfig(
        pool=PoolConfig(generated=generated),
        mixed_precision="bf16" if bench.on_gpu else "no",
        wandb="disabled",
    )
    short = {
        name: getattr(distill, name).model_copy(update={"epochs": epochs, "elbo_epochs": 0, "copies": 1})
        for name in ("intermediate", "target", "full", "lowres")
    }
    distill = distill.model_copy(update=short)
    for name in short:
        run_stage(name, distill, run, store)
    bench.note("students_seconds", round(time.monotonic() - started, 1))
    calibrate_run(run, store, RouterConfig())
    bench.note("calibrated_seconds", round(time.monotonic() - started, 1))
    return store


def _save(path: Path, grey: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((255 * grey).astype(np.uint8)).save(path, compress_level=1)


@torch.inference_mode()
def _scores(bench: Bench, student: StudentVAE, images: np.ndarray, bf16: bool) -> np.ndarray:
    """(n,) float64; in bf16 the trunk computes, the likelihood stays in float32 as it does in training."""
    model = student.to(bench.device)
    found = []
    for start in range(0, len(images), 64):
        batch = torch.from_numpy(images[start : start + 64, None]).to(bench.device)
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=bf16):
            features = model.features(batch)
        found.append(model.likelihood(features.float()).score.double().cpu())
    return torch.cat(found).numpy()


def onnxruntime_speed(bench: Bench) -> dict[str, Any]:
    """The full student's graph by every provider that is installed here, batch 64; what is not, by name."""
    wanted = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")
    graph = getattr(Bench, "graph", None)
    if graph is None:
        return {"note": "no graph: the part `parity` did not get so far"}
    feed = {"image": np.random.default_rng(0).random((64, 1, 256, 256), dtype=np.float32)}
    for name in wanted:
        if name not in onnxruntime.get_available_providers():
            bench.note(name, "not installed here (onnxruntime-gpu)")
            continue
        session = onnxruntime.InferenceSession(graph, providers=[name])
        if session.get_providers()[0] != name:
            bench.note(name, "installed but not usable here")
            continue
        session.run(None, feed)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < max(1.0, 0.3 * bench.left):
            session.run(None, feed)
            count += 64
        bench.note(name, bench.rate(count, time.perf_counter() - started))
    return bench.found
