"""The intervals without scipy are those of scipy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from router.exact_binomial import interval, upper


@given(st.integers(1, 5000), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99, 0.999]))
def test_the_interval_is_that_of_scipy(trials: int, share: float, confidence: float):
    events = round(share * trials)
    expected = binomtest(events, trials).proportion_ci(confidence, method="exact")
    assert interval(events, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_392_defects_without_a_miss_bound_the_rate_by_0_76_percent():
    assert upper(0, 392) == pytest.approx(0.0076, abs=5e-5)


def test_no_trial_says_nothing():
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("events", "trials"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(events: int, trials: int):
    with pytest.raises(ValueError, match="events"):
        interval(events, trials)
