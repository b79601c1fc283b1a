"""The parts of `gpu.py`: the product's teacher, its adaptation, its pretraining and its students, timed."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModel

from distill.config import DistillConfig
from distill.imitation import ImitationTask, imitation_training
from distill.pool import Pool
from distill.stages import TrunkFeatures
from distill.targets import CachedTargets, grey_on
from student_vae import StudentVAE
from teacher.backbones import Backbone, TransformersBackbone
from teacher.compiled import compile_blocks
from teacher.config import TeacherConfig
from teacher.gradient.anomaly_task import AnomalyTask
from teacher.gradient.config import LoraConfig
from teacher.gradient.examples import cell_labels
from teacher.gradient.lora import with_adapters
from teacher.model import Teacher
from teacher.normal_features import NormalFeatures
from teacher.pretrain.config import PretrainConfig
from teacher.pretrain.images import block_mask
from teacher.pretrain.task import UNKNOWN, MaskedDistillation
from teacher.project import project_images
from training.ahead import threads_for
from training.loop import Settings, Training, train
from wafer_data.mapped import new_mapped
from wafer_data.micrograph import MicrographConfig, normal_image

DIRECTIONS = 64
COMPILING_TAKES = 25.0
"""Seconds that must be left for something to be compiled."""


class _EnoughError(Exception):
    """The time is over."""


@dataclass
class Bench:
    """Where and until when a part measures.

    Attributes:
        peak: Dense bf16 operations a second that the maker states; None where no share of it is reported.
        until: On `time.monotonic`'s clock.
        keep: Where a run that is trained here stays; None: nowhere.
        found: So far; reported even if the rest breaks.
    """

    device: torch.device
    peak: float | None
    until: float
    keep: Path | None = None
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def note(self, name: str, value: Any) -> None:
        """Keep, and print at once."""
        self.found[name] = value
        print(f"  {name}: {value}", flush=True)

    def wait(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()

    def accelerator(self) -> Accelerator:
        return Accelerator(mixed_precision="bf16" if self.on_gpu else "no", cpu=not self.on_gpu)

    def rate(self, images: float, seconds: float, flops: float | None = None) -> dict[str, Any]:
        """Images a second and, for a number of operations an image, the share of the peak."""
        found: dict[str, Any] = {"images_per_second": round(images / seconds, 1)}
        if flops is not None:
            found["tflop_per_second"] = round(flops * images / seconds / 1e12, 2)
            found["share_of_bf16_peak"] = (
                round(flops * images / seconds / self.peak, 4) if self.peak else None
            )
        if self.on_gpu:
            found["peak_memory_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        return found


def drawn(count: int) -> np.ndarray:
    """(count, 256, 256) uint8: sixteen synthetic micrographs, each copy of one displaced."""
    few = [(255 * normal_image(MicrographConfig(), 0, i)).astype(np.uint8) for i in range(min(16, count))]
    return np.stack([np.roll(few[i % len(few)], (i // 16) % 256, axis=1) for i in range(count)])


def vit(bench: Bench) -> Backbone:
    """DINOv2-L's architecture with random weights; on a CPU a network of two narrow blocks."""
    sizes = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    if not bench.on_gpu:
        sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = AutoConfig.for_model("dinov2", patch_size=14, image_size=252, **sizes)
    with bench.device:
        return TransformersBackbone(AutoModel.from_config(config), None, 32).requires_grad_(False).eval()


def teacher_features(bench: Bench) -> dict[str, Any]:
    """Features as `adapt` computes them: image in, standardised and projected map out."""
    batch = 256 if bench.on_gpu else 4
    found = bench.found
    found |= {"backbone": "DINOv2-L, 325 tokens" if bench.on_gpu else "two narrow blocks", "batch": batch}
    teacher = Teacher(vit(bench), DIRECTIONS).to(bench.device).eval()
    nn.init.orthogonal_(teacher.projection)
    config = TeacherConfig(bf16=True, batch_size=batch, directions=DIRECTIONS)
    counts = drawn(batch)
    images = grey_on(bench.device, torch.from_numpy(counts[:, None]))

    def step() -> Tensor:
        return project_images(teacher, images, config)

    with FlopCounterMode(display=False) as counter:
        step()
    flops = counter.get_total_flops() / batch
    bench.note("gflop_per_image", round(flops / 1e9, 1))
    bench.note("eager", _repeat(bench, step, batch, flops, share=0.25))

    def stored_to_cache() -> dict[str, Any]:
        """Everything: grey levels read, moved, features computed, rounded, moved back and written to disk."""
        count = batch * (24 if bench.on_gpu else 2)

        def compute(rows: np.ndarray) -> Tensor:
            part = torch.from_numpy(counts[rows % batch][:, None])
            return project_images(teacher, grey_on(bench.device, part), config)

        with tempfile.TemporaryDirectory() as folder:
            started = time.monotonic()
            NormalFeatures(
                compute,
                count,
                (DIRECTIONS, 32, 32),
                Path(folder),
                "gpu",
                40.0,
                batch,
                threads_for(bench.device) // 2,
            )
            return bench.rate(count, time.monotonic() - started, flops)

    bench.note("store_to_cache", stored_to_cache())
    if bench.on_gpu and bench.left > COMPILING_TAKES:
        started = time.monotonic()
        compile_blocks(teacher.backbone)
        step()
        bench.wait()
        bench.note("compiling_seconds", round(time.monotonic() - started, 1))
        bench.note("compiled", _repeat(bench, step, batch, flops, share=0.6))
        bench.note("store_to_cache", stored_to_cache())
    return found


