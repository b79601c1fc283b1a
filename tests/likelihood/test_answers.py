"""Answers to further questions: what they add to the score and the heat map."""

import numpy as np
import pytest
import scipy.special
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from likelihood.answers import SOFTNESS, Answers, attach_answers, soft_maximum
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
    answers = Answers({"place": request.param, "context": 1.0 - request.param})
    attach_answers(fit.likelihood, answers, fit.normal_scores, features.split(30))
    return fit.likelihood


def test_unseen_normals_score_about_one_and_their_maps_are_about_one(likelihood):
    scores = likelihood(answered(400, seed=1))
    # the score is exp(0.1 x) of x standard deviations
    assert abs(10 * float(scores.score.log().mean())) < 0.5
    assert float(scores.map.log().mean()) == pytest.approx(0.0, abs=0.1)


def test_a_cell_that_only_the_answer_sees_raises_score_and_map_there(likelihood):
    plain = answered(40, seed=2)
    changed = plain.clone()
    changed[:, 0, 3, 5] = 16.0
    before, after = likelihood(plain), likelihood(changed)
    assert (after.score > before.score).all()
    assert (after.map[:, 3, 5] > 2 * before.map[:, 3, 5]).float().mean() > 0.9
    assert (after.map.flatten(1).argmax(1) == 3 * SIDE + 5).all(), "the highest cell stays where it is"
    others = torch.ones(SIDE, SIDE, dtype=torch.bool)
    others[1:6, 3:8] = False  # the map is half its mean over neighbours
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
    one = Answers(dict(zip(names, weights, strict=True)))
    other = Answers({name: factor * w for name, w in zip(names, weights, strict=True)})
    own, maps = torch.randn(5), torch.randn(5, len(weights) - 1, 6, 6)
    torch.testing.assert_close(one.combine(own, maps), other.combine(own, maps))


def test_centres_and_spreads_are_those_of_normal_images():
    rng = np.random.default_rng(0)
    own, asked = rng.normal(3.0, 2.0, 500), rng.normal([1.0, -2.0], [0.5, 4.0], (300, 2))
    answers = Answers({"place": 1.0, "context": 1.0, "painted": 1.0})
    answers.fit_scores(own, asked)
    np.testing.assert_allclose(answers.centre[1:], asked.mean(0), rtol=1e-5)
    np.testing.assert_allclose(answers.spread[1:], asked.std(0), rtol=1e-5)
    assert float(answers.centre[0]) == pytest.approx(np.arcsinh(own).mean(), rel=1e-5)


@given(arrays(np.float32, (2, 3, 4, 4), elements=st.floats(-20, 60, width=32)))
def test_the_soft_maximum_is_that_of_scipy_and_stays_below_the_largest_cell(cells):
    found = soft_maximum(torch.from_numpy(cells)).numpy()
    flat = cells.reshape(2, 3, -1).astype(float)
    expected = SOFTNESS * (scipy.special.logsumexp(flat / SOFTNESS, axis=2) - np.log(16))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert (found <= flat.max(2) + 1e-4).all()
    assert (found >= flat.max(2) - SOFTNESS * np.log(16) - 1e-4).all()


def test_one_cell_far_out_and_a_region_that_is_faintly_strange_both_count():
    plain = torch.randn(200, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    speck, region = plain.clone(), plain.clone()
    speck[:, 0, 5, 7] = 6.0
    region[:, 0, 4:14, 4:14] += 1.5
    limit = soft_maximum(plain).quantile(0.95)
    for changed in (speck, region):
        assert (soft_maximum(changed) > limit).float().mean() > 0.9
