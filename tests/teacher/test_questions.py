"""The questions beside the likelihood: each finds what it asks about, and the choice follows the evidence."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from teacher.questions.asked import HIGHEST, Questions, rebuild_questions
from teacher.questions.choice import auroc, choose
from teacher.questions.config import QuestionsConfig
from teacher.questions.context import ContextMoments, fit_context, surroundings
from teacher.questions.fit import fit_candidates, remember
from teacher.questions.painted import fit_painted
from teacher.questions.sample import Sample, kind_of
from teacher.questions.trial import try_questions
from wafer_data.synthetic import GENERATORS

D, SIDE = 6, 16


def smooth(count: int, seed: int) -> torch.Tensor:
    """Features (count, 6, 16, 16) that follow their surroundings, at a random phase: nothing is aligned."""
    rng = np.random.default_rng(seed)
    x = np.arange(SIDE) / SIDE * 2 * np.pi
    phase = rng.uniform(0, 2 * np.pi, (count, D, 2))
    waves = np.sin(x[None, None, :, None] + phase[..., :1, None]) + np.cos(x + phase[..., 1:, None])
    return torch.from_numpy((waves + 0.05 * rng.normal(size=waves.shape)).astype(np.float32))


def spotted(features: torch.Tensor, strength: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A 2 x 2 spot in every image, and the map of where (N, 16, 16)."""
    rng = np.random.default_rng(seed)
    changed, cover = features.clone(), torch.zeros(len(features), SIDE, SIDE)
    for image, where in zip(changed, cover, strict=True):
        y, x = rng.integers(1, SIDE - 3, 2)
        image[:3, y : y + 2, x : x + 2] += strength
        where[y : y + 2, x : x + 2] = 1.0
    return changed, cover


def a_sample(count: int = 60, strength: float = 1.5) -> Sample:
    normal = smooth(count, 1)
    painted, cover = spotted(normal, strength)
    kinds = np.array([kind_of(row, 0, 3) for row in range(count)])
    return Sample(normal.half(), np.arange(count), painted.half(), np.arange(count), cover, kinds, 3)


def fitted_context(features: torch.Tensor):
    moments = ContextMoments(D)
    for part in features.split(7):
        moments.add(part)
    return fit_context(moments, 0.01)


def test_surroundings_are_those_beside_a_cell_and_never_the_cell_itself():
    features = torch.zeros(1, 1, SIDE, SIDE)
    features[0, 0, 8, 8] = 9.0
    beside, upright, mean = surroundings(features)[0]
    assert beside[8, 8] == upright[8, 8] == 0
    assert beside[8, 5] == beside[8, 11] == upright[5, 8] == upright[11, 8] == 1.0
    torch.testing.assert_close(mean, torch.full((SIDE, SIDE), 9.0 / SIDE**2))


def test_the_context_regression_agrees_with_least_squares():
    features = smooth(40, 3)
    found = fitted_context(features)
    rows = (
        torch.cat([surroundings(features), features], 1)[:, :, ::2, ::2]
        .permute(0, 2, 3, 1)
        .reshape(-1, 4 * D)
    )
    x, y = rows[:, : 3 * D].double(), rows[:, 3 * D :].double()
    centred = x - x.mean(0)
    penalty = 0.01 * centred.var(0, unbiased=False).mean() * len(x) * torch.eye(3 * D, dtype=torch.float64)
    weight = torch.linalg.solve(centred.T @ centred + penalty, centred.T @ (y - y.mean(0)))
    torch.testing.assert_close(found.weight.double(), weight.T, atol=1e-4, rtol=1e-3)


def test_context_sees_a_spot_wherever_it_lies_and_moments_of_folds_add_up():
    features = smooth(60, 1)
    found = fitted_context(features)
    unseen = smooth(20, 2)
    changed, cover = spotted(unseen, 1.5)
    with torch.no_grad():
        distances = found(changed)
    assert roc_auc_score(cover.flatten() > 0, distances.flatten()) > 0.95
    parts = [ContextMoments(D) for _ in range(2)]
    for part, moments in zip(features.split(30), parts, strict=True):
        moments.add(part)
    again = fit_context(parts[0].combine(parts[1], +1).combine(parts[1], -1), 0.01)
    torch.testing.assert_close(again.weight, fitted_context(features[:30]).weight, atol=1e-5, rtol=1e-4)


def test_remembered_cells_are_at_no_distance_and_foreign_ones_far():
    cells = torch.randn(400, D, generator=torch.Generator().manual_seed(0))
    found = remember(cells, 20)
    assert float(found.nearest(cells[:20].T[None]).max()) < 1e-2
    assert float(found.nearest(cells[:20].T[None] + 50).min()) > 10