def student_training(bench: Bench) -> dict[str, Any]:
    """Every stage's imitation by the product's loop: pool and cached features on disk, bf16, the loop's own loading."""
    config = DistillConfig()
    pool_size, batch = (8192, 512) if bench.on_gpu else (16, 8)
    bench.found |= {"batch": batch, "pool": pool_size, "stages": {}}
    stages = bench.found["stages"]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(_EnoughError):
        data = _student_data(Path(folder), pool_size)
        for name in ("intermediate", "full", "lowres"):
            stage = getattr(config, name).model_copy(update={"batch_size": batch, "learning_rate": 1e-3})
            epochs = stage.epochs + (config.target.epochs if name == "intermediate" else 0)
            about = {"epochs": epochs, "copies": stage.copies}
            stages[name] = about | _stage(bench, name, stage, data, seconds=0.08 * bench.left)
            bench.note(f"loop, {name}", stages[name])
        full = config.full.model_copy(update={"batch_size": batch, "learning_rate": 1e-3})
        seconds = 0.15 * bench.left
        bench.note("full, inputs on the GPU", _stage(bench, "full", full, data, seconds, resident=True))
        for name in ("full", "intermediate", "lowres"):
            if not bench.on_gpu or bench.left < COMPILING_TAKES:
                break
            stage = getattr(config, name).model_copy(update={"batch_size": batch, "learning_rate": 1e-3})
            found = _stage(bench, name, stage, data, 4.0, compiled=True)
            bench.note(f"loop, {name}, compiled", found)
            if found["images_per_second"] > stages[name]["images_per_second"]:
                stages[name] |= found
    return bench.found


