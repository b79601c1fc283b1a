"""Tail probabilities without scipy are those of scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from router.tails import kolmogorov, kolmogorov_each, t_two_sided


@given(st.floats(0.0, 1.0), st.integers(30, 5000))
def test_kolmogorov(d: float, n: int):
    expected = stats.kstwo.sf(d, n)
    assert kolmogorov(d, n) == pytest.approx(expected, abs=0.03)
    if expected < 0.1:  # where anything is decided
        assert kolmogorov(d, n) == pytest.approx(expected, abs=0.003)


def test_many_at_once():
    rng = np.random.default_rng(0)
    t = np.concatenate([rng.normal(0, 8, 200), [0.0, 1e-9, 60.0, 1e200, np.inf, np.nan]])
    freedom = rng.uniform(1, 300, t.shape)
    found = t_two_sided(t, freedom)
    np.testing.assert_allclose(found[:-3], 2 * stats.t.sf(np.abs(t[:-3]), freedom[:-3]), rtol=1e-6)
    assert (found[-2], found[-1]) == (0.0, 1.0)
    assert found[-3] < 1e-100
    d, n = rng.uniform(0, 0.6, 50), rng.uniform(5, 500, 50)
    np.testing.assert_allclose(
        kolmogorov_each(d, n), [kolmogorov(*one) for one in zip(d, n, strict=True)], atol=1e-9
    )
    with pytest.raises(ValueError, match="freedom"):
        t_two_sided(np.ones(1), np.zeros(1))
