"""What `/metrics` says is what happened, and the alerts speak when they should."""

import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from service.store.tables import escapes, inspections

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed (Debian: prometheus): alerts are not tested",
)


def send(client: TestClient, image: bytes, **about: object) -> dict:
    answer = client.post("/api/v1/inspect?" + urllib.parse.urlencode(about), content=image)
    assert answer.status_code == 200, answer.text
    return answer.json()


def figures(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: dict, name: str, **labels: str) -> float:
    return sum(v for (n, ls), v in found.items() if n == name and set(labels.items()) <= set(ls))


def test_every_decision_is_counted_once(client: TestClient, png: Callable[..., bytes]):
    said = [
        send(client, png(6000 + i, 0.4 * (i % 2)), wafer_id="W1", inspection_point=i, tool="SEM-1")
        for i in range(6)
    ]
    found = figures(client)
    for decision in ("PASS", "REVIEW", "REJECT"):
        counted = total(found, "waferroute_inspections_total", decision=decision, tool="SEM-1")
        assert counted == sum(one["decision"] == decision for one in said)
    assert total(found, "waferroute_inference_seconds_count") == 6
    assert total(found, "waferroute_score_count") == 6


def test_a_retry_is_counted_as_one(client: TestClient, png: Callable[..., bytes]):
    for _ in range(3):
        send(client, png(6100), wafer_id="W1", inspection_point=1)
    assert total(figures(client), "waferroute_inspections_total") == 1


def test_what_cannot_be_judged_is_counted_apart(client: TestClient):
    assert send(client, b"no picture", wafer_id="W1", inspection_point=1)["decision"] == "REVIEW"
    assert total(figures(client), "waferroute_unjudged_total") == 1


def test_the_same_bytes_under_new_places_are_a_frozen_camera(client: TestClient, png: Callable[..., bytes]):
    for i in range(6):
        send(client, png(6200), wafer_id="W1", inspection_point=i, tool="SEM-2")
    assert total(figures(client), "waferroute_frozen_camera", tool="SEM-2") == 6
    send(client, png(6201), wafer_id="W1", inspection_point=9, tool="SEM-2")
    assert total(figures(client), "waferroute_frozen_camera", tool="SEM-2") == 1


def test_a_tool_that_invents_names_does_not_make_the_figures_grow(
    client: TestClient, png: Callable[..., bytes]
):
    from service.monitor import metrics

    image = png(6300)
    for i in range(metrics._MOST_TOOLS + 20):
        client.app.state.service.metrics._tool(f"tool {i}")  # type: ignore[attr-defined]
    send(client, image, wafer_id="W1", inspection_point=1, tool="one more")
    assert total(figures(client), "waferroute_inspections_total", tool="other") == 1


def test_the_edges_hold_the_limits_of_the_alert_and_of_the_requirement():
    from service.monitor.metrics import TIME_EDGES

    assert {0.04, 0.05} <= set(TIME_EDGES)


def test_decisions_that_are_not_in_the_database_yet_are_counted(
    client: TestClient, png: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
):
    shipper = client.app.state.background.shipper  # type: ignore[attr-defined]
    with monkeypatch.context() as away:
        away.setattr(shipper, "ship", lambda: 0)
        for i in range(3):
            send(client, png(6500 + i), wafer_id="W1", inspection_point=i)
        assert total(figures(client), "waferroute_journal_waiting") == 3
    deadline = time.monotonic() + 30
    while total(figures(client), "waferroute_journal_waiting") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert total(figures(client), "waferroute_journal_waiting") == 0


def test_the_whole_answer_has_a_time_of_its_own(client: TestClient, png: Callable[..., bytes]):
    send(client, png(6600), wafer_id="W1", inspection_point=1)
    found = figures(client)
    assert total(found, "waferroute_answer_seconds_count") == 1
    assert total(found, "waferroute_answer_seconds_sum") > total(found, "waferroute_inference_seconds_sum")


def test_escapes_are_counted_by_the_version_that_passed_them(client: TestClient, png: Callable[..., bytes]):
    service = client.app.state.service  # type: ignore[attr-defined]
    assert send(client, png(6700), wafer_id="W1", inspection_point=1)["decision"] == "PASS"
    while service.behind():
        time.sleep(0.05)
    service.metrics.look_at_people()
    assert figures(client)["waferroute_escapes", (("version", "v1.0.0"),)] == 0, (
        "0 and not absent: it can grow"
    )
    with service.database.write() as connection:
        name = connection.execute(sa.select(inspections.c.id)).scalar_one()
        for defect in ("void", "short"):  # two of one image are one image
            connection.execute(
                sa.insert(escapes).values(
                    inspection_id=name, wafer_id="W1", defect=defect, actor="key:a", at=1.0
                )
            )
    service.metrics.look_at_people()
    assert figures(client)["waferroute_escapes", (("version", "v1.0.0"),)] == 1


@needs_promtool
def test_every_alert_speaks_when_it_should_and_only_then():
    for words in (["check", "rules", "waferroute.rules.yml"], ["test", "rules", "waferroute.tests.yml"]):
        ended = subprocess.run(
            ["promtool", *words], cwd=DEPLOY / "prometheus", capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A real Prometheus with nothing in it but what the test lets it scrape; its address."""
    if shutil.which("prometheus") is None:
        pytest.skip(
            "Prometheus is not installed (Debian: prometheus): the dashboard's queries are not tested"
        )
    port = 19_390
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: waferroute\n"
        "  static_configs: [{targets: ['127.0.0.1:19391']}]\n"
    )
    server = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/db",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def test_every_query_of_the_dashboard_has_an_answer(
    client: TestClient, png: Callable[..., bytes], prometheus: str
):
    import json

    send(client, png(6400), wafer_id="W1", inspection_point=1, tool="SEM-1")
    send(client, b"no picture", wafer_id="W1", inspection_point=2, tool="SEM-1")
    client.app.state.service.metrics.look_at_people()  # type: ignore[attr-defined]
    text = client.get("/metrics").text
    code = (
        "import http.server, sys\n"
        "class H(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.send_header('content-type', 'text/plain; version=0.0.4')\n"
        "        self.end_headers(); self.wfile.write(TEXT)\n"
        "    def log_message(self, *a): pass\n"
        "TEXT = sys.stdin.buffer.read()\n"
        "http.server.HTTPServer(('127.0.0.1', 19391), H).serve_forever()\n"
    )
    page = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert page.stdin is not None
    page.stdin.write(text.encode())
    page.stdin.close()
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "waferroute.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(queries) >= 12
    try:
        # a machine without a GPU has none to show
        silent = {query for query in queries if "gpu" not in query}
        deadline = time.monotonic() + 60
        while silent and time.monotonic() < deadline:
            silent = {query for query in silent if not _answers(prometheus, query)}
            time.sleep(0.5)
    finally:
        page.terminate()
        page.wait(timeout=10)
    assert silent == set()


def _answers(address: str, query: str) -> bool:
    import json

    query = query.replace("$__rate_interval", "1m")
    try:
        with urllib.request.urlopen(
            f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=5
        ) as a:
            found = json.load(a)
    except OSError:
        return False
    assert found["status"] == "success", query
    return bool(found["data"]["result"])
