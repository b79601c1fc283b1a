"""Guarantees tested as guarantees: 2 000 calibrations from known laws, and how often the truth breaks the promise.

Both students' scores are independent given the image's label; the promises assume nothing about that.
"""

import numpy as np
import pytest
from scipy import stats

from router.bounds import exceedance_interval, exceedance_order
from router.risk_control import certified_steps
from tests.router.simulated import (
    BREAKABLE,
    CALIBRATIONS,
    CASES,
    CONFIG,
    DELTA,
    broken,
    calibrations,
    limit_broken,
    naive_steps,
    orders,
    rates,
)


def at_most(share: float, promised: float) -> bool:
    """Whether a share of the calibrations agrees with a probability of at most `promised`: 4 standard errors."""
    return share <= promised + 4 * np.sqrt(promised * (1 - promised) / CALIBRATIONS)


@pytest.mark.parametrize("name", CASES)
def test_the_asked_miss_rate_is_kept_by_every_certified_pair(name: str) -> None:
    certified, wrong = broken(name, certified_steps)
    assert at_most(wrong, DELTA)
    assert certified > 0.05 or name == "all missed"


@pytest.mark.parametrize("name", BREAKABLE)
def test_a_naive_threshold_breaks_the_asked_miss_rate(name: str) -> None:
    assert broken(name, naive_steps)[1] > 2 * DELTA


def test_the_test_is_not_idle_where_the_truth_lies_just_above_the_limit() -> None:
    rng = np.random.default_rng(0)
    misses = rng.binomial(200, 0.0501, size=(CALIBRATIONS, 1))
    wrong = np.mean([certified_steps(row, 200, 0.05, 0.95) > 0 for row in misses])
    assert wrong > 0.5 * DELTA
    assert at_most(wrong, DELTA)


@pytest.mark.parametrize("name", CASES)
def test_the_stated_limit_of_misses_holds_where_defects_choose_nothing(name: str) -> None:
    assert at_most(limit_broken(name), DELTA)


@pytest.mark.parametrize("name", CASES)
def test_escalation_and_flag_rate_keep_their_stated_mean_and_interval(name: str) -> None:
    normals = CASES[name].normals
    limits = CONFIG.escalation_budget[1], CONFIG.flag_rate
    for own, order, limit in zip(rates(name), orders(name), limits, strict=True):
        assert order / (normals + 1) <= limit
        assert own.mean() <= order / (normals + 1) + 4 * own.std() / np.sqrt(CALIBRATIONS)
        low, high = exceedance_interval(order, normals, 1 - DELTA)
        # Ties only lower a rate, and the certificate then states no lower end.
        outside = np.mean(own > high) if name == "ties" else np.mean((own < low) | (own > high))
        assert at_most(float(outside), DELTA)


@pytest.mark.parametrize("name", BREAKABLE)
def test_they_keep_the_path_s_limits_whatever_pair_the_defects_choose(name: str) -> None:
    case = CASES[name]
    # The worst choice of all: for each calibration the pair with the highest true rate.
    highest = np.array(
        [(case.escalated(one.path).max(), case.flagged(one.path).max()) for one in calibrations(name)]
    )
    for column, limit in enumerate((CONFIG.escalation_budget[1], CONFIG.flag_rate)):
        order = exceedance_order(case.normals, limit)
        own = highest[:, column]
        assert own.mean() <= order / (case.normals + 1) + 4 * own.std() / np.sqrt(CALIBRATIONS)
        assert at_most(float(np.mean(own > exceedance_interval(order, case.normals, 1 - DELTA)[1])), DELTA)


def test_a_plain_quantile_breaks_the_rates_that_ours_keep() -> None:
    rng = np.random.default_rng(3)
    naive = np.quantile(rng.normal(size=(CALIBRATIONS, 38)), 1 - 0.065, axis=1)
    rates = stats.norm.sf(naive)
    assert rates.mean() - 4 * rates.std() / np.sqrt(CALIBRATIONS) > 0.065
