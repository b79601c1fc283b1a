"""What one GPU gives: bf16 teacher features, student training, onnxruntime; parity with the CPU; a projection.

    .venv/bin/python benchmarks/gpu.py --minutes 8

Needs nothing but the repository: images are drawn (synthetic micrographs), weights are random, so figures are about
speed and numerical agreement, never about accuracy. Without a GPU the same parts run on the CPU, smaller, and the
report says so; nothing is then projected. Every part has a share of the time and measures for as long as that lasts.
Prints one JSON object.

Share of the peak: floating-point operations counted by torch (`torch.utils.flop_counter`) over the dense bf16 peak that
the maker states. Projection for 500 000 images on four A100: features and student steps of one GPU, scaled by the ratio
of the peaks and by 4, with the arithmetic in the report; it leaves out reading images and the closed-form fits.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from student_vae.config import StudentConfig
from student_vae.trunk import Trunk
from wafer_data.micrograph import MicrographConfig, normal_image

PEAKS = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10": 125e12,
    "T4": 65e12,
}
"""Dense bf16 (T4: fp16) operations a second, from the makers' data sheets."""
CHANNELS = 64
A100, GPUS, IMAGES, PASSES, STUDENT_EPOCHS = PEAKS["A100"], 4, 500_000, 2, 50
"""The case study's four A100. PASSES: images and as many painted copies, through the teacher. STUDENT_EPOCHS: over both
together, of all four students with the default configuration (6 + 2 + 18 + 24), each counted as a full-size one."""


def main() -> None:
    """Measure each part, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything (default: 8)")
    seconds = 60 * parser.parse_args().minutes
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = (
        torch.cuda.get_device_name()
        if device.type == "cuda"
        else (platform.processor() or platform.machine())
    )
    peak = next((value for key, value in PEAKS.items() if device.type == "cuda" and key in name), None)
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "stated_bf16_peak": peak}
    if device.type == "cpu":
        report["note"] = "no GPU here: the parts ran on the CPU, with a small teacher; nothing is projected"
    torch.manual_seed(0)
    images = torch.from_numpy(np.stack([normal_image(MicrographConfig(), 0, i) for i in range(16)])[:, None])
    report["teacher_features"] = teacher_features(device, images, seconds / 4, peak)
    report["student_training"] = student_training(device, images, seconds / 4, peak)
    report["parity"] = parity(device, images)
    report["onnxruntime"] = onnxruntime_speed(images, seconds / 8)
    if peak is not None:
        report["projection_4_a100"] = project(report, peak)
    print(json.dumps(report, indent=2))


def teacher_features(
    device: torch.device, images: Tensor, seconds: float, peak: float | None
) -> dict[str, Any]:
    """Forward passes of a vision transformer, ViT-L/16 on a GPU."""
    model = "vit_large_patch16_224" if device.type == "cuda" else "vit_tiny_patch16_224"
    net = timm.create_model(model, pretrained=False, img_size=256, num_classes=0).to(device).eval()
    batch = _batch(images, 256 if device.type == "cuda" else 8, device).expand(-1, 3, -1, -1)

    @torch.no_grad()
    def step() -> None:
        with _autocast(device):
            net.forward_features(batch)

    return {"model": model} | _timed(step, len(batch), seconds, device, peak)


def student_training(
    device: torch.device, images: Tensor, seconds: float, peak: float | None
) -> dict[str, Any]:
    """Forward, backward and AdamW of the full-resolution student's trunk, imitating fixed features."""
    trunk = Trunk(StudentConfig(), CHANNELS).to(device)
    optimizer = torch.optim.AdamW(trunk.parameters(), lr=1e-3)
    batch = _batch(images, 512 if device.type == "cuda" else 8, device)
    with torch.no_grad():
        target = torch.randn_like(trunk(batch))

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with _autocast(device):
            loss = (trunk(batch) - target).square().mean()
        loss.backward()
        optimizer.step()

    parameters = sum(p.numel() for p in trunk.parameters())
    return {"parameters": parameters} | _timed(step, len(batch), seconds, device, peak)


