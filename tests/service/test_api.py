"""What programs see beside `inspect`: results, pictures, wafers and lots, batches, the description, bad requests."""

import importlib.util
import io
import random
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from service.api.openapi import document
from service.auth.keys import make_key
from service.auth.people import add_user, log_in
from service.client import Client, NoDecision

Png = Callable[..., bytes]
ROOT = Path(__file__).parents[2]
PLACE = {"wafer_id": "WF/1 ü", "inspection_point": "7", "lot": "L7", "tool": "CDSEM-3"}


def _benchmark(name: str):  # type: ignore[no-untyped-def]
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


def wait_until_shipped(client: TestClient) -> None:
    deadline = time.monotonic() + 30
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_result_is_the_same_before_and_after_it_reached_the_database(client: TestClient, png: Png) -> None:
    answer = client.post("/api/v1/inspect", params=PLACE, content=png(3, 0.4)).json()
    early = client.get(f"/api/v1/inspections/{answer['id']}")
    early_map = client.get(answer["heatmap_url"])
    wait_until_shipped(client)
    late = client.get(f"/api/v1/inspections/{answer['id']}")
    assert early.json() == late.json()
    assert early_map.content == client.get(answer["heatmap_url"]).content
    assert Image.open(io.BytesIO(early_map.content)).size == (256, 256)
    assert late.json()["latent_vector"] == answer["latent_vector"]
    assert client.get(f"/api/v1/inspections/{answer['id']}/image").content == png(3, 0.4)


def test_the_case_studys_address_shows_the_last_inspection_of_a_place(client: TestClient, png: Png) -> None:
    first = client.post("/api/v1/inspect", params=PLACE, content=png(3, 0.4)).json()
    second = client.post("/api/v1/inspect", params=PLACE, content=png(4)).json()
    wait_until_shipped(client)
    latest = client.get("/heatmaps/WF/1 ü-7.png")
    assert latest.status_code == 200
    assert latest.content == client.get(second["heatmap_url"]).content
    assert latest.content != client.get(first["heatmap_url"]).content
    assert client.get("/heatmaps/../../secret-1.png").status_code == 404


def test_a_lot_is_one_request_and_one_answer(client: TestClient, png: Png) -> None:
    files = [(str(number), (f"{number}.png", png(number, 0.5 * (number == 2)))) for number in range(4)]
    params = {"wafer_id": "W9", "lot": "L9"}
    answer = client.post("/api/v1/lots", params=params, files=files).json()
    alone = [
        client.post("/api/v1/inspect", params={**params, "inspection_point": name}, content=data).json()
        for name, (_, data) in files
    ]
    assert answer["results"] == alone, "each image is decided as it is alone, and kept once"
    assert sum(answer["counts"].values()) == 4 and answer["decision"] != "PASS"
    wait_until_shipped(client)
    lot = client.get("/api/v1/lots/L9").json()
    assert (lot["passed"], lot["review"], lot["rejected"]) == tuple(answer["counts"].values())
    assert len(client.get("/api/v1/wafers/W9").json()["inspections"]) == 4


