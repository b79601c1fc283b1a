"""What people said, taken by a run as it is: the data stage reads it to the pixel, and a whole run ends with a bundle.

The images are synthetic and the backbone random: figures of this run say nothing.
"""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from starlette.testclient import TestClient

from service.review.masks import mask_of
from service.review.tasks import Said
from service.state import Service
from tests.conftest import settings, synthetic_wafer, tiny_distill_config
from tests.service.test_feedback import Fab
from tool_side import Inspector, load_bundle
from wafer_data.imaging.read import read_grey, to_square
from wafer_data.store import ImageStore
from waferroute.cli import main

BOX = [0.25, 0.5, 0.5, 0.75]  # left, top, right, bottom as shares
GOOD, DEFECTS = 48, 4


@pytest.fixture
def exported(service: Service, client: TestClient, tmp_path: Path) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder that `feedback export` wrote, and by SHA-256 what was said of each image."""
    rng = np.random.default_rng(0)
    ids: list[tuple[str, str]] = []
    for i in range(GOOD + DEFECTS):
        kind = "" if i < GOOD else ("scratch", "particle")[i % 2]
        buffer = io.BytesIO()
        Image.fromarray(synthetic_wafer(rng, kind or None)).save(buffer, "PNG")
        place = f"wafer_id=W{i % 12}&inspection_point={i}&lot=L1&tool=T1"
        answer = client.post(f"/api/v1/inspect?{place}", content=buffer.getvalue())
        ids.append((answer.json()["id"], kind))
    deadline = time.monotonic() + 60
    while client.app.state.background.shipper.lag() and time.monotonic() < deadline:
        time.sleep(0.05)
    fab = Fab(service)
    for name, kind in ids:
        mask = mask_of({"boxes": [BOX]}) if kind == "scratch" else None
        fab.say("ann", name, Said("defect", kind, mask=mask) if kind else Said("good"))
    out = tmp_path / "feedback"
    found = fab.export(out)
    assert found["train_good"] + found["test_good"] == GOOD and found["left_out"] == {}
    return out, {one["sha256"]: one for one in json.loads((out / "provenance.json").read_text())["images"]}


@pytest.fixture
def config(exported: tuple[Path, dict], tmp_path: Path, tiny_teacher_config: Any) -> Path:
    content = {
        "run": {"dir": str(tmp_path / "run")},
        "data": {"format": "mvtec", "root": str(exported[0]), "calibration_fraction": 0.4},
        "teacher": settings("teacher", tiny_teacher_config),
        "distill": settings("distill", tiny_distill_config()),
        "router": {"escalation_target": 0.2, "escalation_budget": [0.05, 0.5], "flag_rate": 0.1},
        "eval": {"latency_runs": 10, "bootstrap": 100, "worst": 2, "study_seconds": 5, "baselines": ["pca"]},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_the_data_stage_reads_every_label_mask_and_pixel(
    exported: tuple[Path, dict[str, dict[str, Any]]], config: Path, tmp_path: Path
) -> None:
    out, said = exported
    assert main(["data", str(config)]) == 0
    store = ImageStore.open(tmp_path / "run" / "data")
    assert len(store) == GOOD + DEFECTS == len(said)
    by_file = {str(out / one["file"]): one for one in said.values()}
    assert {record.path for record in store.records} == set(by_file), "nothing is left out, nothing added"
    sides = {"train": ("train", "calibration"), "test": ("test",)}
    for index, record in enumerate(store.records):
        one = by_file[record.path]
        side, kind, _ = one["file"].split("/")
        assert (record.label, record.type) == (int(one["label"] == "defect"), kind)
        assert record.split in sides[side] and record.sha256 == one["sha256"]
        expected = store.levels.apply(to_square(read_grey(Path(record.path)), store.size))
        np.testing.assert_array_equal(store.grey(index), expected)
        mask = store.mask(index)
        assert (mask is not None) == (one["mask"] is not None) == (kind == "scratch")
        if mask is not None:
            left, top, right, bottom = (round(share * store.size) for share in BOX)
            drawn = np.zeros_like(mask)
            drawn[top:bottom, left:right] = True
            assert (mask != drawn).mean() < 0.01, "what was drawn, but for the edge's rounding"
    # who said it, of which inspection, with which version: traceable from each file
    for one in said.values():
        (inspection,) = one["inspections"]
        assert inspection["tool"] == "T1" and inspection["version"] == "v1.0.0"
        assert [each["user"] for each in inspection["said"]] == [1]


@pytest.mark.end_to_end
def test_a_whole_run_takes_it_and_its_bundle_inspects(
    exported: tuple[Path, dict[str, dict[str, Any]]], config: Path, tmp_path: Path, png: Callable[..., bytes]
) -> None:
    out, said = exported
    assert main(["run", str(config)]) == 0
    report = json.loads((tmp_path / "run" / "report" / "report.json").read_text())
    good_for_testing = sum(name.startswith("test/good/") for name in (one["file"] for one in said.values()))
    assert (report["data"]["test_normal"], report["data"]["test_defect"]) == (good_for_testing, DEFECTS)
    assert report["data"]["train_normal"] + report["data"]["calibration_normal"] == GOOD - good_for_testing
    assert set(report["models"]["routed"]["per_type"]) == {"scratch", "particle"}
    inspector = Inspector(load_bundle(tmp_path / "run" / "bundle"))
    one = next(path for path in (out / "train" / "good").iterdir())
    assert str(inspector.inspect(one.read_bytes()).decision) in ("PASS", "REVIEW", "REJECT")
