"""Several workers of one command: each answers, one that dies is started again, and all stop together."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from service.client import Client


def ready(port: int, within: float = 60) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer,
        ):
            return bool(json.loads(answer.read())["status"] == "ready")
        time.sleep(0.05)
    return False


def two_free_ports() -> int:
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with contextlib.suppress(OSError):
                second.bind(("127.0.0.1", port + 1))
                return int(port)
    raise RuntimeError("no two free ports side by side")


def child_at(port: int, parent: int) -> int:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if str(port).encode() in words and f"PPid:\t{parent}\n" in (entry / "status").read_text():
                return int(entry.name)
    raise RuntimeError("no such worker")


def test_two_workers_share_their_answers_and_survive_a_kill(
    bundle: Path, png: Callable[..., bytes], tmp_path: Path
) -> None:
    port = two_free_ports()
    command = [
        sys.executable, "-m", "waferroute", "serve", str(bundle), "--data", str(tmp_path / "data"),
        "--workers", "2", "--port", str(port),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as parent:
        try:
            assert ready(port) and ready(port + 1)
            key = (tmp_path / "data" / "tool.key").read_text().strip()
            assert (tmp_path / "data" / "tool.key").stat().st_mode & 0o077 == 0
            about = {"wafer_id": "W", "inspection_point": 1, "idempotency_key": "k"}
            with Client(f"http://127.0.0.1:{port}", key) as first:
                answer = first.inspect(png(1), **about)  # type: ignore[arg-type]
            time.sleep(1.5)  # by then the second worker knows the first one's journal
            os.kill(child_at(port, parent.pid), signal.SIGKILL)
            with Client(f"http://127.0.0.1:{port + 1}", key) as second:
                assert second.inspect(png(1), **about) == answer  # type: ignore[arg-type]
            assert ready(port), "it was started again"
        finally:
            parent.send_signal(signal.SIGTERM)
            parent.wait(60)
    assert parent.returncode == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "nothing is left running"


def test_a_refused_bundle_stops_the_command(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "waferroute", "serve", str(tmp_path), "--data", str(tmp_path / "data"), "--workers", "2",
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 2 and "error: bundle" in ended.stderr and "Traceback" not in ended.stderr
