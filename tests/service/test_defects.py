"""Types and bins of defects in the service: the answer and Prometheus say the same."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from service.app import create_app, open_service
from service.auth.keys import make_key
from service.models import load_version
from service.settings import Settings
from service.store.migrate import migrate
from tests.tool_side.conftest import wafer
from wafer_data.errors import InputError
from wafer_data.files import write_json
from waferroute.classes import run_learn

RULES = """
schema = 1
otherwise = "other"
[bins.gate]
rough = 11
disposition = "REJECT"
killer = true
[bins.other]
rough = 9
[[rules]]
bin = "gate"
area = "gate"
[areas]
gate = [[0.0, 0.0, 500.0, 1000.0]]
"""


@pytest.fixture(scope="module")
def named(
    write_bundle: Callable[..., Path], calibrated: tuple[dict, dict], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A bundle that says REVIEW at most, with a classifier of two synthetic types."""
    bundle = write_bundle(
        tmp_path_factory.mktemp("plain") / "bundle", policy=calibrated[0] | {"reject_above": None}
    )
    folder = tmp_path_factory.mktemp("types")
    for start, (kind, contrast) in enumerate((("bright", 0.4), ("dark", -0.4))):
        (folder / kind).mkdir()
        for i in range(20):
            Image.fromarray(wafer(5000 + 100 * start + i, contrast)).save(folder / kind / f"{i}.png")
    out = tmp_path_factory.mktemp("named") / "bundle"
    run_learn(bundle, folder, out)
    return out


@pytest.fixture
def binned(named: Path, settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    """A worker with bins and a stage map of two points: one in the gate's area, one beside it."""
    (tmp_path / "bins.toml").write_text(RULES)
    sites = {name: {"die": [0, 0], "offset_um": [x, 500]} for name, x in (("1", 200), ("2", 800))}
    write_json(
        tmp_path / "stage.json",
        {"schema": 1, "die_um": [1000, 1000], "center_um": [500, 500], "pixel_um": 1.0, "sites": sites},
    )
    settings = replace(settings, bins=tmp_path / "bins.toml", stages=(str(tmp_path / "stage.json"),))
    settings.data.mkdir(exist_ok=True)
    service = open_service(settings, load_version(named, "v1"))
    migrate(service.database)
    with service.database.write() as connection:
        key = make_key(connection, "tester", ["inspect", "read"])
    with TestClient(create_app(service), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


DARK = 9001
"""Seed of an image whose defect is dark."""


def sent(client: TestClient, image: bytes, point: int) -> dict:
    answer = client.post(
        "/api/v1/inspect", params={"wafer_id": "W1", "inspection_point": point}, content=image
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_answer_holds_type_set_bin_and_box_and_the_bin_follows_the_place(
    binned: TestClient, png: Callable[..., bytes]
) -> None:
    gate, beside = (sent(binned, png(DARK, -0.4), point) for point in (1, 2))
    assert {"type", "probability", "set", "bin", "box"} <= set(gate["defect"])
    assert gate["defect"]["type"] == "dark" and len(gate["defect"]["box"]) == 4
    assert (gate["defect"]["bin"], gate["decision"]) == ("gate", "REJECT")
    assert (beside["defect"]["bin"], beside["decision"]) == ("other", "REVIEW")
    assert any("bin gate" in reason for reason in gate["reasons"])


def test_prometheus_counts_every_defect_by_type_and_bin(
    binned: TestClient, png: Callable[..., bytes]
) -> None:
    sent(binned, png(DARK, -0.4), 1)
    sent(binned, png(7, 0.0), 2)
    said = binned.get("/metrics").text
    assert 'waferroute_defects_total{bin="gate",type="dark"} 1.0' in said


def test_several_defects_of_an_image_are_told_apart(binned: TestClient, png: Callable[..., bytes]) -> None:
    image = wafer(9500).copy()
    image[40:52, 40:52], image[180:192, 180:192] = 250, 5
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG")
    defect = sent(binned, buffer.getvalue(), 2)["defect"]
    assert {defect["type"], *(one["type"] for one in defect["others"])} == {"bright", "dark"}


def test_a_bundle_without_classifier_and_bins_says_nothing(
    client: TestClient, png: Callable[..., bytes]
) -> None:
    assert sent(client, png(3, 0.4), 1)["defect"] is None


def test_malformed_bins_stop_the_start(settings: Settings, named: Path, tmp_path: Path) -> None:
    settings.data.mkdir(exist_ok=True)
    (tmp_path / "bins.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(InputError):
        open_service(replace(settings, bins=tmp_path / "bins.json"), load_version(named))