@pytest.mark.parametrize(
    ("params", "body", "headers", "status", "told"),
    [
        ({"inspection_point": "1"}, b"x", {}, 400, "wafer_id is missing"),
        ({"wafer_id": "W"}, b"x", {}, 400, "inspection_point is missing"),
        ({**PLACE, "wafer": "x"}, b"x", {}, 400, "unknown query parameter 'wafer'"),
        (PLACE, b"x", {"X-Tool": "CDSEM-4"}, 400, "send one of them"),
        ({**PLACE, "lot": "a\x07"}, b"x", {}, 400, "printable"),
        ({**PLACE, "captured_at": "2026-01-31T12:00:00"}, b"x", {}, 400, "zone"),
        (PLACE, b"", {}, 400, "the body is empty"),
        (PLACE, b"x", {"Content-Type": "multipart/form-data; boundary=b"}, 415, "--data-binary"),
        (PLACE, b"x", {"Content-Encoding": "gzip"}, 415, "as they are"),
        (PLACE, b"x", {"Idempotency-Key": "k" * 201}, 400, "Idempotency-Key"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_what_is_wrong(
    client: TestClient, params: dict[str, str], body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    said = client.post("/api/v1/inspect", params=params, content=body, headers=headers)
    assert said.status_code == status and told in said.json()["detail"]


def test_a_body_is_refused_before_it_is_all_read(client: TestClient) -> None:
    def endless():  # type: ignore[no-untyped-def]
        for _ in range(40):
            yield bytes(1 << 20)

    assert client.post("/api/v1/inspect", params=PLACE, content=endless()).status_code == 413


def test_an_idempotency_key_is_of_one_image(client: TestClient, png: Png) -> None:
    headers = {"Idempotency-Key": "a"}
    first = client.post("/api/v1/inspect", params=PLACE, content=png(1), headers=headers)
    again = client.post("/api/v1/inspect", params=PLACE, content=png(1), headers=headers)
    other = client.post("/api/v1/inspect", params=PLACE, content=png(2), headers=headers)
    rescan = client.post("/api/v1/inspect", params=PLACE, content=png(1), headers={"Idempotency-Key": "b"})
    assert again.content == first.content and other.status_code == 422
    assert rescan.json()["id"] != first.json()["id"], "a new key is a new inspection"


@pytest.mark.parametrize("kind", ["TIFF", "JPEG", "BMP"])
def test_all_formats_that_the_tool_reads(client: TestClient, kind: str) -> None:
    buffer = io.BytesIO()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(90, 160, (300, 260), dtype=np.uint8)).save(buffer, kind)
    answer = client.post("/api/v1/inspect", params=PLACE, content=buffer.getvalue()).json()
    assert answer["decision"] in ("PASS", "REVIEW", "REJECT") and "cannot be read" not in str(
        answer["reasons"]
    )


@pytest.fixture
def all_may(client: TestClient) -> tuple[str, tuple[str, str]]:
    """A key of all scopes, and an engineer's cookie and token."""
    service = client.app.state.service
    with service.database.write() as connection:
        key = make_key(connection, "all", ["inspect", "read", "escape", "engineer"])
        add_user(connection, "eva", "engineer", "a long password, 7")
    service.keys.refresh(service.database)
    begun = log_in(service.database, "eva", "a long password, 7")
    assert begun is not None and begun[1].csrf is not None
    return key, (begun[0], begun[1].csrf)


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
def test_no_request_is_answered_with_5xx(
    client: TestClient, png: Png, all_may: tuple[str, tuple[str, str]], seed: int
) -> None:
    fuzz = sys.modules.get("service_fuzz") or _benchmark("service_fuzz")
    key, session = all_may
    chance = random.Random(seed)
    for _ in range(5):
        sent = fuzz.request_of(chance, key, [png(1), b"no image"], [], session)
        headers = {"Authorization": "", **sent.headers}
        said = client.request(
            sent.method, sent.target, headers=headers, content=sent.body, follow_redirects=False
        )
        assert said.status_code < 500, (sent, said.text)
        known = fuzz.documented(document(), sent)
        assert known is None or said.status_code in known, (sent, said.text)


def test_every_route_is_fuzzed(client: TestClient) -> None:
    fuzz = sys.modules.get("service_fuzz") or _benchmark("service_fuzz")
    routes = {re.sub(r"\{[^}]*\}", "{}", route.path) for route in client.app.routes}
    assert routes - {*fuzz.PATHS, *fuzz.PEOPLE} == set()


def test_the_description_names_every_route_for_programs_and_its_page_is_offline(client: TestClient) -> None:
    paths = {path.replace(":path", "") for path in (route.path for route in client.app.routes)}
    for path in document()["paths"]:
        assert path in paths, path
    for path in paths:
        if path.startswith("/api/v1/") and "review" not in path:
            assert path in document()["paths"] or path.startswith("/api/v1/internal"), path
    page = client.get("/api/docs").text
    assert "POST /api/v1/inspect" in page
    assert "//" not in page.replace("</", ""), "nothing is loaded from elsewhere"


def test_the_curl_examples_do_what_they_say(bundle: Path, png: Png, tmp_path: Path) -> None:
    worker = _benchmark("service_worker").Worker(bundle, tmp_path / "data")
    worker.start()
    (tmp_path / "image.png").write_bytes(png(1))
    (tmp_path / "second.png").write_bytes(png(2))
    try:
        with Client(worker.url, worker.key()) as client:
            answer = client.inspect(png(5, 0.4), wafer_id="W", inspection_point=1)
            assert client.inspection(answer["id"])["decision"] == answer["decision"]
            assert client.heatmap(answer["id"]).startswith(b"\x89PNG")
            with pytest.raises(NoDecision, match="404"):
                client.inspection("none")
        examples = [
            operation["x-curl"]
            for methods in document()["paths"].values()
            for operation in methods.values()
            if isinstance(operation, dict) and "x-curl" in operation
        ]
        assert len(examples) >= 5
        setting = f"KEY={shlex.quote(worker.key())} URL={worker.url} ID={answer['id']}"
        fakes = "uuidgen() { cat /proc/sys/kernel/random/uuid; }"
        for example in examples:
            if "wafers" in example:
                subprocess.run(["sleep", "1"], check=True)  # until the journal's entries are in the database
            ended = subprocess.run(
                ["bash", "-c", f"{setting}; {fakes}; {example}"], cwd=tmp_path, capture_output=True, text=True
            )
            assert ended.returncode == 0, (example, ended.stdout, ended.stderr)
        assert (tmp_path / "copy.png").read_bytes() == png(5, 0.4)
    finally:
        worker.stop()
