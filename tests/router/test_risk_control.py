"""Certified steps by MAPIE, and what costs choose among them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.bounds import miss_rate_upper
from router.config import RouterCosts
from router.risk_control import certified_steps, cheapest_reject_order, cheapest_step
from router.thresholds import ThresholdPath


@settings(max_examples=40, deadline=None)
@given(
    misses=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    defects=st.integers(60, 3000),
    max_fnr=st.sampled_from([0.001, 0.01, 0.05, 0.2]),
)
def test_a_step_is_certified_while_its_exact_limit_keeps_the_promise(
    misses: list[int], defects: int, max_fnr: float
) -> None:
    kept = [miss_rate_upper(number, defects, 0.95) <= max_fnr for number in misses]
    expected = kept.index(False) if False in kept else len(kept)
    assert certified_steps(np.array(misses), defects, max_fnr, 0.95) == expected


def test_known_samples() -> None:
    assert certified_steps(np.array([0, 0, 1]), 299, 0.01, 0.95) == 2
    assert certified_steps(np.array([0]), 298, 0.01, 0.95) == 0
    assert certified_steps(np.array([1, 2]), 4742, 0.001, 0.95) == 1
    assert certified_steps(np.array([40, 40]), 40, 0.9, 0.95) == 0


def path(escalation: list[int], flags: list[int]) -> ThresholdPath:
    steps = np.arange(len(escalation), dtype=float)
    return ThresholdPath(steps, steps, np.array(escalation), np.array(flags))


def test_escalation_comes_as_near_its_target_as_is_certified() -> None:
    found = path([16, 15, 14, 13, 13, 13], [10, 10, 9, 9, 8, 7])
    misses = np.array([0, 0, 0, 0, 0, 2])
    assert cheapest_step(found, 2, misses, 100, 199, RouterCosts()) == 1
    assert cheapest_step(found, 6, misses, 100, 199, RouterCosts()) == 3


def test_steps_that_miss_equally_many_are_stood_for_by_the_safest() -> None:
    found = path([13] * 4, [9, 8, 7, 6])
    dear = RouterCosts(review_usd=1000.0, escape_usd=0.0)
    assert cheapest_step(found, 4, np.array([0, 0, 1, 1]), 100, 199, dear) == 2
    assert cheapest_step(found, 4, np.array([1, 1, 1, 1]), 100, 199, dear) == 0


def test_the_cost_of_escapes_against_that_of_reviews() -> None:
    found, misses = path([13] * 2, [10, 1]), np.array([0, 1])
    # One more escape: 0.01 * 12 000 / 100 = 1.20 USD an image; nine fewer reviews: 0.99 * 9 / 200 = 0.04 of one.
    assert cheapest_step(found, 2, misses, 100, 199, RouterCosts(review_usd=20.0)) == 0
    assert cheapest_step(found, 2, misses, 100, 199, RouterCosts(review_usd=40.0)) == 1


@pytest.mark.parametrize(
    ("false_reject", "review", "share", "chosen"),
    [(18_000.0, 5.0, 0.01, 0), (18_000.0, 5.0, 0.9, 0), (20.0, 50.0, 0.01, 2), (100.0, 50.0, 0.5, 1)],
)
def test_rejecting_pays_where_a_false_one_is_cheap(
    false_reject: float, review: float, share: float, chosen: int
) -> None:
    costs = RouterCosts(false_reject_usd=false_reject, review_usd=review, defect_share=share)
    # The second order rejects two normals in 100 and hardly more defects than the first.
    assert cheapest_reject_order(99, np.array([0.0, 0.9, 0.905]), costs) == chosen