def test_the_painted_question_learns_what_was_painted_and_is_the_same_each_time():
    sample = a_sample()
    cells = sample.painted.float().permute(0, 2, 3, 1)
    normal = sample.normal.float().permute(0, 2, 3, 1).reshape(-1, D)
    parts = normal, cells[sample.cover == 0], cells[sample.cover > 0]
    one, two = (fit_painted(*parts, hidden=8, steps=60, noise=0.2, seed=4) for _ in range(2))
    torch.testing.assert_close(one.hidden.weight, two.hidden.weight, rtol=0, atol=0)
    unseen, cover = spotted(smooth(20, 9), 1.5, seed=9)
    with torch.no_grad():
        assert roc_auc_score(cover.flatten() > 0, one(unseen).flatten()) > 0.85


def test_kinds_of_defect_are_divided_among_the_folds():
    by_fold = [
        {kind_of(row, turn, 3) for row in range(fold, 300, 3) for turn in range(4)} for fold in range(3)
    ]
    assert set.union(*by_fold) == set(GENERATORS)
    assert sum(len(kinds) for kinds in by_fold) == len(GENERATORS)


@pytest.fixture(scope="module")
def trial():
    rng = np.random.default_rng(0)
    config = QuestionsConfig(directions=D, prototypes=64, hidden=8, steps=40)
    return try_questions(a_sample(), lambda features, places: rng.normal(size=len(features)), config, seed=0)


def test_a_place_bound_score_that_sees_nothing_is_not_asked(trial):
    assert "place" not in trial.choice.weights
    assert trial.weights["place"] == 0.0
    assert trial.choice.together > 0.9
    assert trial.record["tried"]["place"] < 0.65
    assert any("not asked" in sentence for sentence in trial.record["sentences"])


def test_answers_are_standard_on_unseen_normals_and_survive_a_rebuild(trial):
    features = smooth(20, 5)
    found = trial.questions(features)
    assert found.shape == (20, len(trial.questions.names), SIDE, SIDE)
    assert float(found.mean()) == pytest.approx(0.0, abs=1.0)
    assert float(found.max()) <= HIGHEST
    again = rebuild_questions(trial.questions.describe())
    again.load_state_dict(trial.questions.state_dict())
    torch.testing.assert_close(again(features), found)


def test_folds_do_not_see_their_own_images():
    """A question of remembered cells finds none of a fold's cells among those it remembers for that fold."""
    sample = a_sample(30)
    config = QuestionsConfig(ask=["nearest"], directions=D, prototypes=400)
    (candidate,) = fit_candidates(sample, config, 0).values()
    for fold, answer in enumerate(candidate.held_out):
        with torch.no_grad():
            own = answer(sample.normal[sample.normals_of(fold)].float())
        assert float(own.exp().min()) > 1e-2


def test_every_question_survives_a_rebuild():
    sample = a_sample(30)
    config = QuestionsConfig(directions=D, prototypes=20, hidden=4, steps=5)
    questions = Questions({name: c.whole for name, c in fit_candidates(sample, config, 0).items()}).eval()
    again = rebuild_questions(questions.describe())
    again.load_state_dict(questions.state_dict())
    assert again.names == config.ask
    torch.testing.assert_close(again(smooth(3, 8)), questions(smooth(3, 8)))


def scores(rng: np.random.Generator, shifts: dict[str, float], count: int = 200):
    return {name: (rng.normal(size=count), rng.normal(shift, 1.0, count)) for name, shift in shifts.items()}


KINDS = np.array(["stain", "scratch"] * 100)


def test_the_place_bound_likelihood_stands_alone_where_others_add_nothing():
    found = choose(
        scores(np.random.default_rng(0), {"place": 2.0, "context": 0.1, "painted": 0.0}), KINDS, 0.02, 0
    )
    assert found.weights == {"place": 1.0}
    assert found.support["place"] > 0.95


def test_questions_that_err_independently_are_asked_together():
    found = choose(
        scores(np.random.default_rng(0), {"place": 1.2, "context": 1.2, "painted": 0.0}), KINDS, 0.02, 0
    )
    assert set(found.weights) == {"place", "context"}
    assert found.together > max(found.tried.values())


def test_few_images_say_that_they_hardly_decide():
    rng = np.random.default_rng(3)
    found = choose(scores(rng, {"place": 1.0, "context": 1.05}, 20), KINDS[:20], 0.02, 0)
    assert any("hardly decide" in sentence for sentence in found.sentences())


def test_auroc_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    normal, other = rng.integers(0, 5, 30), rng.integers(1, 6, 40)
    assert auroc(normal, other) == pytest.approx(
        roc_auc_score(np.r_[np.zeros(30), np.ones(40)], np.r_[normal, other])
    )
