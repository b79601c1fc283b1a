"""Does the runtime stay as small, as fast and as exact as it started? Images in a row, threads, and kills.

    .venv/bin/python tests/stress/endurance.py runs/quickstart/bundle IMAGE_FOLDER
    .venv/bin/python tests/stress/endurance.py runs/quickstart/bundle IMAGE_FOLDER --images 0 --kills 50

Inspects --images files in a row, from memory, and watches the process's memory and the 99th percentile of the
latency; then lets --threads threads call one inspector and compares every result with the serial one; then kills
the watch mode --kills times (see kill_watch.py). Without IMAGE_FOLDER it uses synthetic noise, which resembles no
wafer. Exit status 1 if memory grew, a result differed, or an image was lost or inspected twice. Latency depends on
what else the computer does, so it is printed and not judged.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from tool_side import Inspection, Inspector
from tool_side.bench.images import write_noise
from tool_side.bench.process_memory import current_bytes
from tool_side.runtime.inspect_files import expand_inputs

WINDOWS = 50
WARM_WINDOWS = 5
MOST_FILES = 200
ALLOWED_GROWTH = 5e6
"""Bytes that memory may grow after the warm-up: the allocator's own ups and downs."""


def run_in_a_row(inspector: Inspector, files: Sequence[bytes], images: int) -> dict[str, Any]:
    """Inspect `images` files; memory (bytes) and latency (milliseconds) of the start and of the end."""
    size = max(1, images // WINDOWS)
    memory, p50, p99 = [], [], []
    for window in range(WINDOWS):
        times = np.empty(size)
        for i in range(size):
            started = perf_counter()
            inspector.inspect(files[(window * size + i) % len(files)])
            times[i] = 1e3 * (perf_counter() - started)
        memory.append(current_bytes() or 0)
        p50.append(float(np.median(times)))
        p99.append(float(np.quantile(times, 0.99)))
        print(
            f"{(window + 1) * size} images, {memory[-1] / 1e6:.1f} MB, p99 {p99[-1]:.2f} ms", file=sys.stderr
        )
    settled = np.array(memory[WARM_WINDOWS:], dtype=np.float64)
    slope = np.polyfit(np.arange(len(settled)) * size, settled, 1)[0]
    return {
        "images": WINDOWS * size,
        "memory_warm_mb": settled[0] / 1e6,
        "memory_end_mb": settled[-1] / 1e6,
        "memory_mb_per_100000_images": slope * 0.1,
        "memory_grew": bool(settled[-1] - settled[0] > ALLOWED_GROWTH),
        "p50_ms": {"start": float(np.median(p50[:10])), "end": float(np.median(p50[-10:]))},
        "p99_ms": {"start": float(np.median(p99[:10])), "end": float(np.median(p99[-10:]))},
    }


def run_in_threads(inspector: Inspector, files: Sequence[bytes], threads: int, rounds: int) -> dict[str, Any]:
    """Let `threads` threads inspect all files `rounds` times through one inspector; count what differs."""
    expected = [outcome(inspector.inspect(data)) for data in files]
    started = perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda data: outcome(inspector.inspect(data)), list(files) * rounds))
    seconds = perf_counter() - started
    return {
        "threads": threads,
        "images": len(found),
        "different": sum(ours != theirs for ours, theirs in zip(found, expected * rounds, strict=True)),
        "images_per_second": len(found) / seconds,
    }


def outcome(result: Inspection) -> tuple[Any, ...]:
    """All that was decided, to the last bit."""
    sums = [None if array is None else array.tobytes() for array in (result.map, result.latent)]
    scores = (result.score, result.lowres_score, result.full_score)
    return (result.decision, result.route, *scores, *result.reasons, *map(hash, sums))


def load_files(folder: Path | None, inspector: Inspector) -> list[bytes]:
    """Contents of at most 200 image files; of synthetic noise images without a folder."""
    if folder is not None:
        return [file.path.read_bytes() for file in list(expand_inputs([folder]))[:MOST_FILES]]
    with tempfile.TemporaryDirectory() as temporary:
        return [
            path.read_bytes() for path in write_noise(Path(temporary), inspector.preprocessing.image_size)
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", help="folder of images, searched recursively")
    parser.add_argument("--images", type=int, default=200_000, help="how many in a row (default: 200000)")
    parser.add_argument("--threads", type=int, default=16, help="threads on one inspector (default: 16)")
    parser.add_argument(
        "--rounds", type=int, default=20, help="how often the threads see every file (default: 20)"
    )
    parser.add_argument("--kills", type=int, default=0, help="how often to kill the watch mode (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    args = parser.parse_args(arguments)
    inspector = Inspector(args.bundle)
    files = load_files(args.folder, inspector)
    found: dict[str, Any] = {"synthetic": args.folder is None, "files": len(files)}
    if args.images:
        found["in_a_row"] = run_in_a_row(inspector, files, args.images)
    if args.threads:
        found["in_threads"] = run_in_threads(inspector, files, args.threads, args.rounds)
    if args.kills:
        from kill_watch import survive_kills

        with tempfile.TemporaryDirectory() as work:
            pictures = [data for data in files if data.startswith(b"\x89PNG")][:20]
            found["kills"] = survive_kills(
                args.bundle.resolve(), pictures, Path(work), kills=args.kills, seed=args.seed
            )
    print(json.dumps(found, indent=2))
    kills = found.get("kills", {})
    bad = (
        found.get("in_a_row", {}).get("memory_grew")
        or found.get("in_threads", {}).get("different")
        or any(kills.get(name) for name in ("lost", "twice", "unknown", "table_differs"))
    )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
