"""Nearest-image search over many latents: how long an index takes to build, and a search.

    .venv/bin/python benchmarks/nearest_images.py WORK --latents 1000000

The vectors are drawn (128 coordinates, a mixture of 200 Gaussians), written as results of `waferroute score`, and
searched through `tool_side.archive.nearest`. Prints one JSON object: seconds to build, and by number of cells searched
the milliseconds a search (median and 99th percentile of 200, one thread; also of processor time, which other programs
disturb less), and the share of the true ten nearest that are found.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tool_side.archive.nearest import NearestImages
from tool_side.archive.results import BUNDLE, KEY, TOTALS, Totals, schema

WIDTH, PART, QUERIES = 128, 100_000, 200
PROBES = (4, 8, 16, 32)


def main() -> None:
    """Draw, build, search, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--latents", type=int, default=1_000_000)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    centres = random.normal(0, 1, (200, WIDTH)).astype(np.float32)
    queries = _draw(random, centres, QUERIES)
    best = np.full((QUERIES, 10), np.inf)
    sources = np.zeros((QUERIES, 10), np.int64)
    for start in range(0, args.latents, PART):
        block = _draw(random, centres, min(PART, args.latents - start))
        _write(args.work / f"part-{start:09d}.parquet", block, start)
        squared = (queries**2).sum(1)[:, None] - 2 * queries @ block.T + (block**2).sum(1)
        both = np.concatenate([best, squared], axis=1)
        names = np.concatenate(
            [sources, np.broadcast_to(np.arange(start, start + len(block)), squared.shape)], axis=1
        )
        nearest = np.argpartition(both, 10, axis=1)[:, :10]
        best, sources = np.take_along_axis(both, nearest, 1), np.take_along_axis(names, nearest, 1)
    started = time.monotonic()
    index = NearestImages(args.work)
    found: dict[str, Any] = {
        "latents": index.count,
        "build_or_load_seconds": round(time.monotonic() - started, 1),
    }
    found["search"] = {}
    for probes in PROBES:
        index, times, hits = NearestImages(args.work, probes), [], 0
        for query, expected in zip(queries, sources, strict=True):
            clock, processor = time.perf_counter(), time.process_time()
            neighbours = index.search(query, 10)
            times.append((1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor)))
            hits += len({int(one.source) for one in neighbours} & set(expected.tolist()))
        by_clock, by_processor = np.array(times).T
        found["search"][f"{probes} probes"] = {
            "median_ms": round(float(np.median(by_clock)), 2),
            "p99_ms": round(float(np.quantile(by_clock, 0.99)), 2),
            "median_ms_of_processor_time": round(float(np.median(by_processor)), 2),
            "found_of_true_ten": round(hits / (10 * QUERIES), 4),
        }
    print(json.dumps(found, indent=2))


def _draw(random: np.random.Generator, centres: np.ndarray, count: int) -> np.ndarray:
    chosen = centres[random.integers(0, len(centres), count)]
    return chosen + random.normal(0, 0.7, (count, WIDTH)).astype(np.float32)


def _write(path: Path, block: np.ndarray, start: int) -> None:
    columns = schema(WIDTH)
    count = len(block)
    values: dict[str, pa.Array] = {field.name: pa.nulls(count, field.type) for field in columns}
    values["source"] = pa.array([str(i) for i in range(start, start + count)])
    values["row"] = pa.array(np.arange(count, dtype=np.int32))
    values["decision"] = pa.array(["PASS"] * count)
    values["latent"] = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), WIDTH)
    metadata = {KEY: f"drawn {start}", BUNDLE: "drawn", TOTALS: json.dumps(Totals(images=count).to_dict())}
    pq.write_table(
        pa.table(values, schema=columns).replace_schema_metadata(metadata), path, row_group_size=4096
    )


if __name__ == "__main__":
    main()
