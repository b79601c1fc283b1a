"""Kill `waferroute inspect --watch` again and again while files arrive; every image must get exactly one result.

    .venv/bin/python tests/stress/endurance.py runs/quickstart/bundle IMAGE_FOLDER --kills 50

Files arrive as tools write them: renamed into place, written slowly in pieces, in sub-folders, and over files
that were inspected before, in place or by renaming. The process is ended by SIGKILL at random moments, during
its start too.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

SETTLE_S = 0.25
FILES_A_KILL = 60
"""At most as many files arrive between two kills: a computer that is busy with other things must keep up."""


class Dropper(threading.Thread):
    """Drops images into `folder` until stopped, no more than `allowed`.

    `dropped`: (path, sha256) of everything that was completed.
    """

    def __init__(self, folder: Path, results: Path, images: Sequence[bytes], seed: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.dropped: list[tuple[str, str]] = []
        self.allowed = 0
        self.failure: Exception | None = None
        self._folder, self._results, self._images, self._pause = folder, results, images, pause
        self._random = random.Random(seed)
        self._ended = threading.Event()

    def stop(self) -> None:
        """End after the file that is being written. Raises what went wrong in the thread, if anything did."""
        self._ended.set()
        self.join()
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        """Drop files in all the ways that a tool might."""
        try:
            number = 0
            while not self._ended.wait(self._random.uniform(0, 2 * self._pause)):
                if number >= self.allowed:
                    continue
                number += 1
                replaced = self._inspected_path() if self._random.random() < 0.25 else None
                lot = (
                    self._folder / f"lot {self._random.randrange(3)}"
                    if self._random.random() < 0.3
                    else self._folder
                )
                lot.mkdir(exist_ok=True)
                path = replaced or lot / f"{number:05d}.png"
                # Bytes behind a PNG's end change its content but not its picture: every file is one of a kind.
                data = self._random.choice(self._images) + f"{number}".encode()
                self._random.choice([self._rename_into_place, self._write_slowly])(path, data)
                self.dropped.append((str(path), hashlib.sha256(data).hexdigest()))
        except Exception as error:
            self.failure = error

    def _inspected_path(self) -> Path | None:
        """A file whose present content has its result: replacing another one would lose an image rightly."""
        last = {}
        for path, digest in self.dropped:
            last[path] = digest
        done = set(results_of(self._results)) if self._results.exists() else set()
        candidates = sorted(path for path, digest in last.items() if (path, digest) in done)
        return Path(self._random.choice(candidates)) if candidates else None

    def _rename_into_place(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(data)
        temporary.replace(path)

    def _write_slowly(self, path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            for start in range(0, len(data), 1 + len(data) // 4):
                file.write(data[start : start + 1 + len(data) // 4])
                file.flush()
                time.sleep(self._random.uniform(0, 0.3 * SETTLE_S))


def results_of(path: Path) -> list[tuple[str, str]]:
    """(source, sha256) of every whole line of a results file."""
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [(row["source"], row["sha256"]) for row in map(json.loads, whole.splitlines())]


def start_watch(bundle: Path, folder: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    """The command as a user starts it."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "waferroute", "inspect", str(bundle), "--watch", str(folder)),
            *("--json-lines", str(results), "--csv", str(results.with_suffix(".csv"))),
            *("--poll", "0.05", "--settle", str(SETTLE_S), *options),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def survive_kills(
    bundle: Path, images: Sequence[bytes], work: Path, *, kills: int, seed: int = 0, pause: float = 0.05
) -> dict[str, object]:
    """Kill the watch `kills` times, let it finish once, and count what became of the images.

    images: contents of PNG files. work: an empty folder. pause: mean seconds between two files. Returns counts:
    images (completed files), lost, twice, unknown (results of contents that nobody dropped), table_differs.
    Raises RuntimeError when the command fails otherwise than by the kill.
    """
    rng = random.Random(seed)
    folder, results = work / "drop", work / "results.jsonl"
    folder.mkdir(parents=True)
    dropper = Dropper(folder, results, images, seed, pause)
    dropper.start()
    during_start = 0
    for _ in range(kills):
        dropper.allowed += FILES_A_KILL
        watch = start_watch(bundle, folder, results)
        before = results.stat().st_size if results.exists() else 0
        # Most kills come shortly after a new result, some at any moment from the first instruction on.
        if rng.random() < 0.25:
            time.sleep(rng.uniform(0, 1.0))
        else:
            deadline = time.monotonic() + 20
            while (
                time.monotonic() < deadline and (results.stat().st_size if results.exists() else 0) <= before
            ):
                time.sleep(0.001)
            time.sleep(rng.choice([0, 0.002, 0.02, 0.2]) * rng.random())
        during_start += (results.stat().st_size if results.exists() else 0) <= before
        if watch.poll() is not None:
            raise RuntimeError(f"the watch ended by itself: {watch.communicate()[1]}")
        watch.kill()
        watch.communicate()
    dropper.stop()
    last = start_watch(bundle, folder, results, "--once")
    try:
        said = last.communicate(timeout=120 + 0.5 * len(dropper.dropped))[1]
    except subprocess.TimeoutExpired:
        last.kill()
        raise
    if last.returncode != 0:
        raise RuntimeError(f"the last run ended with status {last.returncode}: {said}")
    found, expected = Counter(results_of(results)), set(dropper.dropped)
    with results.with_suffix(".csv").open(newline="", encoding="utf-8") as file:
        table = [(row["source"], row["sha256"]) for row in csv.DictReader(file)]
    return {
        "kills": kills,
        "kills_before_any_new_result": during_start,
        "images": len(expected),
        "lost": len(expected - set(found)),
        "twice": sum(count - 1 for count in found.values()),
        "unknown": len(set(found) - expected),
        "table_differs": table != results_of(results),
    }
