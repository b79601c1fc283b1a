"""Evaluating whole run folders: what is written, that it hangs together, and incomplete runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import eval.report.run
import tool_side.export.int8
from eval.config import EvalConfig
from eval.report import evaluate_run
from eval.scorers import load_scorers
from tool_side import Inspector
from tool_side.export.write import export_bundle
from wafer_data.errors import InputError
from wafer_data.store import ImageStore

QUICK = EvalConfig(
    baselines=["pca"], pca_components=5, latency_runs=10, bootstrap=100, worst=2, study_seconds=0
)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def move_test_images(run_dir: Path, label: int) -> None:
    """Take the images of a label out of the test split of a copied run."""
    split = read(run_dir / "data" / "split.json")
    for record in split["records"]:
        if record["split"] == "test" and record["label"] == label:
            record["split"] = "calibration"
    (run_dir / "data" / "split.json").write_text(json.dumps(split), encoding="utf-8")


@pytest.fixture(scope="module")
def run_dir(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluated copy of the tiny run."""
    copy = tmp_path_factory.mktemp("evaluated") / "tiny"
    shutil.copytree(tiny_run, copy)
    config = QUICK.model_copy(update={"baselines": ["pca", "gabor_lbp_ocsvm"]})
    assert evaluate_run(copy, config) == read(copy / "report" / "report.json")
    return copy


@pytest.fixture
def data_only(tiny_data: Path, tmp_path: Path) -> Path:
    """A run folder that holds prepared data and nothing else."""
    shutil.copytree(tiny_data, tmp_path / "run" / "data")
    return tmp_path / "run"


def test_every_model_present_is_reported(run_dir):
    report = read(run_dir / "report" / "report.json")
    deep = {"teacher", "intermediate", "target", "full", "lowres", "routed"}
    assert set(report["models"]) == deep | {"pca", "gabor_lbp_ocsvm"}
    for name, model in report["models"].items():
        assert model["params"] > 0 and 0 < model["latency_ms"]["p50"] <= model["latency_ms"]["p99"]
        assert 0 <= model["image_auroc"] <= 1 and set(model["per_type"]) == {"scratch", "particle"}
        assert (model["pixel_aupro"] is None) == (name == "gabor_lbp_ocsvm")
    assert report["models"]["routed"]["params"] == sum(
        report["models"][n]["params"] for n in ("full", "lowres")
    )


