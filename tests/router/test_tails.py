"""Tail probabilities without scipy are those of scipy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from router.tails import kolmogorov, t_two_sided


@given(st.floats(-60, 60), st.floats(1, 500))
def test_students_t(t: float, freedom: float):
    assert t_two_sided(t, freedom) == pytest.approx(2 * stats.t.sf(abs(t), freedom), rel=1e-6, abs=1e-300)


@given(st.floats(0.0, 1.0), st.integers(30, 5000))
def test_kolmogorov(d: float, n: int):
    expected = stats.kstwo.sf(d, n)
    assert kolmogorov(d, n) == pytest.approx(expected, abs=0.03)
    if expected < 0.1:  # where anything is decided
        assert kolmogorov(d, n) == pytest.approx(expected, abs=0.003)


def test_no_freedom_is_refused():
    with pytest.raises(ValueError, match="freedom"):
        t_two_sided(1.0, 0)
