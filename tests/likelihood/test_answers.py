"""Answers to further questions: what they add to the score and the heat map."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from likelihood.answers import Answers, attach_answers
from likelihood.fit import fit_folds
from tests.likelihood.synthetic import SIDE, SMALL, normal_features


def answered(count: int, seed: int = 0) -> torch.Tensor:
    """Features (count, 1 + 5, 8, 8): one answer, a standard normal number a cell, before the directions."""
    answer = torch.randn(count, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(seed + 50))
    return torch.cat([answer, normal_features(count, seed)], 1)


@pytest.fixture(scope="module", params=[0.0, 0.4])
def likelihood(request):
    """Fitted to 120 images, and one answer beside it; its own score counts with weight 0 or 0.4."""
    features = answered(120)
    fit = fit_folds(lambda: features[:, 1:].split(30), SMALL)
    answers = Answers({"place": request.param, "context": 1.0 - request.param}, 0.05)
    attach_answers(fit.likelihood, answers, fit.normal_scores, features.split(30))
    return fit.likelihood


def test_unseen_normals_score_about_one_and_their_maps_are_about_one(likelihood):
    scores = likelihood(answered(80, seed=1))
    # the score is exp(0.1 x) of x standard deviations
    assert abs(10 * float(scores.score.log().mean())) < 0.5
    assert float(scores.map.log().mean()) == pytest.approx(0.0, abs=0.1)


def test_a_cell_that_only_the_answer_sees_raises_score_and_map_there(likelihood):
    plain = answered(40, seed=2)
    changed = plain.clone()
    changed[:, 0, 3, 5] = 8.0
    before, after = likelihood(plain), likelihood(changed)
    assert (after.score > before.score).all()
    assert (after.map[:, 3, 5] > 2 * before.map[:, 3, 5]).float().mean() > 0.9
    others = torch.ones(SIDE, SIDE, dtype=torch.bool)
    others[3, 5] = False
    torch.testing.assert_close(after.map[:, others], before.map[:, others])
    torch.testing.assert_close(after.latent, before.latent)


def test_directions_count_only_where_the_question_of_places_is_asked(likelihood):
    plain = answered(40, seed=3)
    changed = plain.clone()
    changed[:, 2, 4, 4] += 6.0
    risen = likelihood(changed).score > likelihood(plain).score
    assert risen.all() if likelihood.answers.asks_place else not risen.any()


@given(st.lists(st.floats(0.01, 10.0), min_size=2, max_size=4), st.floats(0.1, 100.0))
def test_only_the_proportion_of_weights_counts(weights, factor):
    names = ["place", "context", "nearest", "painted"][: len(weights)]
    one = Answers(dict(zip(names, weights, strict=True)), 0.1)
    other = Answers({name: factor * w for name, w in zip(names, weights, strict=True)}, 0.1)
    own, maps = torch.randn(5), torch.randn(5, len(weights) - 1, 6, 6)
    torch.testing.assert_close(one.combine(own, maps), other.combine(own, maps))


def test_centres_and_spreads_are_those_of_normal_images():
    rng = np.random.default_rng(0)
    own, asked = rng.normal(3.0, 2.0, 500), rng.normal([1.0, -2.0], [0.5, 4.0], (300, 2))
    answers = Answers({"place": 1.0, "context": 1.0, "painted": 1.0}, 0.01)
    answers.fit_scores(own, asked)
    np.testing.assert_allclose(answers.centre[1:], asked.mean(0), rtol=1e-5)
    np.testing.assert_allclose(answers.spread[1:], asked.std(0), rtol=1e-5)
    assert float(answers.centre[0]) == pytest.approx(np.arcsinh(own).mean(), rel=1e-5)


def test_a_small_map_is_scored_by_two_cells_at_least():
    maps = torch.zeros(1, 1, 4, 4)
    maps[0, 0, 0, 0] = 6.0
    assert float(Answers({"place": 0.0, "context": 1.0}, 0.01).image_scores(maps)) == 3.0
