"""Two real workers behind a real HAProxy with the configuration that is shipped: one goes, and no tool notices."""

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from service.client import Client

Png = Callable[..., bytes]


@pytest.fixture(scope="module")
def balancing(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    module = benchmark("service_balancer")
    reason = module.missing()
    if reason is not None:
        pytest.skip(reason)
    return module


@pytest.fixture(scope="module")
def site(
    balancing: ModuleType, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, list[Any]]]:
    """A balancer and its workers, of one data folder."""
    folder = tmp_path_factory.mktemp("site")
    workers = [
        balancing.Worker(bundle, folder / "data", more=("--drain", "2.5", "--proxy", "127.0.0.1"))
        for _ in range(2)
    ]
    try:
        for worker in workers:
            worker.start()
        with balancing.Balancer(workers, folder) as before:
            for name in "ab":
                before.wait_until(name, "UP")
            yield before, workers
    finally:
        for worker in workers:
            worker.kill()


def get(url: str) -> tuple[int, bytes, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def back_up(site: tuple[Any, list[Any]]) -> None:
    before, workers = site
    for worker in workers:
        if worker.process.poll() is not None:
            worker.spawn()
    for name, worker in zip("ab", workers, strict=True):
        worker.wait_ready(time.monotonic() + 60)
        before.wait_until(name, "UP")


def post_without_a_key(before: Any, worker: Any, image: bytes, point: int) -> int:
    request = urllib.request.Request(
        f"{before.url}/api/v1/inspect?wafer_id=N&inspection_point={point}", image, method="POST",
        headers={"Authorization": f"Bearer {worker.key()}"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        assert error.headers["content-type"] == "application/problem+json"
        assert "send the image again" in json.loads(error.read())["detail"]
        return error.code


def test_kills_and_drained_restarts_fail_no_request(
    balancing: ModuleType, benchmark: Callable[[str], ModuleType], bundle: Path, png: Png, tmp_path: Path
) -> None:
    images = [png(seed, 0.4 * (seed == 3)) for seed in range(6)] + [b"no image at all"]
    found = benchmark("service_kills").survive_kills(
        bundle, images, tmp_path, kills=2, seed=2, balancer=True, drains=1
    )
    assert found["answered"] > 20
    assert (found["failed"], found["second_tries_while_draining"]) == (0, 0), found
    assert (found["lost"], found["doubled"], found["wrong"], found["wrong_pass"]) == (0, 0, 0, 0), found
    assert found["problems"] == [], found


def test_a_worker_that_hangs_is_left_while_the_tool_still_waits(
    site: tuple[Any, list[Any]], png: Png
) -> None:
    before, workers = site
    os.kill(workers[0].process.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(2) as pool:
            sent = [pool.submit(post_without_a_key, before, workers[0], png(50 + i), i) for i in range(2)]
            ended = sorted(one.result() for one in sent)
        assert ended == [200, 504], "without a key nothing is sent twice, and the client is told"
        with Client(before.url, workers[0].key(), timeout=20) as client:
            for i in range(2):
                assert client.inspect(png(40 + i), wafer_id="H", inspection_point=i)["decision"]
            assert client.retries == 0, "with one the balancer asked the other worker by itself"
    finally:
        os.kill(workers[0].process.pid, signal.SIGCONT)
    back_up(site)


def test_who_cannot_be_served_is_told_why_and_to_hold_the_wafer(site: tuple[Any, list[Any]]) -> None:
    before, workers = site
    for worker in workers:
        worker.process.send_signal(signal.SIGTERM)
    for name in "ab":
        before.wait_until(name, "DOWN")
    status, text, _ = get(f"{before.url}/readyz")
    assert status == 503 and json.loads(text)["problems"] == ["the worker is about to stop"], (
        "where none is ready they are asked all the same"
    )
    for worker in workers:
        worker.process.wait(30)
    status, text, headers = get(f"{before.url}/readyz")
    assert status == 503 and headers["retry-after"] == "1"
    assert json.loads(text)["detail"] == "no worker is ready: the image was not decided"
    back_up(site)


def test_the_balancer_tells_prometheus_of_itself_and_never_of_one_worker(site: tuple[Any, list[Any]]) -> None:
    before, workers = site
    assert get(f"{before.url}/metrics")[0] == 404
    status, text, _ = get(before.figures_url)
    assert status == 200 and b'haproxy_server_status{proxy="workers",server="a",state="UP"} 1' in text
    assert get(f"{workers[0].url}/metrics")[0] == 200


def test_tls_ends_at_the_balancer(
    balancing: ModuleType, site: tuple[Any, list[Any]], own_certificate: tuple[Path, Path], tmp_path: Path
) -> None:
    import ssl

    _, workers = site
    certificate, key = own_certificate
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    context = ssl.create_default_context(cafile=str(certificate))
    with balancing.Balancer(workers, tmp_path, f"ssl crt {both} alpn http/1.1") as before:
        before.wait_until("a", "UP")
        request = urllib.request.Request(f"{before.url}/login")
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            assert answer.status == 200
            assert answer.headers["strict-transport-security"], "the worker knows that its client used TLS"
