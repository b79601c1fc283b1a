"""The gain is told from what lots do, and how far lots lie out is learned from the fab's own."""

import numpy as np
import pytest
from scipy import stats

from lifecycle.drift import lot_tails
from lifecycle.drift.gain import gain_weights
from lifecycle.drift.lot_tails import GAUSSIAN, of_means, tail_freedom
from lifecycle.drift.moderated import fit_prior
from lifecycle.drift.units import Units, moments_of

STEP = np.array([1.0, 1.0, 0.0])


def test_a_gain_is_measured_as_it_is_whatever_the_weights():
    rng = np.random.default_rng(0)
    weights = gain_weights(rng.normal(size=(500, 3)) * [0.02, 0.01, 0.1], 480)
    assert weights @ STEP == pytest.approx(1.0)
    assert weights[1] > weights[0] > 0  # contrast spreads less, so it says more


def test_what_lots_do_is_taken_out():
    rng = np.random.default_rng(1)
    film = rng.normal(0, 0.05, 800)  # thicker films are darker and sharper
    noise = rng.normal(0, 0.005, (800, 3))
    rows = noise + film[:, None] * [-1.0, 0.0, 2.0]
    weights = gain_weights(rows, 780)
    assert (rows @ weights).std() < 0.5 * (rows @ [0.5, 0.5, 0.0]).std()


def test_few_units_and_constant_figures_teach_nothing_odd():
    assert gain_weights(np.ones((5, 3)), 4).tolist() == [0.5, 0.5, 0.0]
    rng = np.random.default_rng(2)
    assert np.isfinite(gain_weights(rng.normal(size=(100, 3)) * [1, 0, 1], 90)).all()
    assert gain_weights(np.full((100, 3), np.nan), 90).tolist() == [0.5, 0.5, 0.0]


def freedom_of(rng: np.random.Generator, tails: float, streams: int = 200, each: int = 30) -> float:
    shape = streams * each, 1
    rows = rng.standard_t(tails, shape) if tails else rng.standard_normal(shape)
    units = Units(np.repeat(np.arange(streams), each), rows, np.ones(shape), np.zeros(shape))
    moments = moments_of(units, streams)
    prior = fit_prior(moments.variance, moments.units - 1)
    return float(tail_freedom(units, moments, prior)[0])


def test_heavy_tails_are_seen_and_gaussian_ones_are_not_taken_for_heavy():
    rng = np.random.default_rng(3)
    assert 4 < freedom_of(rng, 5.0) < 9
    assert freedom_of(rng, 0.0) > 50


def test_few_units_count_as_gaussian():
    assert freedom_of(np.random.default_rng(4), 5.0, streams=3, each=20) == GAUSSIAN


def test_means_have_lighter_tails_though_not_as_light_as_their_kurtosis_says():
    one, three = of_means(np.array([8.0]), np.array([[1.0], [3.0]]))[:, 0]
    assert one == 8.0
    assert 6 / (one - 4) / 3 < 6 / (three - 4) < 6 / (one - 4)


def test_the_table_is_scipys():
    expected = stats.t.ppf(0.995, lot_tails._FREEDOMS) / stats.t.ppf(0.75, lot_tails._FREEDOMS)
    np.testing.assert_allclose(lot_tails._RATIOS, expected, rtol=1e-4)
