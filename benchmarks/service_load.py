"""How fast the service answers, and whether it goes on doing so.

    .venv/bin/python benchmarks/service_load.py latency runs/synthetic/bundle
    .venv/bin/python benchmarks/service_load.py throughput runs/synthetic/bundle
    .venv/bin/python benchmarks/service_load.py soak runs/synthetic/bundle

A bundle is all that is needed; without an image folder synthetic images are sent, of the kind that the bundle of
`configs/synthetic_small.yaml` was made for (see `service_images.py`). `decisions` and `routes` say whether the images
were judged: a bundle that refuses them shows times that mean nothing.

`latency`: one worker on one core is sent images at 28 a second over one connection; client and benchmark stay on the
other cores. The clock runs from before the request is written until the answer is read. The same images through
`Inspector.inspect` alone, in the same run, on the same core, give the share of the time that is the service's.
`cpu_ms` is free of what else the computer does. `throughput`: clients send as fast as they are answered. `soak`: the
100 000 images of a station's day at 20 times its speed, 23 a second for 72 minutes; P99 and memory of the second half
against the first.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from service_images import add_images, read_images
from service_worker import Worker

from service.client import Client, NoDecision
from tool_side import Inspector

RATE = 28.0
DAY_IMAGES, DAY_S, SPEED = 100_000, 86_400, 20
_HEAT_MAPS = 200


def latency(
    bundle: Path, images: Sequence[bytes], folder: Path, *, rate: float, count: int
) -> dict[str, Any]:
    """Latency at a steady rate, beside the inspector's own time. All times in milliseconds."""
    every = os.sched_getaffinity(0)
    core = {max(every)}
    worker = Worker(bundle, folder / "data", cores=core)
    started = worker.start()
    os.sched_setaffinity(0, every - core or every)  # the client is another computer in the fab
    chance = random.Random(0)
    sent = [chance.choice(images) for _ in range(count)]
    _send(worker, worker.key(), sent[:50], rate)  # the first images find everything cold
    before = worker.cpu_s()
    answers = _send(worker, worker.key(), sent, rate)
    cpu = (worker.cpu_s() - before) / count * 1000
    heat_maps = _heat_maps(worker, answers.ids)
    worker.stop()
    os.sched_setaffinity(0, core)
    inspector = Inspector(bundle)
    alone, began_cpu = [], time.process_time()
    for image in sent[: min(count, 1000)]:
        began = time.perf_counter()
        inspector.inspect(image)
        alone.append(1000 * (time.perf_counter() - began))
    alone_cpu = (time.process_time() - began_cpu) / len(alone) * 1000
    os.sched_setaffinity(0, every)
    outside = [whole - inner for whole, inner in zip(answers.times, answers.inspect_ms, strict=True)]
    shares = [o / t for o, t in zip(outside, answers.times, strict=True)]
    return {
        "images": count, "rate": rate, "ready_s": round(started, 2), "load_average": os.getloadavg()[0],
        "decisions": dict(answers.decisions), "routes": dict(answers.routes),
        "answer_ms": _percentiles(answers.times),
        "inspect_in_service_ms": _percentiles(answers.inspect_ms),
        "steps_ms": _steps(folder / "data", answers.ids),
        "outside_inspect_ms": _percentiles(outside),
        "outside_share_median": round(statistics.median(shares), 3),
        "heat_map_png_ms": _percentiles(heat_maps),
        "inspect_alone_ms": _percentiles(alone),
        "cpu_ms": {"service": round(cpu, 3), "inspect_alone": round(alone_cpu, 3),
                   "outside_share": round(1 - alone_cpu / cpu, 3)},
    }  # fmt: skip


def _heat_maps(worker: Worker, ids: Sequence[str]) -> list[float]:
    """Milliseconds that heat maps take, asked for one after the other; those of images that no model saw are none."""
    found = []
    with Client(worker.url, worker.key()) as client:
        for name in ids[-_HEAT_MAPS:]:
            began = time.perf_counter()
            with contextlib.suppress(NoDecision):
                client.heatmap(name)
                found.append(1000 * (time.perf_counter() - began))
    return found


