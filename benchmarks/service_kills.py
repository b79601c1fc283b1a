"""Kill workers of the service under load, again and again; no answered image may be lost, doubled or wrong.

    .venv/bin/python benchmarks/service_kills.py runs/synthetic/bundle --kills 50
    .venv/bin/python benchmarks/service_kills.py runs/synthetic/bundle --kills 50 --balancer --drains 10

Two workers share a data folder. Clients keep a ledger of every answer; each sends to one worker and, if that breaks
off, once more with the same idempotency key to the other one. A random worker is killed (SIGKILL) at random moments,
during its start too, and started again. In the end every answer in the ledger must be in the database once, with the
same decision, with the image that was sent, and PASS only where the inspector says so.

With `--balancer` clients know nothing of the workers: they send to a real HAProxy with the configuration of
`deploy/haproxy/`, by the client that is shipped, which tries once more on a fresh connection. `--drains`: before
the kills, so many restarts that were asked for (SIGTERM), in which no client may need a second try.
"""

from __future__ import annotations

import argparse
import contextlib
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

from service_balancer import Balancer
from service_images import add_images, read_images
from service_worker import START_S, Worker

from service.client import Client, NoDecision
from service.manage import Manager
from tool_side import Inspector

CLIENTS = 4
# How long a worker says that it is not ready before it stops: longer than the balancer takes to see it.
DRAIN_S = 2.0


class Ledger(threading.Thread):
    """One client. `answers`: (id, decision, sha256 sent). `failed`: what had no decision after one retry.

    Args:
        urls: Of the workers, or of the balancer before them.
    """

    def __init__(
        self, number: int, urls: Sequence[str], key: str, images: Sequence[bytes], seed: int
    ) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[str, str, str]] = []
        self.failed: list[str] = []
        self._retried = 0
        self._number, self._images = number, images
        self._random = random.Random(seed)
        kind = _Once if len(urls) > 1 else Client
        self._clients = [kind(url, key, timeout=20) for url in urls]
        self._ended = threading.Event()

    @property
    def retried(self) -> int:
        """Second tries."""
        return self._retried + sum(client.retries for client in self._clients)

    def run(self) -> None:
        """Send until stopped."""
        count = 0
        while not self._ended.is_set():
            count += 1
            image = self._random.choice(self._images)
            first = self._random.randrange(len(self._clients))
            place = {"wafer_id": f"W{self._number}-{count // 50}", "inspection_point": str(count)}
            key = f"{self._number}-{count}"
            tries = len(self._clients)  # the client of a balancer tries again by itself
            for attempt in range(tries):
                client = self._clients[(first + attempt) % tries]
                if attempt:
                    client.close()  # a connection from before that worker's last death would be no second try
                try:
                    answer = client.inspect(image, idempotency_key=key, **place)
                except NoDecision as error:
                    self._retried += attempt < tries - 1
                    if attempt == tries - 1:
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
    bundle: Path,
    images: Sequence[bytes],
    folder: Path,
    *,
    kills: int,
    seed: int,
    balancer: bool = False,
    drains: int = 0,
) -> dict[str, Any]:
    """Run it. Returns counts; all of `lost`, `doubled`, `wrong`, `failed` must be 0 and `problems` empty."""
    data = folder / "data"
    workers = [Worker(bundle, data, more=("--drain", str(DRAIN_S))) for _ in range(2)]
    with contextlib.ExitStack() as running:
        for worker in workers:
            running.callback(worker.kill)  # whatever happens, nothing is left running
            worker.start()
        urls = [worker.url for worker in workers]
        if balancer:
            before = running.enter_context(Balancer(workers, folder))
            for name in "ab":
                before.wait_until(name, "UP")
            urls = [before.url]
        clients = [Ledger(number, urls, workers[0].key(), images, seed + number) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        _drain(workers, drains)
        tries = sum(client.retried for client in clients)
        _kill(workers, kills, random.Random(seed))
        time.sleep(1)
        for client in clients:
            client.stop()
        for worker in workers:
            worker.stop()
    return {
        "kills": kills, "drained_restarts": drains, "balancer": balancer,
        "second_tries_while_draining": tries, **_compare(bundle, data, images, clients),
    }  # fmt: skip


def _drain(workers: Sequence[Worker], count: int) -> None:
    """Stop one after the other as a restart does, and start it again."""
    for number in range(count):
        victim, other = workers[number % 2], workers[1 - number % 2]
        other.wait_ready(time.monotonic() + START_S)
        time.sleep(1)  # a balancer looks twice a second
        victim.stop()
        victim.start()


def _kill(workers: Sequence[Worker], count: int, chance: random.Random) -> None:
    """Kill one at random moments, and start it again."""
    for _ in range(count):
        # The other one is up: a site that loses both at once has an outage, which is another matter.
        victim, other = chance.sample(workers, 2)
        other.wait_ready(time.monotonic() + START_S)
        time.sleep(chance.uniform(0, 0.5))
        victim.kill()
        victim.spawn()
        if chance.random() < 0.3:
            time.sleep(chance.uniform(0, 1.5))
            victim.kill()
            victim.spawn()
    for worker in workers:
        worker.wait_ready(time.monotonic() + START_S)


def _compare(bundle: Path, data: Path, images: Sequence[bytes], clients: Sequence[Ledger]) -> dict[str, Any]:
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
    add_images(parser)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--balancer", action="store_true", help="send through HAProxy")
    parser.add_argument("--drains", type=int, default=0, help="restarts that are asked for, before the kills")
    args = parser.parse_args()
    images = read_images(args.images_in, 200)
    with tempfile.TemporaryDirectory() as folder:
        found = survive_kills(args.bundle, images, Path(folder), kills=args.kills, seed=args.seed,
                              balancer=args.balancer, drains=args.drains)  # fmt: skip
    print(json.dumps(found, indent=2))
    raise SystemExit(
        any(found[name] for name in ("lost", "doubled", "wrong", "wrong_pass", "failed", "problems"))
    )


if __name__ == "__main__":
    main()