def test_the_figures_follow_from_the_predictions(run_dir):
    report, predictions = (read(run_dir / "report" / f"{name}.json") for name in ("report", "predictions"))
    images = predictions["images"]
    labels = np.array([image["label"] for image in images])
    assert (
        report["data"]["test_defect"] == labels.sum() and report["data"]["test_normal"] == (1 - labels).sum()
    )
    for name in images[0]["scores"]:
        scores = [image["scores"][name] for image in images]
        assert report["models"][name]["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    passed = np.array([image["decision"] == "PASS" for image in images])
    escalated = np.array([image["route"] == "full" for image in images])
    routing = report["routing"]
    assert routing["fnr"] == passed[labels == 1].mean()
    assert routing["fpr"] == (~passed[labels == 0]).mean()
    assert routing["escalation_rate"] == escalated.mean()
    assert routing["escalation_rate_normal"] == escalated[labels == 0].mean()
    assert routing["mean_latency_ms"] > 0 and routing["always_full_latency_ms"] > 0


def test_every_metric_has_an_interval_that_holds_it(run_dir):
    for name, model in read(run_dir / "report" / "report.json")["models"].items():
        for metric, interval in model["intervals"].items():
            assert (interval is None) == (model[metric] is None), (name, metric)
            assert interval is None or interval[0] - 1e-9 <= model[metric] <= interval[1] + 1e-9, (
                name,
                metric,
            )
        assert (
            set(model["per_type_fnr_at_fpr5"]) == set(model["per_type_intervals"]) == {"scratch", "particle"}
        )


def test_predictions_know_each_image_by_its_content(run_dir):
    images = read(run_dir / "report" / "predictions.json")["images"]
    hashes = {record["path"]: record["sha256"] for record in read(run_dir / "data" / "split.json")["records"]}
    assert all(image["sha256"] == hashes[image["path"]] for image in images)


def test_the_baselines_curves_are_kept(run_dir):
    report, curves = (read(run_dir / "report" / f"{name}.json") for name in ("report", "baselines"))
    assert set(curves["rocs"]) == set(report["models"])
    # 28 training normals carry 10 components; 50 and more they cannot carry.
    assert set(curves["pca"]) == {"10"}
    assert curves["pixel_vae"] is None
    for name, roc in curves["rocs"].items():
        area = np.trapezoid(roc["tpr"], roc["fpr"])
        assert area == pytest.approx(report["models"][name]["image_auroc"])


def test_the_exported_graphs_agree_with_pytorch(run_dir):
    parity = read(run_dir / "report" / "parity.json")
    assert parity["images"] == len(read(run_dir / "report" / "predictions.json")["images"])
    assert parity["decisions_differ"] == parity["routes_differ"] == 0
    assert parity["max_relative_lowres_deviation"] < 1e-4
    assert parity["max_relative_full_deviation"] < 1e-4


def test_the_page_tells_this_run(run_dir):
    html = (run_dir / "report" / "report.html").read_text(encoding="utf-8")
    assert read(run_dir / "data" / "split.json")["fingerprint"] in html
    assert str(run_dir.parent) not in html
    assert "http" not in html.split("<summary>Configuration")[0]


def test_a_run_without_models_compares_the_baselines(data_only):
    report = evaluate_run(data_only, QUICK)
    assert set(report["models"]) == {"pca"}
    assert set(report["routing"].values()) == {None}
    assert not (data_only / "report" / "parity.json").exists()
    assert (data_only / "report" / "report.html").is_file()


def test_without_defects_everything_else_is_measured(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    move_test_images(tmp_path / "run", label=1)
    report = evaluate_run(tmp_path / "run", QUICK.model_copy(update={"baselines": []}))
    assert report["data"]["test_defect"] == 0
    assert report["routing"]["fnr"] is None and report["routing"]["fpr"] is not None
    assert report["models"]["routed"]["image_auroc"] is None
    assert report["models"]["routed"]["latency_ms"]["p50"] > 0
    assert "There is no defect" in (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")


def test_baselines_are_fitted_on_training_normals_alone(data_only, monkeypatch):
    store, seen = ImageStore.open(data_only / "data"), []
    batch = store.batch
    monkeypatch.setattr(store, "batch", lambda indices: seen.extend(indices) or batch(indices))
    load_scorers(data_only, store, QUICK)
    assert seen == store.indices("train", 0).tolist()


def test_a_large_training_set_is_sampled_by_seed(data_only, monkeypatch):
    store, seen = ImageStore.open(data_only / "data"), []
    batch = store.batch
    monkeypatch.setattr(store, "batch", lambda indices: seen.extend(indices) or batch(indices))
    load_scorers(data_only, store, QUICK.model_copy(update={"baseline_images": 20}))
    assert len(set(seen)) == 20 and set(seen) <= set(store.indices("train", 0))


def test_a_failure_leaves_the_old_report_alone(data_only, monkeypatch):
    evaluate_run(data_only, QUICK)
    before = {path.name: path.read_bytes() for path in (data_only / "report").iterdir()}

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(eval.report.run, "_draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate_run(data_only, QUICK)
    assert {path.name: path.read_bytes() for path in (data_only / "report").iterdir()} == before
    assert {path.name for path in data_only.iterdir()} == {"data", "report"}


def test_eight_bit_graphs_are_evaluated_where_the_bundle_holds_them(tiny_run, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    monkeypatch.setattr(tool_side.export.int8, "WORTHWHILE", 0.0)  # however fast they are on this computer
    shutil.rmtree(run / "bundle")
    export_bundle(run, run / "bundle", int8=True)
    variants = read(run / "bundle" / "manifest.json")["variants"]["int8"]
    assert any(student["default"] for student in variants.values())
    evaluate_run(run, QUICK)
    inspector = Inspector(run / "bundle")
    for image in read(run / "report" / "predictions.json")["images"]:
        found = inspector.inspect(image["path"])
        assert (found.decision, found.route) == (image["decision"], image["route"])
        assert dict(found.scores) == {stage: image["scores"][stage] for stage in found.scores}
    # 8 bits: near to PyTorch's scores, and not the same
    parity = read(run / "report" / "parity.json")
    assert max(parity[f"max_relative_{name}_deviation"] for name in ("lowres", "full")) > 1e-5


def test_without_the_bundle_that_ships_nothing_is_evaluated(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "bundle")
    with pytest.raises(InputError, match="run `waferroute export` first"):
        evaluate_run(tmp_path / "run", QUICK)


def test_a_bundle_of_another_policy_is_not_evaluated(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    path = tmp_path / "run" / "router" / "policy.json"
    path.write_text(json.dumps(read(path) | {"escalate_above": -5.0}))
    with pytest.raises(InputError, match="another policy"):
        evaluate_run(tmp_path / "run", QUICK)


def test_nothing_to_evaluate_is_an_error(data_only):
    with pytest.raises(InputError, match="no trained model"):
        evaluate_run(data_only, QUICK.model_copy(update={"baselines": []}))


def test_no_test_image_is_an_error(data_only):
    move_test_images(data_only, label=0)
    move_test_images(data_only, label=1)
    with pytest.raises(InputError, match="no test image"):
        evaluate_run(data_only, QUICK)


def test_a_missing_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        evaluate_run(tmp_path / "nowhere", QUICK)