def _student_data(folder: Path, count: int) -> tuple[Pool, CachedTargets]:
    np.save(folder / "images.npy", drawn(count))
    features = new_mapped(folder / "features.npy", np.float16, (count, DIRECTIONS, 32, 32))
    some = np.random.default_rng(0).standard_normal((64, DIRECTIONS, 32, 32), dtype=np.float32)
    for start in range(0, count, 64):
        features[start : start + 64] = some[: count - start]
    features.flush()
    pool = Pool(np.load(folder / "images.npy", mmap_mode="r"), np.arange(count) % 2 == 0, count // 2, "drawn")
    return pool, CachedTargets(np.load(folder / "features.npy", mmap_mode="r"))


def _stage(
    bench: Bench,
    name: str,
    stage: Any,
    data: tuple[Pool, CachedTargets],
    seconds: float,
    *,
    resident: bool = False,
    compiled: bool = False,
) -> dict[str, Any]:
    """Images a second of one stage's imitation, whole epochs, those after the second."""
    torch.manual_seed(0)
    imitated = stage.student.likelihood.channels_used(DIRECTIONS)
    student = StudentVAE(stage.student, imitated, stage.student.likelihood.coordinates, has_decoder=False)
    long = stage.model_copy(update={"epochs": 100_000})
    task = ImitationTask(name, TrunkFeatures(student), *data, long, 0, imitated, compiled=compiled)
    accelerator = bench.accelerator()
    training = imitation_training(task, accelerator)
    if resident:
        rows = np.arange(stage.batch_size)
        places = torch.from_numpy(rows[::2]).to(bench.device), torch.from_numpy(rows[1::2]).to(bench.device)
        painted = task.painted(rows).to(bench.device)
        held = (*task.on(bench.device, task.stored(rows)), painted, *places)
        training = replace(training, inputs=lambda parts: (held for _ in parts))
    found = _epochs(bench, training, accelerator, len(data[0]), seconds)
    found["parameters"] = sum(p.numel() for p in student.trunk.parameters())
    if accelerator.device.type == "cuda":
        torch.compiler.reset()
    return found


def lora_step(bench: Bench) -> dict[str, Any]:
    """The step of the adapters' training as `configs/gpu_large.yaml` sets it, examples ready on the GPU."""
    batch = 64 if bench.on_gpu else 4
    config = LoraConfig(rank=16, batch_size=batch)
    backbone = vit(bench).to(bench.device)
    task = AnomalyTask(with_adapters(backbone, config), backbone.channels, config).to(bench.device)
    images = grey_on(bench.device, torch.from_numpy(drawn(batch)[:, None]))
    masks = torch.zeros(batch, 1, 256, 256)
    masks[:, :, 100:140, 100:140] = 1
    inputs = images, cell_labels(masks, backbone.map_size).to(bench.device)
    task.standardise([images[:4]])
    bench.found |= {"batch": batch, "trained": sum(p.numel() for p in task.parameters() if p.requires_grad)}
    bench.note("step", _task_steps(bench, task, inputs, Settings.of(config, ema=0.99, early_stopping=0)))
    return bench.found


def pretrain_step(bench: Bench) -> dict[str, Any]:
    """The step of `waferroute pretrain`, all weights trained, images ready on the GPU."""
    batch = 64 if bench.on_gpu else 4
    config = PretrainConfig(batch_size=batch)
    task = MaskedDistillation(vit(bench), config, 0).to(bench.device)
    images = grey_on(bench.device, torch.from_numpy(drawn(batch)[:, None]))
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(np.stack([block_mask(rng, 256, config) for _ in range(batch)])[:, None])
    inputs = images, masks.to(bench.device), torch.full((batch,), UNKNOWN, device=bench.device)
    task.standardise([images[:4]])
    bench.found |= {"batch": batch, "trained": sum(p.numel() for p in task.parameters() if p.requires_grad)}
    bench.note("step", _task_steps(bench, task, inputs, Settings.of(config)))
    return bench.found


def _task_steps(
    bench: Bench, task: nn.Module, inputs: tuple[Tensor, ...], settings: Settings
) -> dict[str, Any]:
    """Images a second of the product's loop on a task whose inputs lie ready, and its share of the peak."""
    batch, accelerator, steps = len(inputs[0]), bench.accelerator(), 5 if bench.on_gpu else 1
    task.train()
    with FlopCounterMode(display=False) as counter, accelerator.autocast():
        task(*inputs)["loss"].sum().backward()
    flops = counter.get_total_flops() / batch
    training = Training(
        title="benchmark",
        section="benchmark",
        remedy="",
        task=task,
        inputs=lambda parts: (inputs for _ in parts),
        steps_of=lambda epoch: [np.arange(batch)] * steps,
        settings=replace(settings, epochs=100_000),
    )
    return _epochs(bench, training, accelerator, batch * steps, 0.7 * bench.left, flops)


def _epochs(
    bench: Bench,
    training: Training,
    accelerator: Accelerator,
    images: int,
    seconds: float,
    flops: float | None = None,
) -> dict[str, Any]:
    """Run whole epochs of `images` until the time is over; those after the second count."""
    times: list[float] = []
    began = time.monotonic()

    def on_epoch(epoch: int, row: dict[str, float]) -> None:
        bench.wait()
        times.append(time.monotonic())
        warm = 2 if bench.on_gpu else 1
        if len(times) > warm and times[-1] - times[warm - 1] >= seconds:
            raise _EnoughError
        if len(times) > warm and bench.left < 0:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        train(training, None, accelerator, on_epoch)
    warm = 2 if bench.on_gpu else 1
    found = bench.rate(images * (len(times) - warm), times[-1] - times[warm - 1], flops)
    found |= {"epochs_timed": len(times) - warm, "warm_up_seconds": round(times[warm - 1] - began, 1)}
    accelerator.free_memory()
    return found


def _repeat(
    bench: Bench, step: Callable[[], object], images: int, flops: float, share: float
) -> dict[str, Any]:
    """Rate of a step repeated for a share of what is left; two before it do not count."""
    for _ in range(2):
        step()
    bench.wait()
    until, count, started = time.monotonic() + share * bench.left, 0, time.monotonic()
    while time.monotonic() < until or not count:
        for _ in range(5 if bench.on_gpu else 1):
            step()
            count += 1
        bench.wait()
    return bench.rate(images * count, time.monotonic() - started, flops)
