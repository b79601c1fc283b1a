"""`waferroute certificate`: printed, checked against the files beside it, and refused when it is not one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.gate import QualityFigures, fit_gate
from wafer_data.files import read_json, write_json
from waferroute.cli import main


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run of which only the calibration is there, with 60 labelled defects, and its bundle's certificate."""
    rng = np.random.default_rng(0)
    figures = [
        QualityFigures(rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.2), 0.0, 0.01, rng.uniform(1, 2))
        for _ in range(50)
    ]
    scores = {name: rng.lognormal(size=200) for name in ("lowres", "full")}
    defects = {name: rng.lognormal(3, 1, 60) for name in ("defect_lowres", "defect_full")}
    policy, certificate = calibrate_policy(
        *scores.values(), fit_gate(figures), RouterConfig(), **defects, defect_types=["pit"] * 60
    )
    router = tmp_path / "run" / "router"
    router.mkdir(parents=True)
    write_json(router / "policy.json", policy.to_dict())
    write_json(router / "certificate.json", certificate)
    write_json(
        router / "calibration.json", {name: values.tolist() for name, values in (scores | defects).items()}
    )
    bundle = tmp_path / "run" / "bundle"
    bundle.mkdir()
    for name in ("policy.json", "certificate.json"):
        shutil.copy(router / name, bundle / name)
    return tmp_path / "run"


@pytest.mark.parametrize("what", ["", "router", "bundle"])
def test_a_run_its_router_folder_and_its_bundle_are_read(
    run_dir: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certificate", str(run_dir / what)]) == 0
    out = capsys.readouterr().out
    assert "Defects missed: at most" in out
    assert out.count("checked: ") == 3
    assert "Assumed: Calibration images" in out


def test_json_holds_certificate_sentences_and_checks(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["certificate", str(run_dir), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["ok"]
    assert content["certificate"] == read_json(run_dir / "router" / "certificate.json")
    assert [check["check"] for check in content["checks"]] == ["thresholds", "sample", "misses"]
    assert content["summary"][0].startswith("Sample: 200 normal images and 60 labelled defects (pit 60)")


def test_a_bundle_far_from_its_run_says_that_the_sample_was_not_checked(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(run_dir / "bundle", tmp_path / "tool" / "bundle")
    assert main(["certificate", str(tmp_path / "tool" / "bundle")]) == 0
    assert "not checked: there is no calibration.json here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "key", "value", "words"),
    [
        ("calibration.json", "lowres", [1.0, 2.0], "WRONG: the certificate was NOT computed from the scores"),
        ("calibration.json", "defect_full", [9.0] * 60, "WRONG: the certificate was NOT computed"),
        ("policy.json", "escalate_above", 0.0, "WRONG: escalate_above of policy.json is not"),
        ("certificate.json", "fnr", {"missed": 0}, None),
    ],
)
def test_a_file_that_was_changed_is_noticed(
    run_dir: Path, name: str, key: str, value: object, words: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_dir / "router" / name
    content = read_json(path)
    content[key] = content[key] | value if isinstance(value, dict) else value
    write_json(path, content)
    stated = read_json(run_dir / "bundle" / "certificate.json")["fnr"]["missed"]
    assert stated > 0
    assert main(["certificate", str(run_dir)]) == 2
    assert (words or f"WRONG: {stated} of 60 labelled defects end as PASS") in capsys.readouterr().out


def test_what_is_no_certificate_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certificate", str(tmp_path)]) == 2
    assert "no certificate.json here" in capsys.readouterr().err
    write_json(tmp_path / "certificate.json", {"schema": 1})
    assert main(["certificate", str(tmp_path)]) == 2
    assert "calibrate again" in capsys.readouterr().err
