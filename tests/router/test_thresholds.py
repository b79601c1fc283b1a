"""Pairs of thresholds: the order nearest the target, and a path on which nothing is ever safer than before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.bounds import nearest_order
from router.config import RouterConfig
from router.thresholds import fixed_path, single, target_order

counts = st.integers(19, 600)
seeds = st.integers(0, 2**32 - 1)


def scores(count: int, seed: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if ties:
        return rng.poisson(3, count).astype(float), rng.poisson(3, count).astype(float)
    return rng.normal(size=count), rng.normal(size=count)


@given(count=st.integers(1, 5000), target=st.floats(0.05, 0.08))
def test_the_order_is_the_one_nearest_the_target_inside_the_budget(count: int, target: float) -> None:
    order = nearest_order(count, target, 0.05, 0.08)
    shares = np.arange(1, count + 1) / (count + 1)
    inside = shares[(shares >= 0.05 - 1e-9) & (shares <= 0.08 + 1e-9)]
    if inside.size:
        distance = abs(order / (count + 1) - target)
        assert distance == pytest.approx(np.abs(inside - target).min(), abs=1e-8)
    else:
        assert order / (count + 1) <= 0.08 < (order + 1) / (count + 1)


def test_known_orders() -> None:
    assert target_order(152, RouterConfig()) == 10  # 10 / 153 = 6.54 %; 9 / 153 would be 5.9 %
    assert target_order(38, RouterConfig()) == 3
    assert nearest_order(20, 0.065, 0.05, 0.08) == 1  # neither 1 / 21 nor 2 / 21 lies inside
    assert nearest_order(10, 0.065, 0.05, 0.08) == 0


@settings(max_examples=60, deadline=None)
@given(count=counts, seed=seeds, ties=st.booleans())
def test_a_pair_flags_no_more_than_the_flag_rate_of_its_own_normals(
    count: int, seed: int, ties: bool
) -> None:
    z_lowres, blend = scores(count, seed, ties)
    pair = single(z_lowres, blend, target_order(count, RouterConfig()), RouterConfig())
    flagged = int(((z_lowres > pair.escalate_above) & (blend > pair.review_above)).sum())
    assert (flagged + 1) / (count + 1) <= 0.05 + 1e-9
    assert flagged < pair.flag_order[0] <= max(pair.escalation_order[0] - 1, 1)


@settings(max_examples=60, deadline=None)
@given(count=counts, seed=seeds, ties=st.booleans())
def test_on_the_path_every_step_flags_a_part_of_what_the_one_before_did(
    count: int, seed: int, ties: bool
) -> None:
    config = RouterConfig()
    path = fixed_path(*scores(count, seed, ties), config)
    assert (np.diff(path.escalate_above) >= 0).all()
    assert (np.diff(path.review_above) >= 0).all()
    assert (np.diff(path.escalation_order) <= 0).all()
    assert (np.diff(path.flag_order) <= 0).all()
    assert path.escalation_order[-1] == target_order(count, config)
    assert path.escalation_order[0] / (count + 1) <= config.escalation_budget[1] + 1e-9
    assert path.flag_order[0] / (count + 1) <= config.flag_rate + 1e-9
    others = scores(300, seed + 1, ties)
    assert (np.diff(path.misses(*others)) >= 0).all()


def test_the_path_starts_at_both_limits_and_ends_at_the_target_with_one_flag() -> None:
    path = fixed_path(*scores(199, 0, ties=False), RouterConfig())
    assert path.escalation_order.tolist()[:4] == [16, 15, 14, 13]
    assert path.flag_order[0] == 10
    assert path.flag_order[-1] == 1
    assert (path.escalation_order[3:] == 13).all()
