"""Exact binomial bounds and bootstrap intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from eval.metrics import (
    bootstrap_interval,
    clopper_pearson,
    clopper_pearson_upper,
    image_auroc,
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
