"""`baselines.json`: curves that are those of the scores, thinned for a plot."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.baselines.summary import summarise_baselines, thin_roc
from eval.metrics import fnr_at_fpr, image_auroc, roc_curve
from eval.training_curve import EpochLosses

LABELS = np.repeat([0, 1], [40, 30])
SCORES = np.random.default_rng(0).normal(size=70) + LABELS


def test_small_curves_are_kept_whole():
    fpr, tpr = roc_curve(LABELS, SCORES)
    assert thin_roc(LABELS, SCORES) == {"fpr": fpr.tolist(), "tpr": tpr.tolist()}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(150, 900), st.floats(0, 4))
def test_a_thinned_curve_is_made_of_the_curves_own_points_and_keeps_what_is_read_off_it(seed, count, shift):
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [count, count // 2])
    scores = rng.normal(size=len(labels)) + shift * labels
    whole, thin = set(zip(*roc_curve(labels, scores), strict=True)), thin_roc(labels, scores)
    points = list(zip(thin["fpr"], thin["tpr"], strict=True))
    assert len(points) <= 200 and set(points) <= whole
    assert points[0] == (0, 0) and points[-1] == (1, 1)
    assert points == sorted(points)
    assert np.trapezoid(thin["tpr"], thin["fpr"]) == pytest.approx(image_auroc(labels, scores), abs=5e-3)
    found = max(tpr for fpr, tpr in points if fpr <= 0.05)
    assert 1 - found == pytest.approx(fnr_at_fpr(labels, scores))


def test_every_setting_and_model_has_its_curve():
    curve = [EpochLosses(0, 12.0, 10.0, 2.0, 1.0, 1e-3), EpochLosses(1, 9.0, 8.0, 1.0, 1.0, 0.0)]
    found = summarise_baselines(
        LABELS, {"pca": SCORES, "full": -SCORES}, {"pca": {"10": SCORES, "50": -SCORES}}, {"pixel_vae": curve}
    )
    json.dumps(found, allow_nan=False)
    assert set(found["pca"]) == {"10", "50"} and set(found["rocs"]) == {"pca", "full"}
    assert found["pca"]["50"]["image_auroc"] == image_auroc(LABELS, -SCORES)
    assert found["pca"]["10"]["roc"] == found["rocs"]["pca"] == thin_roc(LABELS, SCORES)
    assert found["pixel_vae"]["losses"] == {
        "epoch": [1, 2], "total": [12.0, 9.0], "reconstruction": [10.0, 8.0], "kl": [2.0, 1.0]
    }  # fmt: skip


def test_one_class_alone_has_no_curve():
    found = summarise_baselines(np.zeros(5), {"pca": np.arange(5.0)}, {"pca": {"10": np.arange(5.0)}}, {})
    assert found == {"schema": 1, "pca": {}, "pixel_vae": None, "rocs": {}}
