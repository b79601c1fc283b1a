"""What streams borrow from each other is what they have in common, and no more."""

import numpy as np
import pytest
from scipy import special

from lifecycle.drift.moderated import digamma, fit_prior, inverse_trigamma, no_prior, trigamma


@pytest.mark.parametrize("x", [0.1, 0.5, 1.0, 3.7, 6.0, 50.0])
def test_the_special_functions_are_those_of_scipy(x: float):
    assert digamma(x) == pytest.approx(special.digamma(x), rel=1e-8)
    assert trigamma(x) == pytest.approx(special.polygamma(1, x), rel=1e-8)
    assert inverse_trigamma(trigamma(x)) == pytest.approx(x, rel=1e-6)


def variances(rng: np.random.Generator, streams: int, freedom: float, prior: float | None) -> np.ndarray:
    true = 4.0 * (prior / rng.chisquare(prior, streams) if prior else np.ones(streams))
    return np.array([[t * rng.chisquare(freedom) / freedom] for t in true])


def test_equal_spreads_lend_many_degrees_of_freedom():
    found = fit_prior(variances(np.random.default_rng(0), 400, 10, None), np.full((400, 1), 10.0))
    assert found.variance[0] == pytest.approx(4.0, rel=0.1)
    assert found.freedom[0] > 50


def test_the_prior_that_was_drawn_from_is_found():
    found = fit_prior(variances(np.random.default_rng(1), 4000, 10, 8.0), np.full((4000, 1), 10.0))
    assert found.variance[0] == pytest.approx(4.0, rel=0.1)
    assert found.freedom[0] == pytest.approx(8.0, rel=0.2)


def test_two_streams_lend_nothing_and_those_without_units_say_nothing():
    freedoms = np.array([[10.0, 10.0], [10.0, 10.0], [10.0, 0.0]])
    found = fit_prior(np.ones((3, 2)), freedoms)
    assert found.freedom[0] > 50
    shrunk, freedom = found.moderated(np.array([[2.0, 3.0]]), np.full((1, 2), 10.0))
    assert 1.0 < shrunk[0, 0] < 1.2
    assert (shrunk[0, 1], freedom[0, 1]) == (3.0, 10.0)
    assert no_prior(3).freedom.tolist() == [0.0] * 3
