"""Kappas are those of scikit-learn and of Fleiss' own example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from service.review.agreement import cohen, fleiss

# Fleiss 1971, table 1 as reproduced with kappa = 0.210 in many textbooks: 10 subjects, 14 raters, 5 categories
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("gdu"), st.sampled_from("gdu")), min_size=2, max_size=60))
def test_cohens_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]):
    found = cohen(pairs)
    first, second = zip(*pairs, strict=True)
    if found.value is None:
        assert len(set(first) | set(second)) == 1
    else:
        assert found.value == pytest.approx(cohen_kappa_score(first, second))


def test_fleiss_kappa_is_that_of_the_textbook():
    assert fleiss(FLEISS).value == pytest.approx(0.210, abs=5e-4)


def test_fleiss_of_two_is_close_to_cohen_of_two():
    rng = np.random.default_rng(0)
    pairs = [
        ("g" if rng.random() < 0.7 else "d",) * 2 if rng.random() < 0.8 else ("g", "d") for _ in range(400)
    ]
    counts = [[pair.count("g"), pair.count("d")] for pair in pairs]
    assert fleiss(counts).value == pytest.approx(cohen(pairs).value, abs=0.03)


def test_the_interval_narrows_with_more_images():
    rng = np.random.default_rng(1)

    def width(images: int) -> float:
        pairs = [
            tuple(rng.choice(["g", "d"], 2)) if rng.random() < 0.3 else ("g", "g") for _ in range(images)
        ]
        found = cohen(pairs)
        assert found.low <= found.value <= found.high
        return found.high - found.low

    assert width(1600) < 0.6 * width(200)


def test_nobody_says_nothing():
    assert cohen([]).value is None
    assert fleiss([[1, 0, 0]]).images == 0
