"""A finished run's report drawn again from its files, without scoring its images again."""

import json
import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from distill.calibration import calibrate_run
from eval.compare import compare_runs
from eval.config import EvalConfig
from eval.report import evaluate_run, remake_report
from eval.report.reopen import reopen
from eval.report.shown import boundary_rows
from eval.run import FinishedRun
from eval.tradeoff.config import FabConfig
from eval.tradeoff.points import Study
from router.config import RouterConfig
from tool_side.export.write import export_bundle
from wafer_data.errors import InputError
from waferroute.cli import main
from waferroute.cli.report import fab_settings

QUICK = EvalConfig(
    baselines=["pca"], pca_components=5, latency_runs=10, bootstrap=100, worst=2, study_seconds=0.01
)


@pytest.fixture(scope="module")
def evaluated(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("remade") / "tiny"
    shutil.copytree(tiny_run, run)
    (run / "run.lock").touch()
    evaluate_run(run, QUICK)
    return run


@pytest.fixture
def run(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "run"))


def test_what_was_evaluated_is_read_back(evaluated):
    report = json.loads((evaluated / "report" / "report.json").read_text(encoding="utf-8"))
    evaluation = reopen(FinishedRun(evaluated))
    assert evaluation.to_report_json() == report
    assert evaluation.provenance.run == "tiny"
    assert evaluation.routing is not None


def test_the_page_is_the_same_again(run):
    before = (run / "report" / "report.html").read_text(encoding="utf-8")
    predictions = (run / "report" / "predictions.json").read_bytes()
    remake_report(run, FabConfig(), measure=False, shown=2)
    assert (run / "report" / "predictions.json").read_bytes() == predictions
    after = (run / "report" / "report.html").read_text(encoding="utf-8")
    assert before == after


def test_an_evaluation_short_of_time_still_tells_what_it_knows(evaluated):
    study = Study.read(evaluated / "report")
    assert study is not None and study.mode == "short"
    assert {point.model for point in study.points} >= {"teacher", "full", "lowres", "routed", "pca"}
    page = (evaluated / "report" / "report.html").read_text(encoding="utf-8")
    assert "Does it fit the time budget?" in page and "At the boundary" in page


def test_stated_budgets_and_prices_reach_the_page(run):
    fab = FabConfig(image_ms=[7.0], defect_rate=0.004, images_per_month=1000)
    made = remake_report(run, fab, measure=False, prices={"escape_usd": 77.0})
    assert made.extras.budgets[0].budget.milliseconds == 7.0
    assert made.extras.fab is not None and made.extras.fab.prices.escape_usd == 77.0
    page = json.loads((run / "report" / "page.json").read_text(encoding="utf-8"))
    assert page["fab"]["months"][0]["defects"] == pytest.approx(4.0)


def test_images_at_the_boundary_lie_on_both_sides_and_nearest(evaluated):
    routing = reopen(FinishedRun(evaluated)).routing
    assert routing is not None
    kept, escalated = boundary_rows(routing, 3)
    scores = routing.lowres_standard
    assert (scores[kept] <= routing.escalate_above).all() and (routing.routes[kept] == "lowres").all()
    assert (scores[escalated] > routing.escalate_above).all() and (routing.routes[escalated] == "full").all()
    rest = (routing.routes == "lowres") & (scores > scores[kept[0]])
    assert not rest.any()


def compare_is_refused(run: Path, other: Path, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare_runs([other, run], run.parent / "comparison", resamples=10)


def test_a_policy_that_decides_otherwise_is_refused(run, evaluated):
    path = run / "router" / "policy.json"
    policy = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(policy | {"escalate_above": -50.0, "review_above": -50.0}), encoding="utf-8")
    with pytest.raises(InputError, match="another policy than the run"):
        remake_report(run, FabConfig(), measure=False)
    compare_is_refused(run, evaluated, "another policy than the run: run `waferroute export` again")


def test_another_bundle_than_the_one_evaluated_is_refused(run, evaluated):
    path = run / "bundle" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "exported again"}))
    with pytest.raises(InputError, match="not the bundle that the report speaks of"):
        remake_report(run, FabConfig(), measure=False)
    compare_is_refused(run, evaluated, "the report speaks of: run `waferroute evaluate` again")


def test_calibrated_and_exported_anew_but_not_evaluated_is_refused(run, evaluated):
    router = RouterConfig(escalation_target=0.3, escalation_budget=[0.05, 0.5], flag_rate=0.2)
    calibrate_run(run, FinishedRun(run).store, router)
    compare_is_refused(run, evaluated, "another policy than the run: run `waferroute export` again")
    export_bundle(run, run / "bundle")
    compare_is_refused(run, evaluated, "the report speaks of: run `waferroute evaluate` again")


def test_a_run_is_compared_with_its_copy_and_with_its_report_alone(run, evaluated, tmp_path):
    shutil.copytree(run / "report", tmp_path / "archived" / "report")
    found = compare_runs([evaluated, run, tmp_path / "archived"], tmp_path / "comparison", resamples=10)
    assert set(found["runs"]) == {"tiny", "run", "archived"}


def test_a_folder_without_a_report_is_an_error(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "holds no report" in capsys.readouterr().err


def options(**given) -> Namespace:
    names = (
        "images_per_month",
        "defect_rate",
        "hours_per_month",
        "lot_images",
        "image_ms",
        "lot_ms",
        "images_per_hour",
    )
    return Namespace(**{**dict.fromkeys(names), **given})


def test_an_option_that_cannot_be_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match="--defect-rate"):
        fab_settings(tmp_path, options(defect_rate=1.5))
    with pytest.raises(InputError, match="--image-ms"):
        fab_settings(tmp_path, options(image_ms=[-5.0]))


def test_the_section_of_the_configuration_is_used_and_options_come_first(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "eval:\n  fab:\n    lot_images: 13\n    images_per_month: 5\n", encoding="utf-8"
    )
    fab = fab_settings(tmp_path, options(images_per_month=9))
    assert (fab.lot_images, fab.images_per_month) == (13, 9)
