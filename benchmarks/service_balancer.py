"""A real HAProxy with the configuration that is shipped (`deploy/haproxy/`), for benchmarks and tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from service_worker import Worker, free_port

CONFIGURATION = Path(__file__).parents[1] / "deploy" / "haproxy" / "waferroute.cfg"
START_S = 20.0


def haproxy() -> str | None:
    """HAProxy's program; Debian keeps it where only root's path looks."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")


def missing() -> str | None:
    """Why no balancer can be started here; None if one can."""
    return None if haproxy() else "HAProxy is not installed (Debian: apt-get install haproxy)"


class Balancer:
    """HAProxy before two workers.

    Args:
        workers: Two.
        folder: For its log and its control socket.
        bind: How it listens, without address and port, e.g. `ssl crt FILE`.
    """

    def __init__(self, workers: Sequence[Worker], folder: Path, bind: str = "") -> None:
        self.port, self._figures = free_port(), free_port()
        self.url = f"{'https' if bind else 'http'}://127.0.0.1:{self.port}"
        self.figures_url = f"http://127.0.0.1:{self._figures}/metrics"
        self._log, self._control = folder / "haproxy.log", folder / "haproxy.sock"
        first, second = workers
        self._environment = {
            **os.environ,
            "WAFERROUTE_BIND": f"127.0.0.1:{self.port} {bind}".strip(),
            "WAFERROUTE_A": f"127.0.0.1:{first.port}",
            "WAFERROUTE_B": f"127.0.0.1:{second.port}",
            "WAFERROUTE_STATS": f"127.0.0.1:{self._figures}",
            "WAFERROUTE_CONTROL": str(self._control),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Balancer:
        program = haproxy()
        if program is None:
            raise RuntimeError(missing())
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-db", "-f", str(CONFIGURATION)], stdout=log, stderr=log, env=self._environment
            )
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                self.states()  # its control socket may come after its port
                return self
            time.sleep(0.02)
        self.__exit__()
        raise RuntimeError(f"HAProxy does not start: {self.log()[-2000:]}")

    def __exit__(self, *_: Any) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def states(self) -> dict[str, str]:
        """What it thinks of each worker, e.g. {"a": "UP", "b": "DOWN"}."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5)
            control.connect(str(self._control))
            control.sendall(b"show stat\n")
            text = b"".join(iter(lambda: control.recv(65536), b"")).decode()
        names, *rows = (line.split(",") for line in text.splitlines() if line)
        table = [dict(zip(names, row, strict=False)) for row in rows]
        return {row["svname"]: row["status"] for row in table if row["svname"] in ("a", "b")}

    def wait_until(self, worker: str, state: str, within: float = START_S) -> None:
        """Wait until it thinks so of a worker. Raises RuntimeError if that does not come."""
        until = time.monotonic() + within
        while not self.states().get(worker, "").startswith(state):
            if time.monotonic() > until:
                raise RuntimeError(f"worker {worker} is {self.states()}, not {state}")
            time.sleep(0.02)
