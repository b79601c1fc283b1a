"""Image metrics: worked examples, scikit-learn as the other implementation, and what must not matter."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from eval.metrics import (
    fnr_at_fpr,
    image_auprc,
    image_auroc,
    per_type_auroc,
    per_type_fnr_at_fpr,
    roc_curve,
    threshold_at_fpr,
)
from wafer_data.errors import InputError

# Few distinct values, so that ties within and between the classes are the rule.
tied_scores = st.lists(st.integers(-4, 4), min_size=1, max_size=30)


def sample(normal: list[int], defect: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.r_[np.zeros(len(normal)), np.ones(len(defect))], np.array([*normal, *defect], float)


def test_auroc_counts_pairs_by_hand():
    # Pairs (defect, normal): 3 beats 1 and 2, 2 beats 1 and ties with 2: (1 + 1 + 1 + 0.5) / 4.
    assert image_auroc([0, 0, 1, 1], [1, 2, 3, 2]) == 3.5 / 4


def test_auprc_by_hand():
    # Flagging down the list: defect (precision 1), normal, defect (precision 2/3); each defect is half the
    # recall.
    assert image_auprc([1, 0, 1, 0], [4, 3, 2, 1]) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_missed_defects_at_a_false_positive_rate_by_hand():
    labels = [0] * 20 + [1] * 4
    normal = list(range(20))
    # One of 20 normals may be flagged at 5 %, so the threshold is the second largest, 18; 18 itself is not
    # flagged.
    assert threshold_at_fpr(normal, 0.05) == 18
    assert fnr_at_fpr(labels, [*normal, 17, 18, 18.5, 30], 0.05) == 0.5


def test_with_fewer_than_20_normals_none_may_be_flagged_at_5_percent():
    assert threshold_at_fpr(range(19), 0.05) == 18
    assert threshold_at_fpr([7.0], 0.05) == 7.0


def test_normals_tied_at_the_threshold_are_not_flagged():
    normal = [0.0] * 90 + [1.0] * 10
    assert threshold_at_fpr(normal, 0.05) == 1.0
    assert fnr_at_fpr([0] * 100 + [1, 1], [*normal, 1.0, 1.1]) == 0.5


def test_a_product_that_rounds_down_keeps_its_image():
    assert 0.29 * 100 < 29
    assert threshold_at_fpr(np.arange(100), 0.29) == 70


def test_every_image_may_be_flagged_at_fpr_one():
    assert threshold_at_fpr([1, 2, 3], 1.0) == -math.inf
    assert fnr_at_fpr([0, 0, 1], [5, 6, 1], 1.0) == 0.0


@given(tied_scores, tied_scores)
def test_auroc_auprc_and_roc_agree_with_scikit_learn(normal, defect):
    labels, scores = sample(normal, defect)
    assert image_auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert image_auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    fpr, tpr, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_curve(labels, scores), (fpr, tpr))


@given(tied_scores, tied_scores, st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 1.0]))
def test_missed_defects_agree_with_trying_every_threshold(normal, defect, fpr):
    labels, scores = sample(normal, defect)
    candidates = [-math.inf, *sorted(set(scores))]
    allowed = [t for t in candidates if np.mean(np.array(normal) > t) <= fpr]
    best = min(np.mean(np.array(defect) <= t) for t in allowed)
    assert fnr_at_fpr(labels, scores, fpr) == pytest.approx(best)


@given(tied_scores, tied_scores)
def test_only_the_order_of_the_scores_matters(normal, defect):
    labels, scores = sample(normal, defect)
    for metric in (image_auroc, image_auprc, fnr_at_fpr):
        assert metric(labels, np.exp(scores) * 7 + 3) == metric(labels, scores)


@given(tied_scores, tied_scores)
def test_swapping_the_classes_mirrors_the_auroc(normal, defect):
    labels, scores = sample(normal, defect)
    assert image_auroc(1 - labels, scores) == pytest.approx(1 - image_auroc(labels, scores))


@settings(max_examples=30)
@given(tied_scores, tied_scores, st.integers(0, 99))
def test_the_order_of_the_images_does_not_matter(normal, defect, seed):
    labels, scores = sample(normal, defect)
    order = np.random.default_rng(seed).permutation(len(labels))
    for metric in (image_auroc, image_auprc, fnr_at_fpr):
        assert metric(labels[order], scores[order]) == pytest.approx(metric(labels, scores))


def test_an_infinite_score_ranks_above_all_others():
    assert image_auroc([0, 0, 1], [1.0, 5.0, math.inf]) == 1.0


def test_each_type_is_compared_with_all_normals():
    labels = [0, 0, 1, 1, 1]
    types = ["good", "good", "scratch", "stain", "scratch"]
    assert per_type_auroc(labels, [1, 2, 3, 0, 1.5], types) == {"scratch": 0.75, "stain": 0.0}


def test_each_type_is_missed_at_the_one_threshold_by_hand():
    # 20 normals, one of which may be flagged: the threshold is 18 for every type.
    labels = [0] * 20 + [1] * 5
    types = ["good"] * 20 + ["scratch", "stain", "scratch", "scratch", "stain"]
    scores = [*range(20), 18, 19, 30, 5, 40]
    assert per_type_fnr_at_fpr(labels, scores, types) == {"scratch": 2 / 3, "stain": 0.0}


@given(tied_scores, tied_scores, st.integers(0, 99))
def test_the_types_misses_average_to_those_of_all_defects(normal, defect, seed):
    labels, scores = sample(normal, defect)
    kinds = np.random.default_rng(seed).choice(["a", "b", "c"], len(defect))
    shares = per_type_fnr_at_fpr(labels, scores, ["good"] * len(normal) + kinds.tolist(), 0.1)
    whole = sum(share * np.sum(kinds == name) for name, share in shares.items()) / len(defect)
    assert whole == pytest.approx(fnr_at_fpr(labels, scores, 0.1))


@settings(max_examples=12, deadline=None)
@given(tied_scores, tied_scores, st.sampled_from([0.03, 0.12, 0.34]))
def test_torchmetrics_agrees(normal, defect, fpr):
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torchmetrics.functional.classification")
    labels, scores = sample(normal, defect)
    # It takes probabilities; 0.03 * n, 0.12 * n and 0.34 * n are no whole numbers for so few images, so its float32
    # rates and ours fall on the same side of the limit.
    given_scores, given_labels = torch.tensor((scores + 4) / 8), torch.tensor(labels, dtype=torch.long)
    assert image_auroc(labels, scores) == pytest.approx(
        float(reference.binary_auroc(given_scores, given_labels)), abs=1e-6
    )
    assert image_auprc(labels, scores) == pytest.approx(
        float(reference.binary_average_precision(given_scores, given_labels)), abs=1e-6
    )
    found, _ = reference.binary_sensitivity_at_specificity(given_scores, given_labels, 1 - fpr)
    assert fnr_at_fpr(labels, scores, fpr) == pytest.approx(1 - float(found), abs=1e-6)


@pytest.mark.parametrize("metric", [image_auroc, image_auprc, fnr_at_fpr, roc_curve])
@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1], []])
def test_one_class_alone_is_an_error_that_counts_both(metric, labels):
    with pytest.raises(InputError, match=rf"{labels.count(0)} normal and {labels.count(1)} defective"):
        metric(labels, np.arange(len(labels)))


@pytest.mark.parametrize("metric", [image_auroc, image_auprc, fnr_at_fpr])
def test_nan_scores_are_an_error_that_locates_them(metric):
    with pytest.raises(InputError, match=r"1 of 3 scores are NaN .*index 1"):
        metric([0, 0, 1], [1.0, math.nan, 2.0])


def test_labels_other_than_0_and_1_are_an_error():
    with pytest.raises(InputError, match="labels must be 0"):
        image_auroc([0, 2], [1.0, 2.0])


def test_unequal_lengths_are_an_error():
    with pytest.raises(InputError, match="equal length"):
        image_auroc([0, 1, 1], [1.0, 2.0])
    with pytest.raises(InputError, match="1 types given for 2 images"):
        per_type_auroc([0, 1], [1.0, 2.0], ["good"])


@pytest.mark.parametrize("fpr", [-0.1, 1.1, math.nan])
def test_a_false_positive_rate_outside_0_to_1_is_an_error(fpr):
    with pytest.raises(InputError, match="between 0 and 1"):
        threshold_at_fpr([1.0, 2.0], fpr)
