"""The figures of the tool side in one run: times, ratios to published networks, start-up, memory, size.

    .venv/bin/python benchmarks/tool_table.py runs/quickstart/bundle IMAGE_FOLDER

One thread, one image at a time. Every figure is measured in --rounds rounds, in turns with all others, and the median
round is printed, so that a drift of the machine's speed falls on all; ratios are taken within a round. The networks of
the references have random weights (see experiments/reference_networks.py): their time does not depend on them, and no
accuracy is claimed. Images are cut to the model's 256 x 256 first, as 8-bit arrays and as PNG files of these, and a
stated share of them is escalated whatever they show. Run it on an otherwise idle computer: it says how busy the
processor was with other things.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tool_table_text import as_text

from tool_side import Inspector, load_bundle
from tool_side.bench.command import describe_machine, target_escalation
from tool_side.bench.images import BenchImages, on_route, prepare_images
from tool_side.bench.start_up import measure_start_up
from tool_side.bench.timing import Timing, time_calls
from tool_side.bench.workloads import graph_batches
from tool_side.bundle.load import Bundle

ROOT = Path(__file__).resolve().parents[1]
Call = Callable[[int], object]
_BUSY_LOOP = "while True: pass"


def workloads(bundle: Bundle, images: BenchImages, arrays: Sequence[np.ndarray]) -> dict[str, Call]:
    """What is timed of ours: name -> a call that takes the number of the run."""
    inspector = Inspector(bundle, threads=1)
    low, full = on_route(inspector, escalate=False), on_route(inspector, escalate=True)

    def judge(on: Inspector, sources: Sequence[Any], run: int) -> object:
        return on.inspect(sources[run % len(sources)])

    return {
        "lowres_array": partial(judge, low, arrays),
        "full_array": partial(judge, full, arrays),
        "lowres_png": partial(judge, low, images.paths),
        "full_png": partial(judge, full, images.paths),
        "full_graph": graph_batches(bundle, "full", images, 1, 1),
    }


def references() -> dict[str, Call]:
    """The networks of published detectors, each on one colour image."""
    import torch

    sys.path.append(str(ROOT / "experiments"))
    from reference_networks import SIZE, efficient_ad_small, patchcore_features

    torch.set_num_threads(1)
    image = np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32)

    def run(session: Any, _: int) -> object:
        return session.run(None, {"image": image})

    return {
        "wide_resnet50": partial(run, patchcore_features()),
        "efficient_ad_s": partial(run, efficient_ad_small()),
    }


def measure_times(
    ours: dict[str, Call], theirs: dict[str, Call], share: float, rounds: int, seconds: float
) -> dict[str, Any]:
    """Milliseconds and ratios, each the median of the rounds; how much of a core the slowest was left."""
    found: list[dict[str, float]] = []
    cores: list[float] = []
    for number in range(rounds):
        timings = {name: time_calls(call, batch=1, seconds=seconds, least=50) for name, call in ours.items()}
        timings |= {
            name: time_calls(call, batch=1, seconds=seconds, least=5) for name, call in theirs.items()
        }
        cores += [timing.cores for timing in timings.values()]
        found.append(_one_round(timings, share))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    middle = {name: float(np.median([one[name] for one in found])) for name in found[0]}
    return middle | {"least_cores": min(cores)}


def _one_round(timings: dict[str, Timing], share: float) -> dict[str, float]:
    wall = _composed({name: timing.mean for name, timing in timings.items()}, share)
    # Processor time: what other programs take away does not count, though what they do to the caches does.
    own = _composed({name: timing.mean * timing.cores for name, timing in timings.items()}, share)
    return {**wall, **{f"processor_{name}": value for name, value in own.items()}}


def _composed(mean: dict[str, float], share: float) -> dict[str, float]:
    """The measured means with those of the route and the ratios."""
    routed = {
        kind: (1 - share) * mean[f"lowres_{kind}"] + share * mean[f"full_{kind}"] for kind in ("array", "png")
    }
    return {
        **{f"{name}_ms": value for name, value in mean.items()},
        "routed_array_ms": routed["array"],
        "routed_png_ms": routed["png"],
        **{
            f"times_faster_than_{name}": mean[name] / routed["array"]
            for name in ("wide_resnet50", "efficient_ad_s")
            if name in mean
        },
    }


def measure_route(ours: dict[str, Call], share: float, runs: int) -> dict[str, float]:
    """Two shares of the routed time, array in, from the median times that the results carry.

    outside_share: what no network uses: checks, conversion, quality gate, policy, result. An array needs no decoding;
    its conversion counts as outside. routed_by_always_full: the routed mean by the time of an image that goes through
    the gate to the full student straight away, which is an escalated one's without its low-resolution graph.
    """
    seconds = {
        name: [ours[name](run).seconds for run in range(runs)]  # type: ignore[attr-defined]
        for name in ("lowres_array", "full_array")
    }

    def middle(name: str, time: Callable[[dict[str, float]], float]) -> float:
        return float(np.median([time(one) for one in seconds[name]]))

    def routed(time: Callable[[dict[str, float]], float]) -> float:
        return (1 - share) * middle("lowres_array", time) + share * middle("full_array", time)

    total = routed(lambda one: one["total"])
    return {
        "outside_share": 1 - routed(lambda one: one["lowres"] + one["full"]) / total,
        "routed_by_always_full": total / middle("full_array", lambda one: one["total"] - one["lowres"]),
    }


def measure_steadiness(ours: dict[str, Call], seconds: float) -> dict[str, float] | None:
    """p99 / p50 of images of one route, one after the other on one core, while another program fills the other core.

    None where the system does not let a program choose its core, or there is only one.
    """
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return None
    cores = sorted(os.sched_getaffinity(0))
    neighbour = subprocess.Popen([sys.executable, "-c", _BUSY_LOOP])
    try:
        os.sched_setaffinity(neighbour.pid, {cores[1]})
        os.sched_setaffinity(0, {cores[0]})
        timings = {
            name: time_calls(ours[name], batch=1, seconds=seconds, least=1000, most=10**6)
            for name in ("lowres_array", "full_array")
        }
    finally:
        os.sched_setaffinity(0, cores)
        neighbour.kill()
        neighbour.wait()
    return {name: timing.p99 / timing.p50 for name, timing in timings.items()}


def install_size() -> int:
    """Bytes of a bare install: waferroute and all it needs on the tool, installed into an empty folder by pip."""
    with tempfile.TemporaryDirectory() as temporary:
        # From a copy: building leaves files beside what is built.
        source, target = Path(temporary) / "source", Path(temporary) / "target"
        unneeded = shutil.ignore_patterns(".*", "runs", "build", "tests", "docs", "__pycache__", "*.egg-info")
        shutil.copytree(ROOT, source, ignore=unneeded)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, "--target", str(target), str(source)], check=True)
        return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())


def square_pngs(given: Sequence[Path], inspector: Inspector, folder: Path) -> list[np.ndarray]:
    """The images as the models see them, 8-bit arrays of 256 x 256, also written as PNG files into `folder`."""
    images = prepare_images(given, inspector, folder)
    arrays = [np.rint(255 * one[0]).astype(np.uint8) for one in images.inputs]
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(folder / f"square_{number:03d}.png")
    return arrays


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, help="images, or a folder of them")
    parser.add_argument("--escalation", type=float, help="share, 0 to 1 (default: the bundle's target)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure of a round (default: 1)")
    parser.add_argument("--no-references", action="store_true", help="leave the published networks out")
    parser.add_argument("--no-install", action="store_true", help="leave the size of a bare install out")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    bundle = load_bundle(args.bundle)
    share = target_escalation(bundle) if args.escalation is None else args.escalation
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as temporary:
        inspector = Inspector(bundle, threads=1)
        arrays = square_pngs([args.images], inspector, Path(temporary))
        images = prepare_images([Path(temporary)], inspector, Path(temporary))
        ours = workloads(bundle, images, arrays)
        theirs = {} if args.no_references else references()
        start = measure_start_up(bundle.path, images.paths, starts=5)
        found = {
            "machine": describe_machine(),
            "bundle": str(args.bundle),
            "images": len(arrays),
            "escalation": share,
            "load_average_before": load,
            **measure_times(ours, theirs, share, args.rounds, args.seconds),
            **measure_route(ours, share, 300),
            "p99_by_p50": measure_steadiness(ours, 5 * args.seconds),
            "start_up_s": start.seconds,
            "peak_bytes": start.peak_bytes,
            "install_bytes": None if args.no_install else install_size(),
        }
    print(json.dumps(found, indent=2) if args.json else as_text(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
