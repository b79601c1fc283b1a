"""One level: what it averages, what it expects of a latent, and its distance against textbook computations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import zoom
from scipy.spatial.distance import mahalanobis

from likelihood import LevelConfig
from likelihood.level import ENCODER, FIRST, OWN, FeatureLevel, enlarge

BLOCKS = st.sampled_from([1, 2, 4, 8])


def level_of(
    grid: int = 8,
    channels: int = 3,
    block: int = 1,
    mean_grid: int | None = None,
    directions: int | None = None,
    latent: int = 4,
    top_positions: float = 0.1,
    mean_from: str = OWN,
) -> FeatureLevel:
    config = LevelConfig(
        grid=grid, directions=directions, mean_grid=mean_grid or grid, covariance_block=block
    )
    return FeatureLevel(config, channels, latent, top_positions, mean_from)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestAverage:
    def test_takes_the_first_directions_and_the_mean_of_each_cell(self):
        features = random(2, 5, 8, 8)
        averaged = level_of(grid=4, channels=5, directions=3).average(features)
        expected = features[:, :3].reshape(2, 3, 4, 2, 4, 2).mean((3, 5))
        torch.testing.assert_close(averaged, expected)

    def test_leaves_features_of_its_own_grid_alone(self):
        features = random(2, 3, 8, 8)
        assert torch.equal(level_of().average(features), features)

    def test_more_directions_than_there_are_mean_all(self):
        assert level_of(channels=3, directions=512).channels == 3


class TestPrediction:
    def test_a_tied_level_predicts_what_an_untied_one_does_with_the_weight_written_out(self):
        tied, untied = level_of(mean_from=ENCODER, grid=4), level_of(grid=4)
        encoder, gain, latent = random(3 * 16, 4), random(4, seed=1), random(5, 4, seed=2)
        for level in (tied, untied):
            level.mean.copy_(random(3, 4, 4, seed=3))
        tied.gain.copy_(gain)
        untied.weight.copy_(torch.diag(gain) @ encoder.T)
        torch.testing.assert_close(tied.explained(latent, encoder), untied.explained(latent, encoder))

    def test_a_tied_level_holds_far_fewer_numbers(self):
        assert level_of(mean_from=ENCODER).parameter_count == level_of().parameter_count - 4 * 3 * 64 + 4

    def test_a_coarse_mean_is_bilinear_in_between(self):
        level = level_of(mean_grid=4)
        level.weight.copy_(random(4, 3 * 16))
        latent = random(2, 4, seed=1)
        coarse = (latent @ level.weight).reshape(2, 3, 4, 4).numpy()
        expected = zoom(coarse, (1, 1, 2, 2), order=1, mode="nearest", grid_mode=True)
        predicted = level.predict(level.explained(latent, torch.empty(0)))
        np.testing.assert_allclose(predicted.numpy(), expected, rtol=1e-5, atol=1e-6)

    def test_at_the_latent_zero_it_is_the_mean(self):
        level = level_of(mean_grid=2)
        level.weight.copy_(random(4, 3 * 4))
        level.mean.copy_(random(3, 8, 8, seed=1))
        explained = level.explained(torch.zeros(1, 4), torch.empty(0))
        assert torch.equal(level.predict(explained)[0], level.mean)

    def test_what_follows_from_the_first_level_is_the_average_of_its_first_directions(self):
        first = random(2, 5, 8, 8)
        level = level_of(mean_from=FIRST, channels=3, mean_grid=4)
        explained = level.explained(torch.empty(0), torch.empty(0), first)
        torch.testing.assert_close(explained, first[:, :3].reshape(2, 3, 4, 2, 4, 2).mean((3, 5)))


class TestDistance:
    def test_is_the_mahalanobis_distance_over_the_root_of_the_directions(self):
        level = level_of(channels=5, block=2)
        rng = np.random.default_rng(0)
        covariances = [np.cov(rng.normal(size=(5, 50))) + 0.1 * np.eye(5) for _ in range(16)]
        factors = [np.linalg.inv(np.linalg.cholesky(c)) for c in covariances]
        level.whitening.copy_(torch.tensor(np.stack(factors), dtype=torch.float32))
        residual = random(2, 5, 8, 8)
        distance = level.distance(level.whiten(residual))
        for y, x in [(0, 0), (3, 5), (7, 7), (6, 1)]:
            inverse = np.linalg.inv(covariances[(y // 2) * 4 + x // 2])
            expected = mahalanobis(residual[1, :, y, x].numpy(), np.zeros(5), inverse) / np.sqrt(5)
            assert distance[1, y, x].item() == pytest.approx(expected, rel=1e-4)

    @settings(max_examples=20, deadline=None)
    @given(block=BLOCKS, images=st.integers(1, 4), seed=st.integers(0, 99))
    def test_every_cell_is_whitened_with_the_matrix_of_its_block(self, block, images, seed):
        level = level_of(block=block)
        level.whitening.copy_(random(*level.whitening.shape, seed=seed))
        residual = random(images, 3, 8, 8, seed=seed + 1)
        per_cell = level.whitening.reshape(8 // block, 8 // block, 3, 3)
        per_cell = per_cell.repeat_interleave(block, 0).repeat_interleave(block, 1)
        expected = torch.einsum("yxij,njyx->niyx", per_cell, residual)
        torch.testing.assert_close(level.whiten(residual), expected, rtol=1e-4, atol=1e-5)

    @settings(max_examples=20, deadline=None)
    @given(block=BLOCKS, seed=st.integers(0, 99))
    def test_covariance_sums_over_images_and_the_cells_of_a_block(self, block, seed):
        residual = random(3, 3, 8, 8, seed=seed)
        g = 8 // block
        cells = residual.double().reshape(3, 3, g, block, g, block)
        expected = torch.einsum("niyaxb,njyaxb->yxij", cells, cells).reshape(g * g, 3, 3)
        torch.testing.assert_close(level_of(block=block).covariance(residual), expected)


class TestScore:
    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 999), share=st.floats(0.001, 1.0))
    def test_is_the_mean_of_the_top_k_cells(self, seed, share):
        level, distance = level_of(top_positions=share), random(3, 8, 8, seed=seed).abs()
        count = max(1, round(share * 64))
        expected = np.sort(distance.flatten(1).numpy())[:, -count:].mean(1)
        np.testing.assert_allclose(level.score(distance).numpy(), expected, rtol=1e-5)

    @settings(max_examples=50, deadline=None)
    @given(seed=st.integers(0, 999), share=st.floats(0.001, 1.0), cell=st.integers(0, 63))
    def test_never_falls_when_a_cell_becomes_more_anomalous(self, seed, share, cell):
        level, distance = level_of(top_positions=share), random(1, 8, 8, seed=seed).abs()
        stranger = distance.clone()
        stranger.view(-1)[cell] += 1.0
        assert level.score(stranger) >= level.score(distance)

    def test_does_not_ask_where_the_cells_are(self):
        level, distance = level_of(), random(1, 8, 8).abs()
        moved = distance.flatten()[torch.randperm(64, generator=torch.Generator().manual_seed(1))]
        torch.testing.assert_close(level.score(moved.reshape(1, 8, 8)), level.score(distance))


def test_enlarging_to_the_same_size_changes_nothing():
    grid = random(2, 3, 4, 4)
    assert enlarge(grid, 4) is grid
    torch.testing.assert_close(enlarge(torch.ones(1, 1, 4, 4), 16), torch.ones(1, 1, 16, 16))


@pytest.mark.parametrize("mean_from", [OWN, ENCODER, FIRST])
def test_parameters_are_the_learned_numbers(mean_from):
    """A whitening matrix is triangular: three of its nine numbers are always zero."""
    level = level_of(block=2, mean_from=mean_from, mean_grid=None if mean_from == ENCODER else 4)
    stored = sum(buffer.numel() for buffer in level.buffers())
    assert level.parameter_count == stored - 16 * 3


@pytest.mark.parametrize("wrong", [{"mean_grid": 3}, {"covariance_block": 3}, {"mean_grid": 16}])
def test_grids_that_do_not_divide_are_refused_by_name(wrong):
    with pytest.raises(ValidationError, match=f"{next(iter(wrong))}=.* must divide"):
        LevelConfig(**{"grid": 8, "mean_grid": 8, **wrong})
