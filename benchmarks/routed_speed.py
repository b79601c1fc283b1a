"""How fast a bundle decides, as a ratio to the backbone of PatchCore measured in the same run.

    .venv/bin/python benchmarks/routed_speed.py runs/quickstart/bundle IMAGE_FOLDER

The reference is WideResNet-50-2 up to stride 16 (the feature extractor of PatchCore, Roth et al. 2022) at
256 x 256 on onnxruntime, one thread, weights at random: its time does not depend on them, and its memory-bank
search comes on top. Every figure is the median over single images in a mixed order. Weights at random say
nothing about accuracy, and no accuracy is claimed here.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

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
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    paths = sorted(p for p in args.images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = [
        paths[i] for i in np.random.default_rng(0).choice(len(paths), min(200, len(paths)), replace=False)
    ]
    images = [to_square(read_grey(p)) for p in chosen]
    inspector = Inspector(args.bundle)
    escalated = np.mean([inspector.inspect(i).route == "full" for i in images])
    routed = milliseconds(inspector.inspect, images, args.runs)
    reference = patchcore_features()
    name = reference.get_inputs()[0].name
    colour = [np.repeat(i[None, None], 3, axis=1) for i in images]
    wrn = milliseconds(lambda x: reference.run(None, {name: x}), colour, max(10, args.runs // 20))
    again = milliseconds(inspector.inspect, images, args.runs)
    mean = float((routed.mean() + again.mean()) / 2)
    figures = {
        "escalated_share": float(escalated),
        "routed_ms": {"mean": mean, "p50": float(np.median(routed)), "p99": float(np.quantile(routed, 0.99))},
        "wide_resnet50_features_ms": {"mean": float(wrn.mean()), "p50": float(np.median(wrn))},
        "ratio_of_means": float(wrn.mean() / mean),
    }
    if args.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"images {len(images)}, of which escalated {escalated:.1%}")
    print(f"routed, array in, decision out: mean {mean:.3f} ms, p50 {figures['routed_ms']['p50']:.3f} ms")
    print(f"WideResNet-50-2 features alone: mean {wrn.mean():.1f} ms")
    print(f"ratio of means: {figures['ratio_of_means']:.0f}")


if __name__ == "__main__":
    main()
