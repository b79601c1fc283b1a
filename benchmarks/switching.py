"""Versions switched under load: requests that failed, the last answer of the old version, wafers of two versions.

    .venv/bin/python benchmarks/switching.py BUNDLE OTHER_BUNDLE IMAGE_FOLDER --rate 28 --switches 10 --kills 5

Two workers share a data folder and are sent images at a steady rate, each to the other worker once more if one breaks
off. The two bundles are promoted and rolled back in turn; then a canary decides half of the wafers while workers are
killed (SIGKILL). Where OTHER_BUNDLE is `same`, one is made that differs in its thresholds alone. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from service_worker import Worker

from lifecycle.conductor.canary import start_canary
from service.client import Client, NoDecision
from service.manage import Manager
from service.versions.folder import VersionFolder
from service.versions.switch import promote, rollback
from wafer_data.files import read_json, write_json


class Line(threading.Thread):
    """A tool that sends images at a steady rate. answers: (sent, answered, wafer, version)."""

    def __init__(self, workers: list[Worker], key: str, images: list[bytes], rate: float) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[float, float, str, str]] = []
        self.failed: list[str] = []
        self._urls, self._key = [worker.url for worker in workers], key
        self._images, self._rate = images, rate
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Send until stopped."""
        start, count, threads = time.monotonic(), 0, []
        while not self._ended.is_set():
            thread = threading.Thread(target=self._one, args=(count,), daemon=True)
            thread.start()
            threads = [t for t in threads if t.is_alive()] + [thread]
            count += 1
            time.sleep(max(0.0, start + count / self._rate - time.monotonic()))
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """End after the images at hand."""
        self._ended.set()
        self.join()

    def _one(self, count: int) -> None:
        wafer = f"W{count % 40}-{count // 2000}"
        place = {"wafer_id": wafer, "inspection_point": str(count)}
        sent, said = time.monotonic(), ""
        for attempt in range(2):
            client = Client(self._urls[(count + attempt) % 2], self._key, timeout=20)
            try:
                answer = client.inspect(
                    self._images[count % len(self._images)], idempotency_key=str(count), **place
                )
            except (NoDecision, OSError) as error:
                said = str(error)
                continue
            with self._lock:
                self.answers.append((sent, time.monotonic(), wafer, answer["model_version"]))
            return
        with self._lock:
            self.failed.append(said)


def other_thresholds(bundle: Path, out: Path) -> Path:
    """The same bundle, a little stricter."""
    from tool_side.bundle.load import write_manifest

    shutil.copytree(bundle, out)
    manifest = read_json(out / "manifest.json")
    policy = read_json(out / "policy.json")
    policy["review_above"] -= 0.01
    write_json(out / "policy.json", policy)
    more = {k: v for k, v in manifest.items() if k in ("check", "parity", "lineage", "expected_size")}
    from tool_side.bundle.sections import preprocessing_of

    write_manifest(
        out, models=manifest["models"], policy=policy, provenance=manifest["provenance"],
        preprocessing=preprocessing_of(manifest["preprocessing"]), more=more,
    )  # fmt: skip
    return out


def measure(
    bundle: Path, other: Path, images: list[bytes], folder: Path, args: argparse.Namespace
) -> dict[str, Any]:
    """Run it all."""
    data = folder / "data"
    workers = [Worker(bundle, data) for _ in range(2)]
    for worker in workers:
        worker.start()
    versions = VersionFolder(data / "models")
    second = versions.push(other).name
    first = next(v.name for v in versions.versions() if v.name != second)
    line = Line(workers, workers[0].key(), images, args.rate)
    line.start()
    time.sleep(3)
    seconds, late = [], []
    for turn in range(args.switches):
        old = second if turn % 2 else first
        begun = time.monotonic()
        done = (
            rollback(versions, by="b", reason="x")
            if turn % 2
            else promote(versions, second, by="b", reason="x")
        )
        seconds.append(done.seconds)
        followed = time.monotonic()
        time.sleep(2)
        of_old = [
            answered
            for sent, answered, _, version in list(line.answers)
            if version == old and sent > followed
        ]
        last_old = max((a for _, a, _, v in list(line.answers) if v == old), default=begun)
        late.append({"asked_after": len(of_old), "last_old_answer_s": round(max(0.0, last_old - begun), 3)})
    switched = len(line.answers)
    start_canary(versions, second, share=0.5, days=7, by="b", reason="x")
    time.sleep(2)
    for turn in range(args.kills):
        workers[turn % 2].kill()
        workers[turn % 2].spawn()
        workers[turn % 2].wait_ready(time.monotonic() + 60)
        time.sleep(1)
    line.stop()
    for worker in workers:
        worker.stop()
    Manager(data).ship()
    wafers: dict[str, set[str]] = defaultdict(set)
    with sqlite3.connect(data / "waferroute.db") as database:
        query = "SELECT wafer_id, version FROM inspections WHERE rollout_id IS NOT NULL"
        for wafer, version in database.execute(query):
            wafers[wafer].add(version)
    return {
        "images_a_second": args.rate,
        "answers": len(line.answers),
        "answers_while_switching": switched,
        "failed": len(line.failed),
        "switches": args.switches,
        "seconds_until_every_worker_follows": {
            "median": sorted(seconds)[len(seconds) // 2],
            "most": max(seconds),
        },
        "answers_of_the_old_version_to_requests_sent_after": sum(one["asked_after"] for one in late),
        "last_answer_of_the_old_version_s": max(one["last_old_answer_s"] for one in late),
        "kills_during_the_canary": args.kills,
        "wafers_of_the_canary": len(wafers),
        "wafers_of_two_versions": sum(len(names) > 1 for names in wafers.values()),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("other", help="another bundle, or `same`")
    parser.add_argument("images", type=Path)
    parser.add_argument("--rate", type=float, default=28.0, help="images a second (default: 28)")
    parser.add_argument("--switches", type=int, default=10)
    parser.add_argument("--kills", type=int, default=5)
    args = parser.parse_args()
    images = [path.read_bytes() for path in sorted(args.images.rglob("*.png"))[:50]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        other = other_thresholds(args.bundle, folder / "other") if args.other == "same" else Path(args.other)
        print(json.dumps(measure(args.bundle, other, images, folder, args), indent=2))


if __name__ == "__main__":
    main()
