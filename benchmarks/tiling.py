"""What tiles cost on the tool: time and memory of an image by its size, against one square of 256 pixels.

    .venv/bin/python benchmarks/tiling.py BUNDLE [--sides 256 512 1024 2048 4096] [--share 0.065] [--seconds 3]

BUNDLE is any bundle; its students, thresholds apart, are what is timed. Images are synthetic texture, given as arrays
(no decoding), 8 bits. The quality gate is run and admits all of them. `share` of the tiles is escalated: a threshold is
put where it lets that share of the images' tiles through. Each size runs in a process of its own. Times are of the
processor, which other work on the computer hardly changes, and on the wall. Memory is the peak of an inspection over
what the process holds before it (Linux).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from router.gate import FIGURES, QualityGate
from tool_side import Inspector, load_bundle
from wafer_data.image_size import IMAGE_SIZE
from wafer_data.imaging.levels import Levels
from wafer_data.imaging.tiling import Tiles, Tiling, is_large

IMAGES = 4
HEAD = (
    "side",
    "tiles",
    "CPU ms",
    "/ that of 256",
    "wall ms",
    "of it gate",
    "student, CPU ms a tile",
    "memory, MB",
)


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--share", type=float, default=0.065, help="of tiles that are escalated")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        print(json.dumps(measure(args.bundle, args.one, args.share, args.seconds)))
        return
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    first = None
    for side in args.sides:
        own = [sys.executable, __file__, args.bundle, "--one", str(side), "--share", str(args.share)]
        own += ["--seconds", str(args.seconds)]
        row = json.loads(subprocess.run(own, stdout=subprocess.PIPE, text=True, check=True).stdout)
        first = first or row["cpu_ms"]
        cells = [f"{row['cpu_ms']:.2f}", f"{row['cpu_ms'] / first:.1f}", f"{row['ms']:.2f}"]
        cells += [f"{row['gate_ms']:.2f}", f"{row['student_cpu_ms']:.2f}", f"{row['megabytes']:.0f}"]
        print(f"| {side} | {row['tiles']} | {' | '.join(cells)} |", flush=True)


def measure(path: str, side: int, share: float, seconds: float) -> dict[str, float]:
    """One size in this process."""
    bundle = load_bundle(path)
    tiling = Tiling.chosen(side, side) if is_large(side, side) else None
    gate = QualityGate(dict.fromkeys(FIGURES, (0.0, 1e9)), 100)
    policy = replace(bundle.policy, gate=gate, reject_above=None)
    square = replace(bundle.preprocessing, source=None, tiling=None if tiling is None else tiling.to_dict())
    inspector = Inspector(replace(bundle, policy=policy, preprocessing=square, classes=None, recipes={}))
    images = [texture(side, seed) for seed in range(IMAGES)]
    student, clock = inspector.students["lowres"], time.process_time()
    scores = np.array([student(tile).score for image in images for tile in cut(image, tiling)])
    student_ms = 1e3 * (time.process_time() - clock) / len(scores)
    above = float(np.quantile(policy.standardise_lowres(scores), 1 - share))
    inspector.policy = replace(policy, escalate_above=above, review_above=above + 1e6)
    held = peak_of(lambda: inspector.inspect(images[0]))
    walls, processor, gates, started = [], [], [], time.perf_counter()
    while time.perf_counter() - started < seconds or len(walls) < 2 * IMAGES:
        clock = time.process_time()
        result = inspector.inspect(images[len(walls) % IMAGES])
        processor.append(1e3 * (time.process_time() - clock))
        assert result.judged, result.reasons
        walls.append(1e3 * result.seconds["total"])
        gates.append(1e3 * result.seconds["gate"])
    return {
        "tiles": 1 if tiling is None else len(tiling.grid(side, side)),
        "ms": float(np.median(walls)),
        "cpu_ms": float(np.median(processor)),
        "gate_ms": float(np.median(gates)),
        "student_cpu_ms": student_ms,
        "megabytes": held,
    }


def peak_of(work: Callable[[], object]) -> float:
    """Megabytes of resident memory that `work` needs at most."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here on
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def resident(name: str) -> float:
    """A line of the process's status, in megabytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def texture(side: int, seed: int) -> np.ndarray:
    """Synthetic grain, uint8 (side, side)."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.normal(0, 12, (side // 8, side // 8)), np.ones((8, 8)))
    return np.clip(127 + coarse + rng.normal(0, 4, (side, side)), 0, 255).astype(np.uint8)


def cut(image: np.ndarray, tiling: Tiling | None) -> Tiles:
    """What the students see of it."""
    whole = Tiling(max(1.0, image.shape[0] / IMAGE_SIZE)) if tiling is None else tiling
    return Tiles(whole.grid(*image.shape), whole.reduce(image), Levels())


if __name__ == "__main__":
    main()
