"""How fast a bundle decides, as a ratio to the backbone of PatchCore measured in the same run.

    .venv/bin/python benchmarks/routed_speed.py runs/quickstart/bundle IMAGE_FOLDER

The reference is WideResNet-50-2 up to stride 16 (the feature extractor of PatchCore, Roth et al. 2022) at
256 x 256 on onnxruntime, one thread, weights at random: its time does not depend on them, and its memory-bank
search comes on top. Weights at random say nothing about accuracy, and no accuracy is claimed here. The folder's
images need not be escalated as often as those of a production line, so the routed mean is put together from the
mean times of images that were and were not escalated, at a stated escalation (--escalation).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import timm
import torch

from tool_side import Inspector
from wafer_data.images import IMAGE_SUFFIXES, read_grey, to_square


def patchcore_features() -> ort.InferenceSession:
    """WideResNet-50-2 feature maps at strides 8 and 16 as an onnxruntime session of one thread."""
    net = timm.create_model(
        "wide_resnet50_2", pretrained=False, features_only=True, out_indices=(2, 3)
    ).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wrn50.onnx"
        torch.onnx.export(net, (torch.rand(1, 3, 256, 256),), str(path), dynamo=False, opset_version=18)
        return _session(path.read_bytes())


def _session(graph: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(graph, options)


def milliseconds(call: Callable[[np.ndarray], object], images: Sequence[np.ndarray], runs: int) -> np.ndarray:
    """(runs,) times of single calls, after a tenth as many that are not counted."""
    times = []
    for i in range(runs + runs // 10 + 1):
        started = time.perf_counter()
        call(images[i % len(images)])
        times.append(time.perf_counter() - started)
    return 1e3 * np.array(times[-runs:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, help="folder of images, searched recursively")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--escalation", type=float, default=0.065, help="share of escalated images, 0 to 1")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(p for p in args.images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = [
        paths[i] for i in np.random.default_rng(0).choice(len(paths), min(200, len(paths)), replace=False)
    ]
    images = [to_square(read_grey(p)) for p in chosen]
    inspector = Inspector(args.bundle)
    by_route: dict[str, list[np.ndarray]] = {"lowres": [], "full": []}
    for image in images:
        by_route.get(inspector.inspect(image).route, []).append(image)
    if not all(by_route.values()):
        parser.error("the folder must hold images of both routes: add normal ones, or defective ones")
    reference = patchcore_features()
    name = reference.get_inputs()[0].name
    colour = [np.repeat(i[None, None], 3, axis=1) for i in images]
    # before and after the reference, so that a drift of the machine's speed falls on both
    first = {route: milliseconds(inspector.inspect, some, args.runs) for route, some in by_route.items()}
    wrn = milliseconds(lambda x: reference.run(None, {name: x}), colour, max(10, args.runs // 20))
    second = {route: milliseconds(inspector.inspect, some, args.runs) for route, some in by_route.items()}
    times = {route: np.concatenate([first[route], second[route]]) for route in by_route}
    mean = (1 - args.escalation) * times["lowres"].mean() + args.escalation * times["full"].mean()
    figures: dict[str, Any] = {
        "escalation": args.escalation,
        "images": {route: len(some) for route, some in by_route.items()},
        "lowres_route_ms": summary(times["lowres"]),
        "full_route_ms": summary(times["full"]),
        "routed_mean_ms": float(mean),
        "wide_resnet50_features_ms": summary(wrn),
        "ratio_of_means": float(wrn.mean() / mean),
    }
    if args.json:
        print(json.dumps(figures, indent=2))
        return
    for title, key in (
        ("not escalated", "lowres_route_ms"),
        ("escalated", "full_route_ms"),
        ("WideResNet-50-2 features", "wide_resnet50_features_ms"),
    ):
        print(f"{title:26}" + "".join(f"{k} {v:8.3f} ms   " for k, v in figures[key].items()))
    print(f"routed at {args.escalation:.1%} escalation: mean {mean:.3f} ms, array in, decision out")
    print(f"ratio of means: {figures['ratio_of_means']:.0f}")


def summary(times: np.ndarray) -> dict[str, float]:
    """Mean, median and 99th percentile in milliseconds."""
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return {"mean": float(times.mean()), "p50": float(p50), "p99": float(p99)}


if __name__ == "__main__":
    main()
