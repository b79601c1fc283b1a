"""What one GPU gives: bf16 teacher features, LoRA, pretraining, students, parity with the CPU; a projection.

    .venv/bin/python benchmarks/gpu.py --minutes 4

Needs nothing but the repository and its training packages: images are drawn (synthetic micrographs), the large
teacher's weights are random (DINOv2-L's architecture), so figures are about speed and agreement, never about accuracy.
All of it is the product's own code: the teacher's features, the tasks and the one training loop. Without a GPU the same
parts run on the CPU, smaller, and the report says so; nothing is then projected.

Each part has a share of the time. What a part found is printed at once, one JSON object a line, and the whole at the
end (and in `--out` after each part), so that a part that breaks costs no other; it is reported with its error, and the
program then ends with 1. Compiling (torch.compile) comes after the plain figures of a part, and only while there is
time.

Share of the peak: floating-point operations counted by torch (`torch.utils.flop_counter`) over the dense bf16 peak that
the maker states. Projection for 500 000 images on four A100: this GPU's times, scaled by the ratio of the stated peaks
and by 4, with the arithmetic in the report; it leaves out reading images and the closed-form fits.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_parity import onnxruntime_speed, parity
from gpu_parts import Bench, lora_step, pretrain_step, student_training, teacher_features

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
A100, GPUS, IMAGES, PASSES = PEAKS["A100"], 4, 500_000, 2
"""The case study's four A100. PASSES: images and as many painted copies, through the teacher and in the pool."""
GRACE = 60.0
"""Seconds beyond its share after which a part is broken off: compiling and closed-form fits ask no clock."""
PARTS: dict[str, tuple[Callable[[Bench], dict[str, Any]], float]] = {
    "teacher_features": (teacher_features, 0.28),
    "student_training": (student_training, 0.28),
    "parity": (parity, 0.22),
    "lora_step": (lora_step, 0.08),
    "pretrain_step": (pretrain_step, 0.08),
    "onnxruntime": (onnxruntime_speed, 0.06),
}
"""What is measured, and the share of the time it may take; what a part leaves, the next ones have."""


def main() -> None:
    """Measure each part, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="time for everything (default: 8)")
    parser.add_argument("--out", type=Path, help="also write the report there, after each part")
    parser.add_argument("--only", choices=PARTS, nargs="*", help="parts (default: all)")
    parser.add_argument(
        "--keep", type=Path, help="folder that keeps the images and the run of the part `parity`"
    )
    args = parser.parse_args()
    started = time.monotonic()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name() if on_gpu else (platform.processor() or platform.machine())
    peak = next((value for key, value in PEAKS.items() if on_gpu and key in name), None)
    report: dict[str, Any] = {"device": name, "torch": torch.__version__, "stated_bf16_peak": peak}
    if not on_gpu:
        report["note"] = "no GPU here: the parts ran on the CPU, smaller; nothing is projected"
    _tell(report)
    signal.signal(signal.SIGALRM, _out_of_time)
    chosen = {key: PARTS[key] for key in (args.only or PARTS)}
    end, left = started + 60 * args.minutes, sum(share for _, share in chosen.values())
    for part, (measure, share) in chosen.items():
        now = time.monotonic()
        bench = Bench(device, peak, now + max(5.0, (end - now) * share / left), keep=args.keep)
        left -= share
        signal.setitimer(signal.ITIMER_REAL, max(5.0, min(bench.left + GRACE, end - now + GRACE / 2)))
        try:
            report[part] = measure(bench)
        except Exception as error:  # whatever breaks in one part, the others are measured
            traceback.print_exc()
            report[part] = bench.found | {"error": f"{type(error).__name__}: {error}"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        report[part]["seconds"] = round(time.monotonic() - now, 1)
        _tell({part: report[part]})
        if args.out:
            args.out.write_text(json.dumps(report, indent=2))
        if on_gpu:
            torch.cuda.empty_cache()
    if peak is not None and not {"teacher_features", "student_training"} - set(report):
        report["projection_4_a100"] = project(report, peak)
    report["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(report, indent=2))
    if args.out:
        args.out.write_text(json.dumps(report, indent=2))
    sys.exit(1 if any("error" in value for value in report.values() if isinstance(value, dict)) else 0)


def _out_of_time(*_: object) -> None:
    raise TimeoutError("out of time")


def _tell(found: dict[str, Any]) -> None:
    print(json.dumps(found), flush=True)


def project(report: dict[str, Any], peak: float) -> dict[str, Any]:
    """Hours for 500 000 images on four A100, with the arithmetic; from what the product's loops reached end to end."""
    scale = A100 / peak * GPUS
    teacher = report["teacher_features"].get("store_to_cache", {}).get("images_per_second")
    stages = report["student_training"].get("stages", {})
    if not teacher or any("images_per_second" not in stage for stage in stages.values()) or not stages:
        return {"note": "not projected: a rate is missing"}
    pool = IMAGES * PASSES
    hours = {"teacher": pool / (teacher * scale) / 3600}
    said = [f"teacher: {pool} / ({teacher:.0f}/s x {scale:.2f})"]
    for name, stage in stages.items():
        rate, epochs = stage["images_per_second"], stage["epochs"]
        images = IMAGES + stage["copies"] * IMAGES
        hours[name] = images * epochs / (rate * scale) / 3600
        said.append(f"{name}: {images} x {epochs} epochs / ({rate:.0f}/s x {scale:.2f})")
    return {
        "hours": {name: round(value, 3) for name, value in hours.items()},
        "total_hours": round(float(np.sum(list(hours.values()))), 2),
        "arithmetic": "; ".join(said)
        + f"; {scale:.2f} = {GPUS} x {A100 / 1e12:.0f} / {peak / 1e12:.0f} TFLOP/s",
        "left_out": "reading and checking images, painting the pool, the closed-form fits, calibration",
    }


if __name__ == "__main__":
    main()
