"""Kill workers of the service under load, again and again; no answered image may be lost, doubled or wrong.

    .venv/bin/python benchmarks/service_kills.py runs/quickstart/bundle IMAGE_FOLDER --kills 50

Two workers share a data folder. Clients keep a ledger of every answer; each sends to one worker and, if that breaks
off, once more with the same idempotency key to the other one, as behind a load balancer. A random worker is killed
(SIGKILL) at random moments, during its start too, and started again. In the end every answer in the ledger must be in
the database once, with the same decision, with the image that was sent, and PASS only where the inspector says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service_worker import Worker

from service.client import Client, NoDecision
from service.manage import Manager
from tool_side import Inspector

CLIENTS = 4


class Ledger(threading.Thread):
    """One client. `answers`: (id, decision, sha256 sent). `failed`: what had no decision after one retry."""

    def __init__(
        self, number: int, workers: Sequence[Worker], key: str, images: Sequence[bytes], seed: int
    ) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[str, str, str]] = []
        self.failed: list[str] = []
        self.retried = 0
        self._number, self._images = number, images
        self._random = random.Random(seed)
        self._clients = [_Once(worker.url, key, timeout=20) for worker in workers]
        self._ended = threading.Event()

    def run(self) -> None:
        """Send until stopped."""
        count = 0
        while not self._ended.is_set():
            count += 1
            image = self._random.choice(self._images)
            first = self._random.randrange(len(self._clients))
            place = {"wafer_id": f"W{self._number}-{count // 50}", "inspection_point": str(count)}
            key = f"{self._number}-{count}"
            for attempt in range(2):
                client = self._clients[(first + attempt) % len(self._clients)]
                if attempt:
                    client.close()  # a connection from before that worker's last death would be no second try
                try:
                    answer = client.inspect(image, idempotency_key=key, **place)
                except NoDecision as error:
                    self.retried += attempt == 0
                    if attempt == 1:
                        self.failed.append(str(error))
                else:
                    self.answers.append((answer["id"], answer["decision"], hashlib.sha256(image).hexdigest()))
                    break
            self._ended.wait(self._random.uniform(0, 0.02))

    def stop(self) -> None:
        """End after the image at hand."""
        self._ended.set()
        self.join()


class _Once(Client):
    """The client without its own retry: here the second try goes to the other worker."""

    def _send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        try:
            status, content, _ = self._once(
                method, path, body, {"Authorization": f"Bearer {self._key}", **(headers or {})}
            )
        except Exception as error:
            self.close()
            raise NoDecision(repr(error)) from error
        if status != 200:
            raise NoDecision(f"{status}: {content[:200]!r}", status)
        return content


def survive_kills(
    bundle: Path, images: Sequence[bytes], folder: Path, *, kills: int, seed: int
) -> dict[str, Any]:
    """Run it. Returns counts; all of `lost`, `doubled`, `wrong`, `failed` must be 0 and `problems` empty."""
    chance = random.Random(seed)
    data = folder / "data"
    workers = [Worker(bundle, data) for _ in range(2)]
    for worker in workers:
        worker.start()
    key = workers[0].key()
    clients = [Ledger(number, workers, key, images, seed + number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for _ in range(kills):
        # The other one is up: a site that loses both at once has an outage, which is another matter.
        victim, other = chance.sample(workers, 2)
        other.wait_ready(time.monotonic() + 60)
        time.sleep(chance.uniform(0, 0.5))
        victim.kill()
        victim.spawn()
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 1.5))
            victim.kill()
            victim.spawn()
    for worker in workers:
        worker.wait_ready(time.monotonic() + 60)
    time.sleep(1)
    for client in clients:
        client.stop()
    for worker in workers:
        worker.stop()
    return _compare(bundle, data, images, clients, kills)


def _compare(
    bundle: Path, data: Path, images: Sequence[bytes], clients: Sequence[Ledger], kills: int
) -> dict[str, Any]:
    right = {
        hashlib.sha256(image).hexdigest(): str(Inspector(bundle).inspect(image).decision) for image in images
    }
    answers = [answer for client in clients for answer in client.answers]
    manager = Manager(data)
    shipped = manager.ship()
    with sqlite3.connect(data / "waferroute.db") as connection:
        rows = connection.execute(
            "SELECT id, decision, image_sha256, idempotency_key FROM inspections"
        ).fetchall()
        attempts = connection.execute("SELECT COUNT(*) FROM attempts").fetchone()[0]
    kept = {row[0]: (row[1], row[2]) for row in rows}
    keys = Counter(row[3] for row in rows)
    checked = manager.check()
    return {
        "kills": kills,
        "answered": len(answers),
        "rows": len(rows),
        "kept_but_not_answered": len(set(kept) - {answer[0] for answer in answers}),
        "answered_by_both_workers": attempts,
        "retried": sum(client.retried for client in clients),
        "failed": sum(len(client.failed) for client in clients),
        "failures": [text for client in clients for text in client.failed][:5],
        "lost": sum(1 for made, *_ in answers if made not in kept),
        "doubled": sum(count - 1 for count in keys.values())
        + len(answers) - len({answer[0] for answer in answers}),
        "wrong": sum(kept.get(made) != (decision, sha) for made, decision, sha in answers),
        "wrong_pass": sum(decision == "PASS" and right[sha] != "PASS" for _, decision, sha in answers),
        "left_in_journals": shipped["carried"],
        "problems": list(checked["problems"]),
    }  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path, help="folder of image files")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    files = sorted(
        path for path in args.images.rglob("*") if path.suffix.lower() in (".png", ".tif", ".tiff", ".jpg")
    )
    images = [path.read_bytes() for path in files[:200]]
    with tempfile.TemporaryDirectory() as folder:
        found = survive_kills(args.bundle, images, Path(folder), kills=args.kills, seed=args.seed)
    print(json.dumps(found, indent=2))
    raise SystemExit(
        any(found[name] for name in ("lost", "doubled", "wrong", "wrong_pass", "failed", "problems"))
    )


if __name__ == "__main__":
    main()
