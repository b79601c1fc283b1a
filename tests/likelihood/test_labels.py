"""A few labelled defects help to find their type, and cost the other types nothing."""

import pytest
import torch

from likelihood.fit import fit_likelihood
from likelihood.labels import fit_with_labels
from tests.likelihood.synthetic import (
    COARSE,
    FINE,
    auroc,
    batches_of,
    normal_features,
    standard,
    with_spots,
    with_values,
)

CONFIG = with_values(levels=[COARSE, FINE])
NORMALS = normal_features(100)
FRESH = normal_features(200, seed=50)


def labelled_type(count: int, seed: int) -> torch.Tensor:
    """Synthetic: one direction is a little higher everywhere, which the latent explains in part."""
    changed = normal_features(count, seed)
    changed[:, 3] += 0.2
    return changed


def other_type(count: int, seed: int) -> torch.Tensor:
    """Synthetic: a spot in another direction."""
    return with_spots(normal_features(count, seed), direction=1, strength=2.0, seed=seed)


@pytest.fixture(scope="module")
def plain():
    return fit_with_labels(batches_of(NORMALS), [], CONFIG, seed=0).likelihood


@pytest.fixture(scope="module")
def taught():
    return fit_with_labels(
        batches_of(NORMALS), labelled_type(12, seed=60).split(5), CONFIG, seed=0
    ).likelihood


def test_without_labels_there_is_no_head(plain):
    assert plain.head is None
    same = fit_likelihood(batches_of(NORMALS), CONFIG)
    assert all(torch.equal(same.state_dict()[name], value) for name, value in plain.state_dict().items())


def test_the_labelled_type_is_found_more_often(plain, taught):
    defects = labelled_type(200, seed=70)
    before, after = (auroc(m(FRESH).score, m(defects).score) for m in (plain, taught))
    assert before < 0.85
    assert after > before + 0.1


def test_a_type_without_labels_loses_nothing(plain, taught):
    defects = other_type(200, seed=71)
    assert (taught(defects).score >= plain(defects).score).all()
    before, after = (auroc(m(FRESH).score, m(defects).score) for m in (plain, taught))
    assert before > 0.97
    assert after > before - 0.01


def test_map_latent_and_unlabelled_part_stay_as_they_were(plain, taught):
    for name, value in plain.state_dict().items():
        assert torch.equal(taught.state_dict()[name], value), name
    for one, other in zip(plain(FRESH)[1:], taught(FRESH)[1:], strict=True):
        assert torch.equal(one, other)


def test_half_of_the_normals_gain_nothing(plain, taught):
    """The regression is centred on unseen normals before it is cut off at zero."""
    added = taught(FRESH).score - plain(FRESH).score
    assert (added == 0).float().mean().item() == pytest.approx(0.5, abs=0.15)


def test_one_single_labelled_defect_is_enough(plain):
    defect = labelled_type(1, seed=61)
    model = fit_with_labels(batches_of(NORMALS), [defect], CONFIG, seed=0).likelihood
    assert model(defect).score > plain(defect).score


def test_batches_of_normals_and_defects_may_be_of_any_size(taught):
    other = fit_with_labels(batches_of(NORMALS, 100), [labelled_type(12, seed=60)], CONFIG, seed=0).likelihood
    torch.testing.assert_close(standard(other(FRESH).score), standard(taught(FRESH).score), rtol=0, atol=0.2)


def test_the_seed_is_of_the_heads_folds(taught):
    again, other = (
        fit_with_labels(batches_of(NORMALS), labelled_type(12, seed=60).split(5), CONFIG, seed=s).likelihood
        for s in (0, 1)
    )
    assert torch.equal(again(FRESH).score, taught(FRESH).score)
    assert not torch.equal(other(FRESH).score, taught(FRESH).score)
    torch.testing.assert_close(standard(other(FRESH).score), standard(taught(FRESH).score), rtol=0, atol=0.5)


def test_normals_that_a_robust_fit_leaves_out_do_not_argue_against_the_labels():
    """Unlabelled copies of the labelled type among the training normals would unteach the head."""
    spots = {"direction": 1, "strength": 6.0}
    labelled, fresh = (with_spots(normal_features(n, s), seed=s, **spots) for n, s in ((12, 60), (100, 72)))
    dirty = NORMALS.clone()
    dirty[4::20] = with_spots(dirty[4::20], **spots)
    clean = NORMALS[[i for i in range(100) if i % 20 != 4]]

    def added(normals: torch.Tensor, contamination: float) -> float:
        config = with_values(CONFIG, contamination=contamination)
        model = fit_with_labels(batches_of(normals), [labelled], config, seed=0).likelihood
        with_head = standard(model(fresh).score)
        model.head = None
        return (with_head - standard(model(fresh).score)).mean().item()

    robust, misled, best = added(dirty, 0.1), added(dirty, 0.0), added(clean, 0.0)
    assert misled < 0.7 * best  # otherwise the test shows nothing
    assert robust == pytest.approx(best, rel=0.1)
