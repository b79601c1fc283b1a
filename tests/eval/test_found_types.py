"""Types of the test images in the error analysis and the report, on the small synthetic run."""

import json
import shutil
from pathlib import Path

import pytest

from eval.config import EvalConfig
from eval.errors import analyse_errors
from eval.found_types import find_types
from eval.report import evaluate_run
from router.config import RouterConfig
from tool_side import load_bundle
from wafer_data.errors import InputError
from wafer_data.store import ImageStore
from waferroute.classes import learn_labelled, run_learn

ROUTER = RouterConfig(escalation_target=0.2, escalation_budget=[0.05, 0.5], flag_rate=0.1)
QUICK = EvalConfig(bootstrap=100, baselines=[], study_seconds=0)


@pytest.fixture(scope="module")
def named(tiny_run: Path, mvtec_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run with a bundle that learned the types from its test images: this shows what is counted, not how well."""
    folder = tmp_path_factory.mktemp("named") / "run"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("bundle"))
    run_learn(tiny_run / "bundle", mvtec_folder / "test", folder / "bundle")
    return folder


def test_labelled_defects_of_a_run_teach_its_bundle(tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    assert learn_labelled(tmp_path / "run/bundle", ImageStore.open(tmp_path / "run/data")) == ()
    split = json.loads((tmp_path / "run/data/split.json").read_text())
    for record in split["records"]:
        record["split"] = "train" if record["label"] == 1 else record["split"]
    (tmp_path / "run/data/split.json").write_text(json.dumps(split))
    types = learn_labelled(tmp_path / "run/bundle", ImageStore.open(tmp_path / "run/data"))
    bundle = load_bundle(tmp_path / "run/bundle")
    assert bundle.classes is not None and types == bundle.classes.types == ("particle", "scratch")
    assert bundle.parent == load_bundle(tiny_run / "bundle").id


def test_every_flagged_test_image_is_counted_once(named: Path) -> None:
    store = ImageStore.open(named / "data")
    found = find_types(store, load_bundle(named / "bundle"), store.indices("test"))
    rows = {row.type: row for row in found.rows}
    assert set(rows) == {"good", "particle", "scratch"} and rows["good"].right is None
    assert sum(row.flagged for row in found.rows) == len(found.images) > 0
    assert all(sum(row.said.values()) == row.flagged <= row.images for row in found.rows)
    assert found.defects == rows["particle"].flagged + rows["scratch"].flagged
    assert found.right <= found.covered or found.right <= found.defects
    json.dumps(found.to_json(), allow_nan=False)


def test_the_error_analysis_and_the_report_show_them(named: Path, tmp_path: Path) -> None:
    content = analyse_errors(named, tmp_path / "errors", "routed", ROUTER, QUICK)
    alarms = [
        error for error in content["errors"] if error["kind"] == "false alarm" and error["route"] == "full"
    ]
    assert content["classes"]["defects"] > 0 and all(error["said"] for error in alarms)
    assert all(error["said"] is None for error in content["errors"] if error["kind"] == "missed")
    assert "Types of the flagged images" in (tmp_path / "errors" / "errors.html").read_text()
    evaluate_run(named, QUICK)
    assert "Types of the flagged images" in (named / "report" / "report.html").read_text()
    page = json.loads((named / "report" / "page.json").read_text())
    assert page["classes"]["right"] == content["classes"]["right"]


def test_a_bundle_without_classifier_is_refused_where_one_was_asked_for(
    tiny_run: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="classes learn"):
        analyse_errors(tiny_run, tmp_path / "out", "routed", ROUTER, QUICK, classes=tiny_run / "bundle")
    assert not (tmp_path / "out").exists()