@torch.no_grad()
def parity(device: torch.device, images: Tensor) -> dict[str, Any]:
    """The same trunk in fp32 on the CPU and in bf16 on the device: how far features and their ranking differ."""
    trunk = Trunk(StudentConfig(), CHANNELS).eval()
    exact = trunk(images).flatten(1)
    with _autocast(device):
        other = trunk.to(device)(images.to(device)).float().cpu().flatten(1)
    scores = [features.sub(exact.mean(0)).square().mean(1) for features in (exact, other)]
    order = [score.argsort().tolist() for score in scores]
    limit = scores[0].median()
    return {
        "images": len(images),
        "largest_relative_difference_of_features": float((other - exact).norm() / exact.norm()),
        "decisions_that_differ_at_the_median_score": int(((scores[0] > limit) != (scores[1] > limit)).sum()),
        "same_ranking": order[0] == order[1],
    }


def onnxruntime_speed(images: Tensor, seconds: float) -> dict[str, Any]:
    """The trunk as a graph, on every provider that is installed here, batch 64."""
    import io

    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(
        Trunk(StudentConfig(), CHANNELS).eval(), (images[:2],), file, input_names=["image"], output_names=["features"],
        dynamic_axes={"image": {0: "n"}, "features": {0: "n"}}, dynamo=False,
    )  # fmt: skip
    wanted = ("CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    feed = {"image": images.repeat(4, 1, 1, 1).numpy()}
    found: dict[str, Any] = {}
    for name in providers:
        session = onnxruntime.InferenceSession(file.getvalue(), providers=[name])
        if session.get_providers()[0] != name:
            found[name] = "installed but not usable here"
            continue
        session.run(None, feed)
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < seconds / len(providers):
            session.run(None, feed)
            count += len(feed["image"])
        found[name] = {"images_per_second": round(count / (time.perf_counter() - started), 1)}
    return found


def project(report: dict[str, Any], peak: float) -> dict[str, Any]:
    """Hours for 500 000 images on four A100, with the arithmetic."""
    scale = A100 / peak * GPUS
    teacher, student = (report[key]["images_per_second"] for key in ("teacher_features", "student_training"))
    teacher_hours = IMAGES * PASSES / (teacher * scale) / 3600
    student_hours = IMAGES * PASSES * STUDENT_EPOCHS / (student * scale) / 3600
    return {
        "teacher_hours": round(teacher_hours, 2),
        "student_hours": round(student_hours, 2),
        "total_hours": round(teacher_hours + student_hours, 2),
        "arithmetic": f"{IMAGES} x {PASSES} / ({teacher:.0f}/s x {scale:.2f}) and {IMAGES} x {PASSES} x "
        f"{STUDENT_EPOCHS} / ({student:.0f}/s x {scale:.2f}); {scale:.2f} = {GPUS} x {A100 / 1e12:.0f} / "
        f"{peak / 1e12:.0f} TFLOP/s",
    }


def _timed(
    step: Callable[[], None], images: int, seconds: float, device: torch.device, peak: float | None
) -> dict[str, Any]:
    with FlopCounterMode(display=False) as counter:
        step()
    for _ in range(2):
        step()
    _wait(device)
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
        if steps % 10 == 0 or device.type == "cpu":
            _wait(device)
    _wait(device)
    rate = steps / (time.perf_counter() - started)
    operations = counter.get_total_flops() * rate
    return {
        "batch": images,
        "images_per_second": round(images * rate, 1),
        "operations_per_second": operations,
        "share_of_bf16_peak": round(operations / peak, 4) if peak else None,
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2)
        if device.type == "cuda"
        else None,
    }


def _batch(images: Tensor, count: int, device: torch.device) -> Tensor:
    return images.repeat(-(-count // len(images)), 1, 1, 1)[:count].to(device)


def _autocast(device: torch.device) -> Any:
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
