"""The pages say what the database says, to those who may see it."""

import time
from collections.abc import Callable

from starlette.testclient import TestClient

from service.state import Service
from tests.service.review.conftest import Station

from .conftest import SHADOW

LogIn = Callable[[str], Station]


def test_the_shadows_page_counts_and_shows_what_differs(compared: list[str], log_in: LogIn):
    eva = log_in("eva").client
    text = eva.get("/shadow").text
    assert "6 of 6 images (100.0 %)" in text
    assert text.count('class="tile"') == 2
    for one in compared[:2]:
        assert f"/inspections/{one}" in text
        answer = eva.get(f"/shadow/{SHADOW}/{one}/heatmap.png")
        assert (answer.status_code, answer.content[:4]) == (200, b"\x89PNG")
    assert "50.00 %" not in text  # one of three images of each tool
    assert text.count("33.33 %") >= 3


def test_an_unknown_version_or_image_is_not_found(compared: list[str], log_in: LogIn):
    eva = log_in("eva").client
    assert eva.get("/shadow?version=nobody").status_code == 404
    assert eva.get(f"/shadow/vae-wafer-v9.9.9/{compared[0]}/heatmap.png").status_code == 404
    assert eva.get(f"/shadow/{SHADOW}/no-such-id/heatmap.png").status_code == 404


def test_drift_is_shown_with_its_cause_and_its_beginning(drifted: float, log_in: LogIn):
    text = log_in("eva").client.get("/drift").text
    assert "drift, tool T7" in text
    assert time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(drifted)) in text
    assert "score higher" in text


def test_before_the_first_look_the_page_says_so(running: TestClient, log_in: LogIn):
    text = log_in("eva").client.get("/drift").text
    assert "nothing has drifted" in text or "Nobody has looked yet" in text


def test_an_inspector_sees_neither(running: TestClient, log_in: LogIn):
    ann = log_in("ann").client
    assert ann.get("/drift").status_code == 403
    assert ann.get("/shadow").status_code == 403
    assert 'href="/drift"' not in ann.get("/review", headers={"accept": "text/html"}).text


def test_metrics_say_what_the_page_says(drifted: float, client: TestClient, service: Service):
    text = client.get("/metrics").text
    assert 'waferroute_drift_alarm{cause="tool",where="T7"} 1.0' in text
    assert 'waferroute_drift_effect{layer="M1",recipe="r",tool="T7",watch="level"} 1.2' in text
    assert "waferroute_drift_log10_p{" in text
