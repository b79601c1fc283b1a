"""`POST /api/v1/inspect` as a tool sees it."""

from collections.abc import Callable

from starlette.testclient import TestClient

PLACE = {
    "wafer_id": "WF-2026-000123",
    "inspection_point": "42",
    "lot": "L7",
    "tool": "CDSEM-3",
    "layer": "M1",
}


def test_an_answer_is_that_of_the_case_study(client: TestClient, png: Callable[..., bytes]) -> None:
    answered = client.post("/api/v1/inspect", params=PLACE, content=png(1))
    assert answered.status_code == 200, answered.text
    found = answered.json()
    assert found["wafer_id"] == "WF-2026-000123" and found["inspection_point"] == 42
    assert found["decision"] in ("PASS", "REVIEW", "REJECT")
    assert found["anomaly_score"] > 0 and 0.5 <= found["confidence"] <= 1
    assert found["heatmap_url"] == f"/api/v1/inspections/{found['id']}/heatmap.png"
    assert found["model_version"] == "v1.0.0" and found["inference_time_ms"] > 0
    assert {"latent_vector", "route", "reasons", "recipe", "defect"} <= set(found)


def test_the_same_image_sent_again_gets_the_same_answer_and_one_row(
    client: TestClient, png: Callable[..., bytes]
) -> None:
    first = client.post("/api/v1/inspect", params=PLACE, content=png(1))
    again = client.post("/api/v1/inspect", params=PLACE, content=png(1))
    assert again.content == first.content
    assert "idempotency-replayed" not in first.headers and again.headers["idempotency-replayed"] == "true"


def test_garbage_is_review_and_never_pass(client: TestClient) -> None:
    found = client.post("/api/v1/inspect", params=PLACE, content=b"this is no image").json()
    assert found["decision"] == "REVIEW" and found["route"] == "none"
    assert found["confidence"] is None and found["anomaly_score"] is None and found["heatmap_url"] is None
    assert "cannot be read" in found["reasons"][0]


def test_without_a_key_nothing_is_inspected(client: TestClient, png: Callable[..., bytes]) -> None:
    for header in ("", "Bearer nonsense", "Bearer wr_00000000_" + "a" * 43):
        refused = client.post(
            "/api/v1/inspect", params=PLACE, content=png(1), headers={"Authorization": header}
        )
        assert refused.status_code == 401, header
        assert refused.headers["content-type"] == "application/problem+json"
