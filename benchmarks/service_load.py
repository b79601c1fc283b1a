"""How fast the service answers, and whether it goes on doing so.

    .venv/bin/python benchmarks/service_load.py latency runs/quickstart/bundle IMAGE_FOLDER
    .venv/bin/python benchmarks/service_load.py throughput runs/quickstart/bundle IMAGE_FOLDER --workers 2
    .venv/bin/python benchmarks/service_load.py soak runs/quickstart/bundle IMAGE_FOLDER --images 100000 --rate 560

`latency`: one worker on one core is sent images at 28 a second (100 000 a day) over one connection; the clock runs
from before the request is written until the answer is read. The same images through `Inspector.inspect` alone, in
the same run, on the same core, give the share of the time that is the service's. `cpu_ms` is free of what else the
computer does. `throughput`: clients send as fast as they are answered. `soak`: a day's images at 20 times the rate;
P99 and memory of the second half against the first.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from service_worker import Worker

from service.client import Client
from tool_side import Inspector

RATE = 28.0


def latency(
    bundle: Path, images: Sequence[bytes], folder: Path, *, rate: float, count: int
) -> dict[str, Any]:
    """Latency at a steady rate, beside the inspector's own time. All times in milliseconds."""
    core = {max(os.sched_getaffinity(0))}
    worker = Worker(bundle, folder / "data", cores=core)
    started = worker.start()
    chance = random.Random(0)
    sent = [chance.choice(images) for _ in range(count)]
    _send(worker, worker.key(), sent[:50], rate)  # the first images find everything cold
    before = worker.cpu_s()
    times, inspect_ms = _send(worker, worker.key(), sent, rate)
    cpu = (worker.cpu_s() - before) / count * 1000
    worker.stop()
    os.sched_setaffinity(0, core)
    inspector = Inspector(bundle)
    alone, began_cpu = [], time.process_time()
    for image in sent[: min(count, 1000)]:
        began = time.perf_counter()
        inspector.inspect(image)
        alone.append(1000 * (time.perf_counter() - began))
    alone_cpu = (time.process_time() - began_cpu) / len(alone) * 1000
    outside = [whole - inner for whole, inner in zip(times, inspect_ms, strict=True)]
    return {
        "images": count, "rate": rate, "ready_s": round(started, 2), "load_average": os.getloadavg()[0],
        "answer_ms": _percentiles(times),
        "inspect_in_service_ms": _percentiles(inspect_ms),
        "outside_inspect_ms": _percentiles(outside),
        "outside_share_median": round(statistics.median(o / t for o, t in zip(outside, times, strict=True)), 3),
        "inspect_alone_ms": _percentiles(alone),
        "cpu_ms": {"service": round(cpu, 3), "inspect_alone": round(alone_cpu, 3),
                   "outside_share": round(1 - alone_cpu / cpu, 3)},
    }  # fmt: skip


def throughput(
    bundle: Path, images: Sequence[bytes], folder: Path, *, workers: int, clients: int, seconds: float
) -> dict[str, Any]:
    """Images a second with as many clients, each of which sends when it is answered; every decision durable."""
    running = [Worker(bundle, folder / "data") for _ in range(workers)]
    for worker in running:
        worker.start()
    key = running[0].key()
    counts = [0] * clients
    end = time.monotonic() + seconds + 2
    begin = time.monotonic() + 2

    def send(number: int) -> None:
        chance = random.Random(number)
        with Client(running[number % workers].url, key) as client:
            for point in range(10**9):
                now = time.monotonic()
                if now > end:
                    return
                client.inspect(chance.choice(images), wafer_id=f"W{number}", inspection_point=point)
                counts[number] += now >= begin

    threads = [threading.Thread(target=send, args=(number,)) for number in range(clients)]
    cpu = sum(worker.cpu_s() for worker in running)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu = sum(worker.cpu_s() for worker in running) - cpu
    for worker in running:
        worker.stop()
    return {
        "workers": workers, "clients": clients, "images": sum(counts),
        "images_a_second": round(sum(counts) / seconds, 1),
        "cpu_ms_an_image": round(1000 * cpu / max(1, sum(counts)), 3), "load_average": os.getloadavg()[0],
    }  # fmt: skip


def soak(bundle: Path, images: Sequence[bytes], folder: Path, *, rate: float, count: int) -> dict[str, Any]:
    """A long run; how memory and P99 move. The first tenth warms up."""
    worker = Worker(bundle, folder / "data")
    worker.start()
    chance = random.Random(0)
    parts, part = [], max(1, count // 10)
    for _ in range(10):
        times, _ = _send(worker, worker.key(), [chance.choice(images) for _ in range(part)], rate)
        parts.append({"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99)),
                      "memory_mb": worker.memory_mb()})  # fmt: skip
    worker.stop()
    first, second = parts[1:5], parts[5:9]
    drift = {
        name: round(
            statistics.median(p[name] for p in second) / statistics.median(p[name] for p in first) - 1, 4
        )
        for name in ("p50", "p99", "memory_mb")
    }
    return {
        "images": part * 10,
        "rate": rate,
        "parts": parts,
        "drift": drift,
        "load_average": os.getloadavg()[0],
    }


def _send(worker: Worker, key: str, images: Sequence[bytes], rate: float) -> tuple[list[float], list[float]]:
    """Send at a rate. Returns each image's time at the client and in the inspector, in ms."""
    times, inside = [], []
    wafer = uuid.uuid4().hex[:8]
    begun = time.perf_counter()
    with Client(worker.url, key) as client:
        for number, image in enumerate(images):
            wait = begun + number / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            start = time.perf_counter()
            answer = client.inspect(image, wafer_id=wafer, inspection_point=number)
            times.append(1000 * (time.perf_counter() - start))
            inside.append(answer["inference_time_ms"])
    return times, inside


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("latency", "throughput", "soak"))
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images_in", metavar="IMAGE_FOLDER", type=Path)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--images", type=int, default=2000, help="(latency, soak)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's folder for such)")
    args = parser.parse_args()
    files = sorted(
        path for path in args.images_in.rglob("*") if path.suffix.lower() in (".png", ".tif", ".tiff", ".jpg")
    )
    images = [path.read_bytes() for path in files[:400]]
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.what == "latency":
            found = latency(args.bundle, images, Path(folder), rate=args.rate, count=args.images)
        elif args.what == "throughput":
            found = throughput(args.bundle, images, Path(folder), workers=args.workers, clients=args.clients,
                               seconds=args.seconds)  # fmt: skip
        else:
            found = soak(args.bundle, images, Path(folder), rate=args.rate, count=args.images)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
