"""waferroute's own time and memory beside the peers': a bundle judges images one at a time. No torch.

    .venv/bin/python benchmarks/peers_own.py BUNDLE IMAGES.npy LABELS.npy OUT.json

`benchmarks/peers.py` starts it, before and after the peers. One thread; from an image array to the decision, quality
gate and routing included. The peers' times begin with the same array and leave the decision out.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tool_side import Inspector
from tool_side.bench.process_memory import peak_bytes
from tool_side.bundle.load import load_bundle

WARM_UP = 20


def main() -> None:
    """Inspect every image once, after a warm-up."""
    bundle, images_file, labels_file, out = (Path(argument) for argument in sys.argv[1:])
    images = np.load(images_file, mmap_mode="r", allow_pickle=False)
    labels = np.load(labels_file, allow_pickle=False)
    loaded = load_bundle(bundle)
    inspector = Inspector(replace(loaded, preprocessing=loaded.preprocessing.of_prepared()), threads=1)
    for image in images[:WARM_UP]:
        inspector.inspect(np.array(image[0]))
    rows, refused = [], 0
    for image in images:
        square = np.array(image[0])
        clock, processor = time.perf_counter(), time.process_time()
        found = inspector.inspect(square)
        rows.append((time.perf_counter() - clock, time.process_time() - processor, found.route == "full"))
        refused += found.score is None
    if refused > len(images) / 2:
        sys.exit(f"{refused} of {len(images)} images were refused: these would be the times of a refusal")
    times, full = 1e3 * np.array(rows)[:, :2], np.array([row[2] for row in rows])
    normal = labels == 0
    content = {
        "normal": summary(times[normal]),
        "all": summary(times),
        "escalated_normal": float(full[normal].mean()),
        "peak_megabytes": (peak_bytes() or 0) / 2**20,
        "megabytes": sum(file.stat().st_size for file in bundle.iterdir()) / 2**20,
    }
    out.write_text(json.dumps(content, indent=1))


def summary(times: np.ndarray) -> dict[str, float]:
    """Milliseconds; times (N, 2) by the clock and of the processor (see `peers_worker.milliseconds`)."""
    clocks, processors = times.T
    p50, p99 = np.quantile(clocks, [0.5, 0.99])
    return {
        "cpu": float(np.median(processors)),
        "cpu_mean": float(processors.mean()),
        "mean": float(clocks.mean()),
        "p50": float(p50),
        "p99": float(p99),
        "runs": len(times),
    }


if __name__ == "__main__":
    main()
