"""Exact binomial bounds and bootstrap intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from eval.metrics import (
    bootstrap_draws,
    bootstrap_interval,
    bootstrap_intervals,
    clopper_pearson,
    clopper_pearson_upper,
    fnr_at_fpr,
    image_auprc,
    image_auroc,
    paired_bootstrap,
    per_type_intervals,
    samples_to_certify,
)
from wafer_data.errors import InputError

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, st.sampled_from([0.9, 0.95, 0.99]))
def test_two_sided_interval_agrees_with_scipy(count, confidence):
    expected = binomtest(*count).proportion_ci(confidence, method="exact")
    assert clopper_pearson(*count, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(counts)
def test_the_upper_bound_is_where_so_few_events_become_a_1_in_20_chance(count):
    k, n = count
    bound = clopper_pearson_upper(k, n)
    if k < n:
        assert binom.cdf(k, n, bound) == pytest.approx(0.05, abs=1e-9)
    else:
        assert bound == 1.0


@given(counts)
def test_counting_events_as_non_events_mirrors_the_interval(count):
    k, n = count
    low, high = clopper_pearson(k, n)
    assert clopper_pearson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize(("defects", "bound"), [(392, 0.0076), (40, 0.072)])
def test_no_miss_among_few_defects_still_leaves_room(defects, bound):
    assert clopper_pearson_upper(0, defects) == pytest.approx(bound, abs=5e-4)


def test_one_in_a_thousand_takes_2995_defects():
    assert samples_to_certify(0.001) == 2995
    assert clopper_pearson_upper(0, 2995) <= 0.001 < clopper_pearson_upper(0, 2994)
    assert clopper_pearson_upper(1, 4742) <= 0.001 < clopper_pearson_upper(1, 4741)


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_impossible_counts_are_an_error(k, n):
    for bound in (clopper_pearson, clopper_pearson_upper):
        with pytest.raises(InputError, match="0 <= k <= n"):
            bound(k, n)


def test_a_rate_of_zero_cannot_be_certified():
    with pytest.raises(InputError, match="strictly between"):
        samples_to_certify(0.0)


def gaussian_sample(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return np.r_[np.zeros(n), np.ones(n)], np.r_[rng.normal(0, 1, n), rng.normal(1.5, 1, n)]


def test_the_bootstrap_covers_the_true_auroc_about_as_often_as_it_says():
    truth = 0.8556  # Phi(1.5 / sqrt(2))
    hits = 0
    for seed in range(60):
        low, high = bootstrap_interval(image_auroc, *gaussian_sample(seed), n=200, seed=seed)
        hits += low <= truth <= high
    assert hits >= 51  # 95 % of 60 is 57; fewer than 51 has a chance below 0.2 % at 93 % coverage


def test_the_bootstrap_is_fixed_by_its_seed_and_holds_the_estimate():
    labels, scores = gaussian_sample(4)
    first = bootstrap_interval(image_auroc, labels, scores, n=200, seed=1)
    assert first == bootstrap_interval(image_auroc, labels, scores, n=200, seed=1)
    assert first != bootstrap_interval(image_auroc, labels, scores, n=200, seed=2)
    assert first[0] < image_auroc(labels, scores) < first[1]


def test_every_resample_keeps_both_classes():
    low, high = bootstrap_interval(image_auroc, [0, 1], [0.0, 1.0], n=100)
    assert (low, high) == (1.0, 1.0)


def test_the_bootstrap_refuses_one_class():
    with pytest.raises(InputError, match="normal and defective"):
        bootstrap_interval(image_auroc, [1, 1], [0.0, 1.0])


ALL = {"image_auroc": image_auroc, "image_auprc": image_auprc, "fnr_at_fpr5": fnr_at_fpr}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=25),
    st.lists(st.integers(-3, 5), min_size=1, max_size=25),
    st.integers(0, 99),
)
def test_all_resamples_at_once_are_the_metric_of_one_resample_after_the_other(normal, defect, seed):
    labels, scores = np.repeat([0, 1], [len(normal), len(defect)]), np.array([*normal, *defect], float)
    # A function that the bootstrap does not know is called with every resample in turn.
    slowly = {name: (lambda y, s, metric=metric: metric(y, s)) for name, metric in ALL.items()}
    quick, slow = (bootstrap_draws(metrics, labels, scores, 12, seed) for metrics in (ALL, slowly))
    for name in ALL:
        np.testing.assert_allclose(quick[name], slow[name], atol=1e-12)


def test_unjudged_images_with_an_infinite_score_take_part():
    labels, scores = gaussian_sample(2)
    scores[[3, 70]] = np.inf
    low, high = bootstrap_interval(image_auroc, labels, scores, n=200)
    assert low < image_auroc(labels, scores) < high


def test_the_resamples_are_the_same_in_blocks_of_any_size(monkeypatch):
    labels, scores = gaussian_sample(3)
    whole = bootstrap_draws(ALL, labels, scores, 50)
    monkeypatch.setattr("eval.metrics.resampling._BLOCK", 200)
    blocks = bootstrap_draws(ALL, labels, scores, 50)
    assert all(np.array_equal(whole[name], blocks[name]) for name in ALL)


def test_the_bootstrap_finds_the_spread_of_a_mean_known_by_theory():
    scores = np.random.default_rng(0).normal(0, 1, 400)
    labels = np.repeat([0, 1], 200)
    low, high = bootstrap_interval(lambda y, s: float(s[y == 1].mean()), labels, scores, n=2000)
    standard_error = scores[200:].std() / np.sqrt(200)
    assert high - low == pytest.approx(2 * 1.96 * standard_error, rel=0.08)


def test_metrics_of_one_call_have_the_intervals_they_would_have_alone():
    labels, scores = gaussian_sample(5)
    together = bootstrap_intervals(ALL, labels, scores, 100, seed=3)
    assert together["fnr_at_fpr5"] == bootstrap_interval(fnr_at_fpr, labels, scores, 100, seed=3)


def test_nan_scores_are_refused_before_anything_is_drawn():
    with pytest.raises(InputError, match=r"1 of 3 scores are NaN"):
        bootstrap_interval(image_auroc, [0, 0, 1], [1.0, np.nan, 2.0])


class TestPairs:
    def test_a_model_does_not_differ_from_itself(self):
        labels, scores = gaussian_sample(0)
        for found in paired_bootstrap(ALL, labels, scores, 5 * scores + 2, n=100).values():
            assert (found.difference, found.low, found.high) == (0, 0, 0)
            assert not found.is_clear

    def test_the_difference_is_that_of_the_metrics_and_changes_sign_with_the_order(self):
        labels, scores = gaussian_sample(1)
        other = scores + np.random.default_rng(9).normal(0, 1, len(scores))
        there = paired_bootstrap(ALL, labels, scores, other, n=200)
        back = paired_bootstrap(ALL, labels, other, scores, n=200)
        for name, metric in ALL.items():
            assert there[name].difference == metric(labels, scores) - metric(labels, other)
            assert there[name].difference == -back[name].difference
            assert (there[name].low, there[name].high) == pytest.approx((-back[name].high, -back[name].low))

    def test_what_both_models_find_hard_cancels(self):
        labels, scores = gaussian_sample(2, n=150)
        slightly_better = scores + 0.15 * labels
        paired = paired_bootstrap({"auroc": image_auroc}, labels, slightly_better, scores, n=300)["auroc"]
        apart = bootstrap_interval(image_auroc, labels, scores, n=300)
        assert paired.is_clear and paired.low > 0
        assert paired.high - paired.low < 0.5 * (apart[1] - apart[0])

    def test_equally_good_models_are_told_apart_about_as_rarely_as_promised(self):
        clear = 0
        for seed in range(60):
            rng = np.random.default_rng(seed)
            labels, shared = np.repeat([0, 1], 60), rng.normal(0, 1, 120)
            first, second = (1.5 * labels + shared + rng.normal(0, 0.5, 120) for _ in range(2))
            clear += paired_bootstrap({"a": image_auroc}, labels, first, second, n=200)["a"].is_clear
        assert clear <= 9  # 5 % of 60 is 3; more than 9 has a chance below 0.2 % at 7 %

    def test_scores_of_other_images_are_refused(self):
        with pytest.raises(InputError, match="3 and 2 scores"):
            paired_bootstrap(ALL, [0, 1, 1], [1.0, 2.0, 3.0], [1.0, 2.0])


def test_each_type_has_its_own_intervals():
    labels, scores = gaussian_sample(6, n=80)
    types = ["good"] * 80 + ["easy"] * 60 + ["rare"] * 20
    scores[80:140] += 1.0
    found = per_type_intervals(labels, scores, types, n=200)
    assert set(found) == {"easy", "rare"}
    assert found["easy"]["image_auroc"][0] > found["rare"]["image_auroc"][1] - 0.1
    for name, interval in found["rare"].items():
        rows = np.array(types) != "easy"
        assert interval == bootstrap_interval(ALL[name], labels[rows], scores[rows], n=200)
