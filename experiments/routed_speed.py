"""How fast a bundle decides, as ratios to the networks of published detectors measured in the same run.

    .venv/bin/python experiments/routed_speed.py runs/quickstart/bundle IMAGE_FOLDER

The references are the networks of PatchCore and EfficientAD-S at 256 x 256 on onnxruntime, one thread, weights at
random (see reference_networks.py): their time does not depend on them, and no accuracy is claimed here. The folder's
images need not be escalated as often as those of a production line, so the routed mean is put together from the
mean times of images that were and were not escalated, at a stated escalation (--escalation). All figures that
docs/tool_side.md states: tool_table.py.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from reference_networks import efficient_ad_small, patchcore_features

from tool_side import Inspector
from wafer_data.imaging.read import IMAGE_SUFFIXES, read_grey, to_square


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
    references = {
        "wide_resnet50_features": patchcore_features(),
        "efficient_ad_small": efficient_ad_small(),
    }
    colour = [np.repeat(i[None, None], 3, axis=1) for i in images]
    # before and after the references, so that a drift of the machine's speed falls on both
    first = {route: milliseconds(inspector.inspect, some, args.runs) for route, some in by_route.items()}
    theirs = {
        name: milliseconds(lambda x, s=session: s.run(None, {"image": x}), colour, max(10, args.runs // 20))
        for name, session in references.items()
    }
    second = {route: milliseconds(inspector.inspect, some, args.runs) for route, some in by_route.items()}
    times = {route: np.concatenate([first[route], second[route]]) for route in by_route}
    mean = (1 - args.escalation) * times["lowres"].mean() + args.escalation * times["full"].mean()
    figures: dict[str, Any] = {
        "escalation": args.escalation,
        "images": {route: len(some) for route, some in by_route.items()},
        "lowres_route_ms": summary(times["lowres"]),
        "full_route_ms": summary(times["full"]),
        "routed_mean_ms": float(mean),
        **{f"{name}_ms": summary(some) for name, some in theirs.items()},
        "ratio_of_means": {name: float(some.mean() / mean) for name, some in theirs.items()},
    }
    if args.json:
        print(json.dumps(figures, indent=2))
        return
    for title, key in (
        ("not escalated", "lowres_route_ms"),
        ("escalated", "full_route_ms"),
        ("WideResNet-50-2 features", "wide_resnet50_features_ms"),
        ("EfficientAD-S", "efficient_ad_small_ms"),
    ):
        print(f"{title:26}" + "".join(f"{k} {v:8.3f} ms   " for k, v in figures[key].items()))
    print(f"routed at {args.escalation:.1%} escalation: mean {mean:.3f} ms, array in, decision out")
    for name, ratio in figures["ratio_of_means"].items():
        print(f"ratio of means, {name}: {ratio:.0f}")


def summary(times: np.ndarray) -> dict[str, float]:
    """Mean, median and 99th percentile in milliseconds."""
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return {"mean": float(times.mean()), "p50": float(p50), "p99": float(p99)}


if __name__ == "__main__":
    main()
