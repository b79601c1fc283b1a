"""Workers of the service as processes of their own, for the benchmarks and tests that send to them and kill them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

START_S = 180.0  # on a computer that other work keeps busy a start takes its time


def free_port() -> int:
    """A port of this computer that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Worker:
    """One `waferroute serve`. Workers that are given the same data folder share its database and images.

    Args:
        bundle: To serve.
        data: Data folder.
        cores: The cores that it may use; None: all.
        more: Further arguments of the command.
    """

    def __init__(
        self, bundle: Path, data: Path, *, cores: set[int] | None = None, more: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data, self._cores = data, cores
        self._command = [
            sys.executable, "-m", "waferroute", "serve", str(bundle), "--data", str(data), "--port", str(self.port),
            *more,
        ]  # fmt: skip
        self._log = data.parent / f"worker-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start, and wait until it is ready. Returns the seconds that took. Raises RuntimeError if it never is."""
        begun = time.monotonic()
        self.spawn()
        self.wait_ready(begun + START_S)
        return time.monotonic() - begun

    def spawn(self) -> None:
        """Start, and do not wait."""
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        if self._cores is not None:
            os.sched_setaffinity(self.process.pid, self._cores)

    def wait_ready(self, until: float) -> None:
        """Wait for `/readyz`. Raises RuntimeError with the worker's last words if it does not become ready."""
        while time.monotonic() < until:
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer,
            ):
                if answer.status == 200:
                    return
            if self.process is None or self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"the worker is not ready: {self.log()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)

    def key(self) -> str:
        """The first tool's key."""
        return (self.data / "tool.key").read_text().strip()

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def memory_mb(self) -> float:
        """Its resident memory."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cpu_s(self) -> float:
        """CPU time that it has used."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
