"""How fast one core scores an archive of stored images, with decoding and without.

    .venv/bin/python benchmarks/archive_speed.py WORK --bundle runs/mine/bundle --from DIR --images 3000

Takes the image files under DIR (as many as there are, then again from the first), stored as PNG of 256 x 256 pixels
in Parquet shards, and scores them as `waferroute score` does, on one thread, latents kept. Prints one JSON object:
images a second by the clock and by this process's own processor time, which other programs disturb less, and what the
time goes into. "Without decoding" is the whole less a pass that only reads and decodes. Each pass is made `--repeats`
times and the fastest counts. The bundle decides how many images are escalated, which is reported beside the speed;
with `--escalated SHARE` the files are taken so that it is that share, and what the quality gate refuses is left out.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from PIL import Image

from router.decision import Route
from router.route_scores import look
from tool_side.archive.run import Job, score_archive
from tool_side.runtime.inspector import Inspector
from wafer_data.imaging.read import IMAGE_SUFFIXES, read_grey, to_square
from wafer_data.shards import Item, open_archive
from wafer_data.shards.pack import pack

SIZE = 256


def main() -> None:
    """Pack, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path, help="folder for archive and results")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--from", dest="source", type=Path, required=True, help="folder of image files")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--escalated", type=float, help="share of escalated images (default: as the files come)"
    )
    args = parser.parse_args()
    files = sorted(path for path in args.source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise SystemExit(f"{args.source} holds no image files")
    if args.escalated is not None:
        files = _with_share(args.bundle, files, args.images, args.escalated)
    archive = args.work / "archive"
    pack(args.images, lambda i: _item(files, i), archive, f"{args.source} {args.images} {args.escalated}")
    found: dict[str, Any] = {
        "images": args.images,
        "files": len(set(files)),
        "load": round(os.getloadavg()[0], 1),
    }
    summary: dict[str, Any] = {}

    def score() -> None:
        shutil.rmtree(args.work / "scored", ignore_errors=True)
        summary.update(score_archive(str(archive), Job(args.bundle, args.work / "scored")))

    whole = _fastest(score, args.repeats)
    read = _fastest(lambda: _read(archive, decode=False), args.repeats)
    decoded = _fastest(lambda: _read(archive, decode=True), args.repeats)
    found["escalated_share"] = round(summary["escalated"] / args.images, 4)
    found["decisions"] = summary["decisions"]
    for kind in ("clock", "processor"):
        without = whole[kind] - (decoded[kind] - read[kind])
        found[f"by_{kind}"] = {
            "images_per_second": round(args.images / whole[kind]),
            "images_per_second_without_decoding": round(args.images / without),
            "ms_an_image": round(1e3 * whole[kind] / args.images, 3),
            "ms_reading_the_archive": round(1e3 * read[kind] / args.images, 3),
            "ms_decoding": round(1e3 * (decoded[kind] - read[kind]) / args.images, 3),
        }
    found["ms_of_single_steps_by_processor"] = _steps(args.bundle, archive)
    print(json.dumps(found, indent=2))


def _with_share(bundle: str, files: list[Path], images: int, share: float) -> list[Path]:
    """`images` of the files that the gate admits, the escalated ones evenly among them; each kind again and again."""
    inspector = Inspector(bundle)
    found = {file: inspector.inspect(file) for file in files}
    kinds = [[file for file in files if found[file].route == stage] for stage in (Route.LOWRES, Route.FULL)]
    if not all(kinds):
        raise SystemExit(
            f"{len(kinds[1])} of the files are escalated, {len(kinds[0])} are not: some of both are needed"
        )
    taken, sources = [], [cycle(kind) for kind in kinds]
    for place in range(images):
        escalated = int((place + 1) * share) > int(place * share)
        taken.append(next(sources[escalated]))
    return taken


def _item(files: list[Path], number: int) -> Item:
    """As an inspection tool stores it: its PNG encoder's default, no metadata."""
    path, buffer = files[number % len(files)], io.BytesIO()
    Image.fromarray((255 * to_square(read_grey(path), SIZE)).round().astype("uint8")).save(buffer, "PNG")
    return Item(f"{number:07d}-{path.name}", buffer.getvalue())


def _read(archive: Path, *, decode: bool) -> None:
    for shard in open_archive(str(archive)):
        for item in shard.items():
            if decode:
                read_grey(item.data)


def _fastest(work: Callable[[], None], repeats: int) -> dict[str, float]:
    times = []
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - clock, time.process_time() - processor))
    return {
        name: min(column)
        for name, column in zip(("clock", "processor"), zip(*times, strict=True), strict=True)
    }


def _steps(bundle: str, archive: Path) -> dict[str, float]:
    """Single steps on the first 200 images; together they are less than the whole, which also writes results."""
    inspector = Inspector(bundle)
    items = [
        item for _, item in zip(range(200), next(iter(open_archive(str(archive)))).items(), strict=False)
    ]
    squares = [inspector.prepare(item.data) for item in items]
    gate = inspector.policy.gate
    steps: dict[str, Callable[[int], Any]] = {
        "decode": lambda i: read_grey(items[i].data),
        "sha256": lambda i: hashlib.sha256(items[i].data).hexdigest(),
        "quality gate": lambda i: look(gate, squares[i], checked=True),
        "low-resolution student": lambda i: inspector.students[Route.LOWRES](squares[i]),
        "full student": lambda i: inspector.students[Route.FULL](squares[i]),
    }
    found = {}
    for name, step in steps.items():
        started = time.process_time()
        for i in range(len(items)):
            step(i)
        found[name] = round(1e3 * (time.process_time() - started) / len(items), 3)
    return found


if __name__ == "__main__":
    main()
