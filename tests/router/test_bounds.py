"""Order statistics and exact intervals, against scipy and against simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from router.bounds import (
    defects_needed,
    exceedance_interval,
    exceedance_order,
    images_for_budget,
    images_for_order,
    just_above,
    kth_largest,
    miss_rate_upper,
    probability_within,
)


@given(count=st.integers(1, 10_000), rate=st.floats(0.001, 0.5))
def test_the_order_is_the_largest_whose_expected_exceedance_keeps_the_rate(count: int, rate: float) -> None:
    order = exceedance_order(count, rate)
    assert order / (count + 1) <= rate + 1e-9
    assert (order + 1) / (count + 1) > rate


@given(order=st.integers(1, 50), rate=st.floats(0.001, 0.5))
def test_images_for_order_is_the_smallest_sample(order: int, rate: float) -> None:
    count = images_for_order(order, rate)
    assert count >= order
    assert exceedance_order(count, rate) >= order
    assert count == order or exceedance_order(count - 1, rate) < order


def test_known_orders() -> None:
    assert exceedance_order(19, 0.05) == 1
    assert exceedance_order(18, 0.05) == 0
    assert exceedance_order(999, 0.065) == 65
    assert images_for_order(1, 0.01) == 99


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=30), st.data())
def test_just_above_splits_the_values_as_the_threshold_does(values: list[float], data: st.DataObject) -> None:
    array = np.array(values)
    threshold = data.draw(st.sampled_from(values))
    raised = just_above(threshold, array)
    assert threshold <= raised <= threshold + 1e-3
    np.testing.assert_array_equal(array > raised, array > threshold)


def test_just_above_leaves_the_value_that_set_the_threshold() -> None:
    assert just_above(1.0, np.array([0.0, 1.0, 2.0])) == 1.001
    assert just_above(1.0, np.array([0.0, 1.0, 1.001])) == pytest.approx(1.0005)


def test_kth_largest_counts_ties_one_by_one() -> None:
    values = np.array([3.0, 1.0, 3.0, 2.0])
    assert [kth_largest(values, order) for order in (1, 2, 3, 4)] == [3.0, 3.0, 2.0, 1.0]


@given(count=st.integers(1, 4000), share=st.floats(0, 1), confidence=st.sampled_from([0.9, 0.95, 0.99]))
@settings(max_examples=50)
def test_the_miss_rate_limit_is_that_of_scipy(count: int, share: float, confidence: float) -> None:
    misses = round(share * count)
    golden = stats.binomtest(misses, count, alternative="less").proportion_ci(confidence, method="exact").high
    assert miss_rate_upper(misses, count, confidence) == pytest.approx(golden, rel=1e-9)


def test_the_miss_rate_limit_in_known_cases() -> None:
    assert miss_rate_upper(0, 392, 0.95) == pytest.approx(0.0076, abs=5e-5)
    assert miss_rate_upper(0, 40, 0.95) == pytest.approx(0.072, abs=5e-4)
    assert miss_rate_upper(0, 0, 0.95) == 1.0
    assert miss_rate_upper(5, 5, 0.95) == 1.0
    with pytest.raises(ValueError, match="6 misses in 5"):
        miss_rate_upper(6, 5, 0.95)


def test_defects_needed_in_known_cases() -> None:
    assert defects_needed(0.001, 0.95) == 2995
    assert defects_needed(0.001, 0.95, misses=1) == 4742
    assert defects_needed(0.01, 0.95) == 299


@given(miss_rate=st.floats(0.002, 0.9), misses=st.integers(0, 5))
@settings(max_examples=30)
def test_defects_needed_is_the_smallest_number(miss_rate: float, misses: int) -> None:
    count = defects_needed(miss_rate, 0.95, misses)
    assert miss_rate_upper(misses, count, 0.95) <= miss_rate
    assert count - 1 <= misses or miss_rate_upper(misses, count - 1, 0.95) > miss_rate


def test_the_exceedance_interval_is_the_central_beta_interval() -> None:
    low, high = exceedance_interval(13, 199, 0.95)
    assert (low, high) == pytest.approx(stats.beta(13, 187).interval(0.95))
    assert probability_within(13, 199, low, high) == pytest.approx(0.95)


def test_the_exceedance_interval_holds_the_true_rate_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    low, high = exceedance_interval(6, 99, 0.95)
    thresholds = np.sort(rng.exponential(size=(4000, 99)), axis=1)[:, -6]
    rates = stats.expon.sf(thresholds)
    held = np.mean((low <= rates) & (rates <= high))
    assert abs(held - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 4000)


def test_images_for_budget_is_enough_and_not_far_more() -> None:
    count = images_for_budget(0.065, 0.05, 0.08, 0.95)
    assert count is not None
    law = stats.beta(0.065 * (count + 1), 0.935 * (count + 1))
    assert 0.95 <= law.cdf(0.08) - law.cdf(0.05) < 0.951
    assert images_for_budget(0.065, 0.065, 0.08, 0.95) is None
