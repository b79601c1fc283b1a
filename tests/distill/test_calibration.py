"""Calibrating a run: labelled defects that no model saw certify, those that taught one do not."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distill.calibration import calibrate_run, synthetic_anomaly
from router.certificate_text import certificate_summary, matches_sample
from router.config import RouterConfig
from router.samples import PICK_EVERY
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.store import ImageStore, prepare_data

MakeRun = Callable[[float], tuple[Path, ImageStore]]
RATES = {"escalation_target": 0.2, "escalation_budget": [0.05, 0.5], "flag_rate": 0.1}


@pytest.fixture
def labelled_run(tiny_run: Path, mvtec_folder: Path, tmp_path: Path) -> MakeRun:
    """The students of `tiny_run` and data of which some defects calibrate."""

    def make(fraction: float) -> tuple[Path, ImageStore]:
        config = DataConfig(
            format="mvtec",
            root=str(mvtec_folder),
            calibration_fraction=0.4,
            labelled_defects_per_type=2,
            calibration_defect_fraction=fraction,
        )
        store = prepare_data(config, tmp_path / "data")
        for name in ("full", "lowres"):
            shutil.copytree(tiny_run / name, tmp_path / name, dirs_exist_ok=True)
        return tmp_path, store

    return make


def test_held_out_defects_are_scored_counted_and_named(labelled_run: MakeRun) -> None:
    run_dir, store = labelled_run(1.0)
    calibrate_run(run_dir, store, RouterConfig(**RATES))
    certificate, calibration = (
        read_json(run_dir / "router" / f"{name}.json") for name in ("certificate", "calibration")
    )
    fnr, kept = certificate["fnr"], store.indices("calibration", label=1)
    assert len(kept) == 4 and not len(store.indices("train", label=1))
    assert fnr["status"] == "bounded"
    assert fnr["defects"] + fnr["refused_by_gate"] == 4
    assert set(calibration["defect_images"]) <= {store.records[i].sha256 for i in kept}
    assert sorted(calibration["defect_types"]) == sorted(
        name for name, count in certificate["sample"]["defects_by_type"].items() for _ in range(count)
    )
    assert matches_sample(certificate, calibration)


def test_where_places_alone_are_asked_the_full_student_decides(labelled_run: MakeRun) -> None:
    run_dir, store = labelled_run(1.0)
    calibrate_run(run_dir, store, RouterConfig(**RATES))
    assert read_json(run_dir / "router" / "policy.json")["full_weight"] == 1.0


def test_defects_that_taught_a_model_certify_nothing(labelled_run: MakeRun) -> None:
    run_dir, store = labelled_run(0.0)
    calibrate_run(run_dir, store, RouterConfig(**RATES))
    fnr = read_json(run_dir / "router" / "certificate.json")["fnr"]
    assert (fnr["status"], fnr["trained_on"]) == ("unknown", 4)
    assert "data.calibration_defect_fraction" in fnr["reason"]
    assert read_json(run_dir / "router" / "calibration.json")["defect_lowres"] == []


def test_a_promise_that_four_defects_cannot_carry_stops_and_leaves_the_old_result(
    labelled_run: MakeRun,
) -> None:
    run_dir, store = labelled_run(1.0)
    calibrate_run(run_dir, store, RouterConfig(**RATES))
    before = (run_dir / "router" / "policy.json").read_bytes()
    with pytest.raises(InputError, match=r"smallest router\.max_fnr that this sample carries"):
        calibrate_run(run_dir, store, RouterConfig(max_fnr=0.01, **RATES))
    assert (run_dir / "router" / "policy.json").read_bytes() == before


def test_synthetic_anomalies_keep_the_parts_of_the_sample_apart(
    tiny_store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    normals = tiny_store.indices("calibration", label=0)
    read: list[int] = []
    original = ImageStore.pixels

    def noted(store: ImageStore, index: int) -> np.ndarray:
        read.append(index)
        return original(store, index)

    monkeypatch.setattr(ImageStore, "pixels", noted)
    for place in range(6):
        read.clear()
        synthetic_anomaly(tiny_store, normals, place)
        assert len(read) == 2
        assert set(read) <= {int(i) for i in normals[place % PICK_EVERY :: PICK_EVERY]}


@pytest.mark.parametrize(
    ("same_part", "parts"), [("never", None), ("auto", None), (r"(\d)\.png", 10), (r"([0-9]+)\.png", None)]
)
def test_images_that_share_a_part_prove_less_and_the_certificate_says_so(
    labelled_run: MakeRun, same_part: str, parts: int | None
) -> None:
    run_dir, store = labelled_run(1.0)
    calibrate_run(run_dir, store, RouterConfig(**RATES), same_part)
    certificate = read_json(run_dir / "router" / "certificate.json")
    said = [line for line in certificate_summary(certificate) if "parts" in line]
    if parts is None:
        assert "parts" not in certificate and not said
        return
    stated = certificate["parts"]
    assert 1 < stated["parts"] <= parts < stated["images"] == len(store.indices("calibration", label=0))
    assert stated["escalation"]["worth"] <= stated["images"]
    assert len(said) == 1 and f"show {stated['parts']} parts" in said[0]
    assert f"{stated['flag']['interval'][1]:.2%} flagged" in said[0]