def _steps(data: Path, ids: Sequence[str]) -> dict[str, dict[str, float]]:
    """Times of the inspector's steps as the rows tell them: decode, gate, students ..."""
    wanted, steps = set(ids), {}
    with contextlib.closing(sqlite3.connect(data / "waferroute.db")) as connection:
        for name, text in connection.execute("SELECT id, steps_ms FROM inspections"):
            if name in wanted:
                for step, took in json.loads(text).items():
                    steps.setdefault(step, []).append(took)
    return {step: _percentiles(values) for step, values in steps.items()}


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
    decisions: Counter[str] = Counter()
    for number in range(10):
        answers = _send(worker, worker.key(), [chance.choice(images) for _ in range(part)], rate)
        decisions += answers.decisions
        parts.append({"p50": round(float(np.percentile(answers.times, 50)), 3),
                      "p99": round(float(np.percentile(answers.times, 99)), 3),
                      "images_a_second": round(part / answers.took_s, 2),
                      "memory_mb": round(worker.memory_mb(), 2)})  # fmt: skip
        print(f"{number + 1} of 10: {parts[-1]}", file=sys.stderr, flush=True)
    worker.stop()
    first, second = parts[1:5], parts[5:9]
    drift = {
        name: round(
            statistics.median(p[name] for p in second) / statistics.median(p[name] for p in first) - 1, 4
        )
        for name in ("p50", "p99", "memory_mb")
    }
    with contextlib.closing(sqlite3.connect(folder / "data" / "waferroute.db")) as connection:
        rows = connection.execute("SELECT COUNT(*), COUNT(DISTINCT id) FROM inspections").fetchone()
    return {
        "images": part * 10, "rate": round(rate, 2), "rows": rows[0], "decisions": dict(decisions), "parts": parts,
        "drift": drift, "load_average": os.getloadavg()[0],
    }  # fmt: skip


@dataclass
class _Answers:
    """What came back: milliseconds at the client and in the inspector, by image."""

    times: list[float] = field(default_factory=list)
    inspect_ms: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    took_s: float = 0.0


def _send(worker: Worker, key: str, images: Sequence[bytes], rate: float) -> _Answers:
    """Send at a rate, over one connection."""
    found = _Answers()
    wafer = uuid.uuid4().hex[:8]
    begun = time.perf_counter()
    with Client(worker.url, key) as client:
        for number, image in enumerate(images):
            wait = begun + number / rate - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            start = time.perf_counter()
            answer = client.inspect(
                image, wafer_id=f"{wafer}-{number // 1000}", inspection_point=number % 1000
            )
            found.times.append(1000 * (time.perf_counter() - start))
            found.inspect_ms.append(answer["inference_time_ms"])
            found.ids.append(answer["id"])
            found.decisions[answer["decision"]] += 1
            found.routes[answer["route"]] += 1
    found.took_s = time.perf_counter() - begun
    return found


def _percentiles(values: Sequence[float]) -> dict[str, float] | None:
    if not len(values):
        return None  # no image has a heat map where all are refused
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 95, 99)}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    about = {
        "latency": "answer times at a steady rate, one worker on one core",
        "throughput": "images a second, as many as are answered",
        "soak": "a station's day at 20 times its speed: does anything grow?",
    }
    for name, text in about.items():
        one = actions.add_parser(
            name, help=text, description=text.capitalize() + ".",
            epilog=f"example: .venv/bin/python benchmarks/service_load.py {name} runs/synthetic/bundle",
        )  # fmt: skip
        one.add_argument("bundle", type=Path, help="bundle to serve")
        add_images(one)
        if name == "throughput":
            one.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
            one.add_argument("--clients", type=int, default=8, help="senders at once (default: 8)")
            one.add_argument("--seconds", type=float, default=20, help="for so long (default: 20)")
        else:
            count, rate = (2000, RATE) if name == "latency" else (DAY_IMAGES, DAY_IMAGES / DAY_S * SPEED)
            one.add_argument("--images", type=int, default=count, help=f"how many (default: {count})")
            one.add_argument(
                "--rate", type=float, default=rate, help=f"images a second (default: {rate:.3g})"
            )
        one.add_argument("--folder", type=Path, help="where to work (default: the system's folder for such)")
    args = parser.parse_args()
    images = read_images(args.images_in)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.what == "latency":
            found = latency(args.bundle, images, Path(folder), rate=args.rate, count=args.images)
        elif args.what == "throughput":
            found = throughput(args.bundle, images, Path(folder), workers=args.workers, clients=args.clients,
                               seconds=args.seconds)  # fmt: skip
        else:
            found = soak(args.bundle, images, Path(folder), rate=args.rate, count=args.images)
    images_of = "synthetic" if args.images_in is None else str(args.images_in)
    print(json.dumps({"images_of": images_of, **found}, indent=2))


if __name__ == "__main__":
    main()
