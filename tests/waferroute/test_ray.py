"""Stages on a local Ray cluster of two workers give what one process gives.

Ray starts in some ten seconds and weighs a quarter of a gigabyte, so it is not among what `make test` installs: without
it these tests are skipped.
"""

import shutil

import numpy as np
import pytest

pytest.importorskip("ray", reason="Ray is not installed (pip install 'waferroute[ray]')")
pytest.importorskip("pandas", reason="pandas, which Ray Data needs, is not installed")

from distill.pool import read_pool
from distill.stages import run_stage
from eval.config import EvalConfig
from eval.evaluate import evaluate
from eval.run import FinishedRun
from teacher.fit import fit_teacher
from tests.conftest import tiny_distill_config
from wafer_data.shards.on_ray import on_cluster
from wafer_data.store import ImageStore

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_adapt_fits_the_same_teacher(tiny_run, tiny_teacher_config, tmp_path):
    with on_cluster("local"):
        fit_teacher(tiny_teacher_config, ImageStore.open(tiny_run / "data"), tmp_path / "teacher")
    for file in ("teacher.safetensors", "teacher.json", "symmetries.json"):
        assert (tmp_path / "teacher" / file).read_bytes() == (tiny_run / "teacher" / file).read_bytes(), file


def test_distill_paints_the_same_pool_and_trains_the_same_student(tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    shutil.rmtree(run / "lowres")
    shutil.rmtree(run / "cache")
    with on_cluster("local"):
        run_stage("lowres", tiny_distill_config(), run, ImageStore.open(run / "data"))
    ours, theirs = read_pool(run / "cache"), read_pool(tiny_run / "cache")
    assert ours.key == theirs.key and np.array_equal(ours.images, theirs.images)
    assert np.array_equal(ours.is_normal, theirs.is_normal) and np.array_equal(ours.cover, theirs.cover)
    features = [np.load(folder / "cache/features-target/features.npy") for folder in (run, tiny_run)]
    assert np.array_equal(*features)
    student = "lowres/student.safetensors"
    assert (run / student).read_bytes() == (tiny_run / student).read_bytes()


def test_evaluate_finds_the_same_scores_and_pixels(tiny_run):
    config = EvalConfig(baselines=["pca"], latency_runs=10, bootstrap=100)
    run = FinishedRun(tiny_run)
    here = evaluate(run, config)
    with on_cluster("local"):
        there = evaluate(run, config)
    assert list(here.images.scores) == list(there.images.scores)
    for name, scores in here.images.scores.items():
        # a baseline's matrix product sums in another order in another process
        np.testing.assert_allclose(
            there.images.scores[name], scores, rtol=1e-5 if name == "pca" else 0, err_msg=name
        )
    assert np.array_equal(here.images.routed.decisions, there.images.routed.decisions)
    assert here.sketches.keys() == there.sketches.keys()
    for name, model in here.evaluation.models.items():
        assert there.evaluation.models[name].pixel_auroc == pytest.approx(
            model.pixel_auroc, rel=1e-4 if name == "pca" else 0, abs=0
        ), name
