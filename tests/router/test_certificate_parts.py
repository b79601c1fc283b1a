"""What calibration images of few parts prove: intervals that hold although images of one part are alike."""

import numpy as np
import pytest
from scipy.stats import binomtest

from router.certificate_parts import effective_images, parts_statement


def test_where_every_image_is_a_part_of_its_own_it_is_the_exact_interval():
    hits = np.arange(200) % 20 == 0
    found = parts_statement({"flag": hits}, list(range(200)), 0.95)["flag"]
    exact = binomtest(10, 200).proportion_ci(0.95, method="exact")
    assert found["worth"] == pytest.approx(200, rel=0.01)
    assert found["interval"] == pytest.approx([exact.low, exact.high], rel=0.01)


def test_images_that_are_all_alike_within_a_part_are_worth_no_more_than_their_parts():
    parts = np.repeat(np.arange(20), 10)
    assert effective_images(parts < 4, parts.tolist(), 0.95) <= 20


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_without_a_hit_or_a_miss_a_part_counts_once(share):
    parts = [0, 0, 0, 1, 1, 2]
    found = parts_statement({"flag": np.full(6, share == 1.0)}, parts, 0.95)
    exact = binomtest(int(3 * share), 3).proportion_ci(0.95, method="exact")
    assert found["flag"]["interval"] == pytest.approx([exact.low, exact.high])
    assert (found["parts"], found["images"]) == (3, 6)


def test_parts_of_equal_shares_are_worth_less_than_their_images_for_their_small_number():
    hits, parts = np.tile([True, False, False, False], 8), np.repeat(np.arange(8), 4)
    assert 8 < effective_images(hits, parts.tolist(), 0.95) < 32


def test_one_part_says_nothing():
    with pytest.raises(ValueError, match="at least two"):
        effective_images(np.array([True, False]), [3, 3], 0.95)


def test_it_holds_as_often_as_it_says_where_the_exact_interval_of_images_does_not():
    """30 parts of 10 images whose rates of flagged images vary from part to part, 6 % on average."""
    rng = np.random.default_rng(0)
    parts, rounds = np.repeat(np.arange(30), 10), 400
    by_parts = by_images = 0
    for _ in range(rounds):
        hits = rng.random(300) < rng.beta(0.3, 4.7, 30)[parts]
        low, high = parts_statement({"flag": hits}, parts.tolist(), 0.95)["flag"]["interval"]
        by_parts += low <= 0.06 <= high
        naive = binomtest(int(hits.sum()), 300).proportion_ci(0.95, method="exact")
        by_images += naive.low <= 0.06 <= naive.high
    assert by_parts / rounds > 0.92
    assert by_images / rounds < 0.9
