"""Prototypes: distances against scipy's, what k-means must find, and independence of how cells arrive."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from likelihood import prototypes as module
from likelihood.fit import fit_likelihood
from likelihood.prototypes import CELLS_EACH, CellSample, Prototypes, fit_prototypes
from tests.likelihood.synthetic import batches_of, normal_features, with_spots, with_values

DIRECTIONS = 3


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kinds_of_cells(each: int = 200) -> torch.Tensor:
    """Four kinds of cells, far apart and alike within: (4 * each, 3)."""
    centres = torch.tensor([[0.0, 0, 0], [9, 0, 0], [0, 9, 0], [9, 9, 9]])
    return (centres[:, None] + 0.1 * random(4, each, DIRECTIONS)).reshape(-1, DIRECTIONS)


class TestDistance:
    def test_is_that_to_the_nearest_prototype_of_whitened_features(self):
        prototypes = Prototypes(DIRECTIONS, 7)
        for i, buffer in enumerate(prototypes.buffers()):
            buffer.copy_(random(*buffer.shape, seed=i))
        cells = random(2, DIRECTIONS, 4, 5, seed=9)
        rows = (cells.permute(0, 2, 3, 1) - prototypes.mean).double() @ prototypes.whitening.T.double()
        expected = KDTree(prototypes.centres.double().numpy()).query(rows.numpy())[0]
        np.testing.assert_allclose(prototypes(cells).numpy(), expected, rtol=1e-4, atol=1e-4)

    def test_of_a_cell_on_a_prototype_is_zero_not_the_root_of_a_rounding_error_below(self):
        prototypes = Prototypes(DIRECTIONS, 1)
        prototypes.centres.copy_(1e3 * random(1, DIRECTIONS))
        distance = prototypes(prototypes.centres[:, :, None, None])
        assert torch.isfinite(distance).all() and distance.item() < 1.0

    def test_parameters_are_the_learned_numbers(self):
        prototypes = Prototypes(DIRECTIONS, 7)
        assert prototypes.parameter_count == 3 + 6 + 7 * 3


class TestFit:
    def test_finds_the_kinds_there_are(self):
        cells = kinds_of_cells()
        found = fit_prototypes(cells, 4, floor=1e-3)
        kinds = cells.reshape(4, -1, DIRECTIONS).mean(1)
        # a kind's own mean lies next to a prototype, the middle between two kinds does not
        own = found.nearest(kinds.T[None])[0]
        between = found.nearest((kinds[:1] + kinds[1:2]).T[None] / 2)[0]
        assert (own < 0.5).all() and (between > 10).all()

    def test_cells_of_normal_images_have_a_mean_distance_of_one(self):
        cells = random(900, DIRECTIONS)
        found = fit_prototypes(cells, 16, floor=0.03)
        assert found.nearest(cells.T[None]).mean().item() == pytest.approx(1.0, abs=1e-4)

    @pytest.mark.parametrize(("cells", "count"), [(1, 1), (CELLS_EACH, 1), (10 * CELLS_EACH, 10), (5000, 64)])
    def test_few_cells_make_few_prototypes(self, cells, count):
        assert fit_prototypes(random(cells, DIRECTIONS), 64, floor=0.03).count == count

    def test_cells_that_never_vary_have_finite_distances(self):
        found = fit_prototypes(torch.ones(200, DIRECTIONS), 4, floor=0.03)
        assert torch.isfinite(found.nearest(random(1, DIRECTIONS, 5))).all()

    @settings(max_examples=10, deadline=None)
    @given(exponent=st.integers(-12, 12), seed=st.integers(0, 3))
    def test_does_not_depend_on_the_unit_of_the_features(self, exponent, seed):
        cells, unit = random(400, DIRECTIONS, seed=seed), 2.0**exponent
        plain, scaled = fit_prototypes(cells, 8, 0.03), fit_prototypes(unit * cells, 8, 0.03)
        fresh = random(1, DIRECTIONS, 50, seed=50)
        torch.testing.assert_close(scaled.nearest(unit * fresh), plain.nearest(fresh), rtol=1e-3, atol=1e-3)

    def test_gives_the_same_numbers_again(self):
        cells = random(3000, DIRECTIONS)
        one, other = (fit_prototypes(cells, 32, 0.03) for _ in range(2))
        assert torch.equal(one.centres, other.centres)


class TestSample:
    @settings(max_examples=20, deadline=None)
    @given(batch=st.integers(1, 13))
    def test_is_the_same_whatever_the_batches(self, batch):
        cells = random(12, DIRECTIONS, 2, 2)
        whole, parts = CellSample(np.arange(12)), CellSample(np.arange(12))
        whole.add(np.arange(12), cells)
        for places in np.array_split(np.arange(12)[::-1], -(-12 // batch)):
            parts.add(places, cells[places.copy()])
        assert torch.equal(whole.rows(), parts.rows())
        assert torch.equal(whole.rows(), cells.permute(0, 2, 3, 1).reshape(-1, DIRECTIONS))

    def test_keeps_few_images_of_many_and_none_that_was_left_out(self, monkeypatch):
        monkeypatch.setattr(module, "MOST_IMAGES", 5)
        places = np.arange(1, 40, 2)
        sample = CellSample(places)
        cells = torch.arange(40.0).reshape(40, 1, 1, 1)
        sample.add(np.arange(40), cells)
        kept = sample.rows().flatten().int().tolist()
        assert len(set(kept)) == 5 and set(kept) <= set(places.tolist())
        # drawn, not every n-th: copies of an image follow each other, and every way round must be met
        assert len(set(np.diff(kept))) > 1


class TestHeatMap:
    def test_a_likelihood_without_prototypes_draws_its_levels_alone(self):
        features = normal_features(60)
        plain = fit_likelihood(batches_of(features), with_values(prototypes=0))
        assert plain.prototypes is None and plain.prototype_count == 0

    def test_is_the_product_of_unexpected_and_never_seen(self):
        features, fresh = normal_features(60), normal_features(5, seed=3)
        plain, both = (
            fit_likelihood(batches_of(features), with_values(prototypes=count)) for count in (0, 32)
        )
        torch.testing.assert_close(both(fresh).map, plain(fresh).map * both.prototypes(fresh))

    def test_leaves_the_score_alone(self):
        features, fresh = normal_features(60), normal_features(5, seed=3)
        plain, both = (
            fit_likelihood(batches_of(features), with_values(prototypes=count))(fresh) for count in (0, 32)
        )
        assert torch.equal(plain.score, both.score)

    def test_a_spot_stands_out(self):
        model = fit_likelihood(batches_of(normal_features(120)), with_values(prototypes=32))
        fresh = normal_features(20, seed=3)
        spotted = with_spots(fresh, direction=2, strength=6.0)
        change = model(spotted).map - model(fresh).map
        touched = (spotted != fresh).any(1)
        assert change[touched].min() > 4 * change[~touched].abs().max()
