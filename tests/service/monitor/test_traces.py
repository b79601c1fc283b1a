"""OpenTelemetry traces, where they are asked for: to a real collector's address, and to one that is away."""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.models import Version
from service.settings import Settings
from service.store.migrate import migrate
from wafer_data.errors import InputError

pytest.importorskip("opentelemetry.sdk", reason="the extra `traces` is not installed")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Collector(HTTPServer):
    """Takes spans as OpenTelemetry collectors do (OTLP over HTTP)."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            import gzip

            body = gzip.decompress(body)
        told = ExportTraceServiceRequest.FromString(body)
        for resource in told.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


def worker(settings: Settings, version: Version) -> tuple[TestClient, str]:
    settings.data.mkdir()
    service = open_service(settings, version)
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    return TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}), key


def test_an_inspection_is_part_of_the_tools_trace_with_its_steps(
    collector: Collector, tmp_path: Any, version: Version, png: Callable[..., bytes]
) -> None:
    address = f"http://127.0.0.1:{collector.server_port}/v1/traces"
    client, _ = worker(Settings(data=tmp_path / "data", node="t", traces=address), version)
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    place = {"wafer_id": "W1", "inspection_point": "1", "tool": "T1"}
    with client:
        answer = client.post("/api/v1/inspect", params=place, content=png(1), headers=headers).json()
        assert client.get("/api/v1/inspections/none").status_code == 404
    spans = [span for span in collector.spans if span.trace_id.hex() == TRACE]
    (request,) = [span for span in spans if span.name == "POST inspect"]
    assert request.parent_span_id.hex() == "00f067aa0ba902b7"
    told = {one.key: one.value.string_value or one.value.int_value for one in request.attributes}
    assert told["http.response.status_code"] == 200 and told["waferroute.id"] == answer["id"]
    assert (told["waferroute.decision"], told["waferroute.tool"]) == (answer["decision"], "T1")
    within = [span for span in spans if span.parent_span_id == request.span_id]
    assert [span.name for span in within][-1] == "keep" and {"decode", "lowres"} <= {
        span.name for span in within
    }
    for one, following in itertools.pairwise(within):
        assert one.start_time_unix_nano <= one.end_time_unix_nano == following.start_time_unix_nano
    assert any(span.name == "GET inspection" and span.trace_id.hex() != TRACE for span in collector.spans)
    assert TRACE not in str(answer) and b"Bearer" not in b"".join(
        span.SerializeToString() for span in collector.spans
    )


def test_a_collector_that_is_away_costs_nothing_but_spans(
    tmp_path: Any, version: Version, png: Callable[..., bytes]
) -> None:
    away = Settings(data=tmp_path / "data", node="t", traces="http://127.0.0.1:9/v1/traces")
    client, _ = worker(away, version)
    began = time.monotonic()
    with client:
        for i in range(3):
            said = client.post(
                "/api/v1/inspect", params={"wafer_id": "W", "inspection_point": i}, content=png(i)
            )
            assert said.status_code == 200
    assert time.monotonic() - began < 60, "nor does it hold up a stop"


def test_without_the_extra_it_is_said_what_to_install(
    tmp_path: Any, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(InputError, match=r"waferroute\[traces\]"):
        open_service(Settings(data=tmp_path / "data", traces="http://127.0.0.1:9"), version)
