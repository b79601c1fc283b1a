"""Images by fold: each once and in order, many together, and sums that do not depend on how many."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from likelihood import folds
from likelihood.fit import fit_folds
from likelihood.folds import TOGETHER, by_fold
from tests.likelihood.synthetic import COARSE, FINE, batches_of, normal_features, with_values

TWO_LEVELS = with_values(levels=[COARSE, FINE])


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 400), size=st.integers(1, 90), number=st.integers(2, 6), share=st.floats(0, 1))
def test_each_kept_image_comes_once_with_its_fold_and_place(count, size, number, share):
    features = torch.arange(count, dtype=torch.float32).reshape(-1, 1, 1, 1)
    kept = np.random.default_rng(count).random(count) < share
    found = [[] for _ in range(number)]
    for fold, places, part in by_fold(batches_of(features, size), number, kept):
        assert part.flatten().tolist() == places.tolist()
        found[fold].append(places)
    for fold, blocks in enumerate(found):
        expected = [place for place in range(count) if place % number == fold and kept[place]]
        assert [place for block in blocks for place in block.tolist()] == expected
        assert all(TOGETHER <= len(block) < TOGETHER + size for block in blocks[:-1])


def test_how_many_images_are_added_at_a_time_changes_a_fit_by_rounding_only(monkeypatch):
    features, fresh = normal_features(600), normal_features(40)
    together = fit_folds(batches_of(features, 64), TWO_LEVELS)
    monkeypatch.setattr(folds, "TOGETHER", 1)  # each batch by itself
    one_by_one = fit_folds(batches_of(features, 64), TWO_LEVELS)
    first, second = (fit.likelihood(fresh) for fit in (together, one_by_one))
    assert torch.allclose(first.score, second.score, rtol=1e-4)
    assert torch.allclose(first.map, second.map, rtol=1e-3, atol=1e-3)
    assert together.out_of_fold.scores == pytest.approx(one_by_one.out_of_fold.scores, rel=1e-4)
