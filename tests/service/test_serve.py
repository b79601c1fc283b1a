"""The command itself: TLS, a taken port, a stop that drains."""

import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from service.client import Client
from service.serve import Listen, run_worker
from service.settings import Settings
from wafer_data.errors import InputError


@pytest.fixture
def worker_class(benchmark: Callable[[str], ModuleType]) -> type:
    found: type = benchmark("service_worker").Worker
    return found


def test_tls_and_a_stop_that_drains(
    bundle: Path,
    png: Callable[..., bytes],
    tmp_path: Path,
    worker_class: type,
    own_certificate: tuple[Path, Path],
) -> None:
    certificate, key = own_certificate
    more = ("--tls-cert", str(certificate), "--tls-key", str(key), "--drain", "2")
    worker = worker_class(bundle, tmp_path / "data", more=more)
    worker.url = worker.url.replace("http://", "https://")
    context = ssl.create_default_context(cafile=str(certificate))
    worker.spawn()

    def ready() -> int:
        try:
            with urllib.request.urlopen(f"{worker.url}/readyz", timeout=5, context=context) as answer:
                assert answer.headers["strict-transport-security"]
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    try:
        until = time.monotonic() + 60
        while ready() != 200 and time.monotonic() < until:
            time.sleep(0.05)
        with Client(worker.url, worker.key(), context=context) as client:
            assert client.inspect(png(1), wafer_id="W", inspection_point=1)["decision"]
            worker.process.terminate()
            until = time.monotonic() + 10
            while ready() != 503 and time.monotonic() < until:
                time.sleep(0.02)
            assert ready() == 503, "the balancer is told to turn away"
            assert client.inspect(png(2), wafer_id="W", inspection_point=2)["decision"], (
                "and it still answers"
            )
        assert worker.process.wait(30) == 0
    finally:
        worker.kill()
    assert "Traceback" not in worker.log(), worker.log()


def test_systemd_is_told_when_it_is_ready_that_it_lives_and_when_it_stops(
    bundle: Path, tmp_path: Path, worker_class: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "400000")
        worker = worker_class(bundle, tmp_path / "data")
        worker.spawn()
        try:
            assert supervisor.recv(200).startswith(b"READY=1\nSTATUS=serving ")
            with urllib.request.urlopen(f"{worker.url}/readyz", timeout=20) as answer:
                assert answer.status == 200, "it says so when it is true, not before"
            assert [supervisor.recv(200) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            worker.process.terminate()
            while (said := supervisor.recv(200)) == b"WATCHDOG=1":
                pass
            assert said == b"STOPPING=1"
            assert worker.process.wait(30) == 0
        finally:
            worker.kill()


def test_a_folder_that_cannot_be_used_is_told(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(InputError, match="data"):
        run_worker(bundle, Settings(data=tmp_path / "data"), Listen())
