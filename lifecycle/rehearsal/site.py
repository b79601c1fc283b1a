"""The service of the rehearsal: real workers in processes of their own, supervised, that can be killed.

    python -m lifecycle.rehearsal.site BUNDLE DATA PORT WORKERS     the supervisor
    python -m lifecycle.rehearsal.site BUNDLE DATA 1 --port PORT    one worker

Workers are those of `waferroute serve`, but that nothing in them looks at versions by the clock on the wall: the
rehearsal does that by its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.client import Client
from service.first_start import ADMIN, TOOL_KEY
from service.serve import Listen, run_worker
from service.settings import Settings
from service.supervise import run_workers, stop_process
from wafer_data.child_ends import ending_with_us
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.own_code import child_command, child_environment

MODULES = ("lifecycle.conductor.shadow", "lifecycle.pages.drift")
_START_S, _STOP_S = 180.0, 60.0


@dataclass(frozen=True)
class Site:
    """A running service.

    Attributes:
        data: Its folder.
        urls: Of its workers.
        key: Of the first tool.
        password: Of the user "admin".
    """

    data: Path
    urls: list[str]
    key: str
    password: str

    def worker_pids(self) -> list[int]:
        """Processes of the live workers, in the order of their ports."""
        seen = [read_json(path) for path in sorted((self.data / "models" / "seen").glob("*.json"))]
        return [int(one["pid"]) for one in seen]


@contextlib.contextmanager
def running(bundle: Path, data: Path, workers: int) -> Iterator[Site]:
    """Start the workers, give them, stop them.

    Raises:
        InputError: They do not start.
    """
    port = _free_ports(workers)
    log = (data.parent / f"{data.name}.log").open("ab")
    supervisor = subprocess.Popen(
        child_command("lifecycle.rehearsal.site", str(bundle), str(data), str(port), str(workers)),
        env=child_environment(), stdout=log, stderr=log, start_new_session=True,
        preexec_fn=ending_with_us(signal.SIGTERM),  # then it stops its workers
    )  # fmt: skip
    try:
        urls = [f"http://127.0.0.1:{port + place}" for place in range(workers)]
        _wait(supervisor, data, urls, Path(log.name))
        key, password = ((data / name).read_text("utf-8").strip() for name in (TOOL_KEY, ADMIN))
        yield Site(data, urls, key, password)
    finally:
        stop_process(supervisor, _STOP_S)
        log.close()


def _wait(supervisor: subprocess.Popen[bytes], data: Path, urls: list[str], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    waiting = list(urls)
    while waiting:
        if supervisor.poll() is not None or time.monotonic() > deadline:
            last = log.read_text("utf-8", "replace").strip().splitlines()
            raise InputError(
                f"the service of the rehearsal did not start: {last[-1] if last else 'no word of it'}"
            )
        if (data / TOOL_KEY).is_file() and (data / ADMIN).is_file() and _answers(waiting[0]):
            waiting.pop(0)
        else:
            time.sleep(0.05)


def _answers(url: str) -> bool:
    with Client(url, "", timeout=5) as client:
        return client.alive()


def _free_ports(count: int) -> int:
    """The first of some ports in a row that nobody listens on now."""
    for _ in range(100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            for place in range(1, count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + place))
            return port
    raise InputError(f"there are no {count} free ports in a row")


def main() -> int:
    """See the module."""
    bundle, data, port, workers, *more = sys.argv[1:]
    if not more:
        return run_workers(
            int(workers), int(port), child_command("lifecycle.rehearsal.site", bundle, data, port, "1")
        )
    port = more[-1]
    settings = Settings(data=Path(data), node=f"worker-{port}", modules=MODULES, ship_every_s=0.05)
    os.environ.setdefault("WAFERROUTE_QUIET", "1")
    return run_worker(Path(bundle), settings, Listen(port=int(port)))


if __name__ == "__main__":
    sys.exit(main())
