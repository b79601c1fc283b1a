"""The conditional Gaussian agrees with textbook computations, and combines its levels as it says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.ndimage import convolve
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from likelihood import LevelConfig, LikelihoodConfig
from likelihood.fit import fit_likelihood
from likelihood.level import ENCODER, FIRST, OWN, smoothed
from likelihood.model import FARTHEST, UNIT, FeatureLikelihood, positive
from tests.likelihood.synthetic import (
    CHANNELS,
    COARSE,
    FINE,
    SIDE,
    SMALL,
    batches_of,
    normal_features,
    shared_patterns,
    standard,
    with_values,
)

TWO_LEVELS = with_values(levels=[COARSE, FINE])


def fitted(config: LikelihoodConfig = SMALL, images: int = 80) -> FeatureLikelihood:
    return fit_likelihood(batches_of(normal_features(images)), config)


class TestLatent:
    def test_is_the_whitened_principal_coordinates_of_pooled_features(self):
        features, model = normal_features(60), fitted(images=60)
        pooled = model.pool(features).numpy()
        reference = PCA(6, whiten=True).fit(pooled).transform(pooled) * np.sqrt(60 / 59)
        # principal directions are defined up to their sign
        np.testing.assert_allclose(np.abs(model.encode(features)), np.abs(reference), rtol=2e-3, atol=2e-3)

    def test_looks_at_the_first_directions_only(self):
        model = fitted(with_values(latent_directions=2))
        features = normal_features(4, seed=1)
        changed = features.clone()
        changed[:, 2:] += 5.0
        assert torch.equal(model.encode(features), model.encode(changed))
        assert model.pool(features).shape == (4, 2 * 2 * 2)

    def test_is_the_first_of_the_coordinates(self):
        """The conditional mean may use more of them; what is reported, and decoded, keeps its size."""
        wide, narrow = fitted(with_values(latent=2, extra_coordinates=3)), fitted(with_values(latent=2))
        features = normal_features(4, seed=1)
        assert (wide.latent, wide.coordinates) == (2, 5)
        torch.testing.assert_close(wide(features).latent, narrow(features).latent)
        torch.testing.assert_close(wide.encode(features)[:, :2], wide(features).latent)

    def test_further_coordinates_score_as_a_larger_latent(self):
        features = normal_features(4, seed=1)
        wide, large = fitted(with_values(latent=2, extra_coordinates=4)), fitted(with_values(latent=6))
        torch.testing.assert_close(wide(features).score, large(features).score)

    def test_is_about_standard_normal_on_unseen_normals(self):
        latent = fitted(with_values(latent=3), images=200).encode(normal_features(400, seed=1))
        torch.testing.assert_close(latent.mean(0), torch.zeros(3), rtol=0, atol=0.25)
        torch.testing.assert_close(latent.std(0), torch.ones(3), rtol=0.2, atol=0)


class TestConditionalMean:
    @pytest.mark.parametrize(
        ("latent_grid", "latent_directions", "level", "source"),
        [
            (2, None, LevelConfig(grid=8, mean_grid=8), OWN),
            (4, None, LevelConfig(grid=4, mean_grid=4, directions=2), OWN),
            (4, None, LevelConfig(grid=4, mean_grid=4), ENCODER),
            (4, 3, LevelConfig(grid=4, mean_grid=4, directions=3), ENCODER),
        ],
    )
    def test_is_ridge_regression_on_the_latent(self, latent_grid, latent_directions, level, source):
        config = with_values(latent_grid=latent_grid, latent_directions=latent_directions, levels=[level])
        features, model = normal_features(60), fitted(config, images=60)
        (own,) = model.level_list
        assert own.mean_from == source
        latent, target = model.encode(features), own.average(features).flatten(1)
        reference = Ridge(alpha=config.ridge).fit(latent.numpy(), target.numpy()).predict(latent.numpy())
        ours = own.predict(own.explained(latent, model.encoder)).flatten(1).numpy()
        np.testing.assert_allclose(ours, reference, rtol=1e-3, atol=1e-3)

    @pytest.mark.parametrize(
        ("latent_grid", "levels", "sources"),
        [
            (4, [COARSE, FINE], [ENCODER, FIRST]),
            (2, [COARSE, FINE], [OWN, FIRST]),
            (2, [COARSE, LevelConfig(grid=2, mean_grid=2, directions=3)], [OWN, FIRST]),
            (2, [LevelConfig(grid=4, mean_grid=4, directions=2), FINE], [OWN, OWN]),
            (2, [COARSE, LevelConfig(grid=8, mean_grid=8)], [OWN, OWN]),
            (2, [FINE, COARSE], [OWN, OWN]),
        ],
    )
    def test_a_mean_that_follows_from_another_needs_no_numbers(
        self, monkeypatch, latent_grid, levels, sources
    ):
        """The regression on the encoder's own cells is the encoder turned round; that of an average, an average."""
        config = with_values(latent_grid=latent_grid, levels=levels)
        small = fitted(config)
        with monkeypatch.context() as patch:
            patch.setattr(FeatureLikelihood, "_mean_from", lambda *_: OWN)
            large = fitted(config)
        assert [level.mean_from for level in small.level_list] == sources
        assert small.parameter_count <= large.parameter_count - sum(source != OWN for source in sources)
        unseen = normal_features(20, seed=4)
        for one, other in zip(small(unseen), large(unseen), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-3)

    def test_a_mean_grid_smaller_than_the_level_has_its_own_numbers(self):
        level = LevelConfig(grid=8, mean_grid=4)
        model = FeatureLikelihood(with_values(latent_grid=8, levels=[level]), CHANNELS, SIDE, 4)
        assert model.level_list[0].mean_from == OWN


class TestScore:
    def test_a_local_change_raises_the_map_there_and_the_score(self):
        model = fitted()
        normal = normal_features(20, seed=6)
        odd = normal.clone()
        odd[:, :, 2:4, 6:8] += 2.0
        before, after = model(normal), model(odd)
        assert (after.score > before.score).all()
        assert (after.map.flatten(1).argmax(1) % 8 >= 6).float().mean() > 0.9

    def test_a_shared_change_that_the_latent_explains_hardly_counts(self):
        model = fitted(images=120)
        (level,) = model.level_list
        shifted = normal_features(20, seed=7) + 1.5 * shared_patterns()[0]
        without_latent = level.distance(level.whiten(shifted - level.mean)).mean()
        assert model(shifted).map.mean() < 0.5 * without_latent

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(-50, 500), min_size=2, max_size=2))
    def test_lies_between_the_mean_and_the_largest_of_the_levels(self, values):
        model = FeatureLikelihood(TWO_LEVELS, CHANNELS, SIDE, 2)
        model.level_centre.copy_(torch.tensor([1.0, 2.0]))
        model.level_spread.copy_(torch.tensor([0.5, 0.1]))
        raw = torch.tensor([values]) * model.level_spread + model.level_centre
        score = model.combine(raw).item()
        tolerance = 1e-3 * (1 + max(map(abs, values)))
        assert np.mean(values) - tolerance <= score <= max(values) + tolerance
        assert score >= max(values) - math.log(2) - tolerance  # no level is outvoted

    def test_of_one_level_is_that_levels_standardised(self):
        model = fitted()
        features = normal_features(5, seed=3)
        (level,) = model.level_list
        residuals = model.residuals(features, model.encode(features))
        raw = level.score(level.distance(level.whiten(residuals[0])))
        expected = (raw - model.level_centre) / model.level_spread
        torch.testing.assert_close(standard(model(features).score), expected, rtol=1e-3, atol=1e-3)

    def test_a_level_that_is_not_scored_is_in_the_map_only(self):
        shown = with_values(levels=[FINE, LevelConfig(grid=4, mean_grid=4, scored=False)])
        one, two = fitted(), fitted(shown)
        features = normal_features(6, seed=3)
        torch.testing.assert_close(one(features).score, two(features).score)
        assert (one(features).map - two(features).map).abs().max() > 0.01

    def test_far_beyond_all_normals_it_stays_finite(self):
        for factor in (1e3, 1e6, 1e12):
            scores = fitted(TWO_LEVELS)(normal_features(2, seed=3) * factor)
            assert torch.isfinite(scores.score).all() and torch.isfinite(scores.map).all()
            assert (scores.score > 1e30).all()

    @settings(deadline=None)
    @given(st.floats(-500, FARTHEST - 1), st.floats(0.01, 1))
    def test_is_positive_and_larger_the_more_anomalous(self, value, step):
        low, high = positive(torch.tensor([value, value + step], dtype=torch.float64))
        assert 0 < low < high
        assert low.log().item() == pytest.approx(UNIT * value, abs=1e-9)

    def test_of_an_ordinary_image_is_one(self):
        assert positive(torch.tensor(0.0)) == 1

    @settings(deadline=None)
    @given(st.floats(FARTHEST, 1e30))
    def test_beyond_the_farthest_nothing_is_told_apart(self, value):
        assert positive(torch.tensor(value)) == positive(torch.tensor(FARTHEST)) < torch.inf


class TestMap:
    @pytest.mark.parametrize("window", [1, 3, 5])
    def test_is_averaged_over_the_neighbours_there_are(self, window):
        heat = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
        kernel = np.ones((window, window))
        total = convolve(heat[0].numpy(), kernel, mode="constant")
        count = convolve(np.ones((8, 8)), kernel, mode="constant")
        np.testing.assert_allclose(smoothed(heat, window)[0].numpy(), total / count, rtol=1e-5)

    def test_has_the_side_of_the_finest_level_and_the_mean_of_all(self):
        model = fitted(TWO_LEVELS)
        features = normal_features(3, seed=3)
        residuals = model.residuals(features, model.encode(features))
        coarse, fine = (
            level.distance(level.whiten(r)) for level, r in zip(model.level_list, residuals, strict=True)
        )
        enlarged = torch.nn.functional.interpolate(coarse[:, None], scale_factor=2, mode="bilinear")[:, 0]
        torch.testing.assert_close(model(features).map, (enlarged + fine) / 2)


@pytest.mark.parametrize("prototypes", [0, 16])
def test_parameters_are_the_learned_numbers(prototypes):
    model = fitted(with_values(TWO_LEVELS, prototypes=prototypes))
    matrices = sum(level.whitening.shape[0] for level in model.level_list) + (prototypes > 0)
    triangles = matrices * CHANNELS * (CHANNELS - 1) // 2
    assert model.parameter_count == sum(buffer.numel() for buffer in model.buffers()) - triangles


class TestConfiguration:
    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"levels": []}, "at least 1 item"),
            ({"levels": [LevelConfig(scored=False)]}, "first level must be scored"),
            ({"map_smoothing": 4}, "map_smoothing=4 must be odd"),
            ({"floor": 0.0}, "greater than 0"),
            ({"contamination": 0.5}, "less than or equal to 0.3"),
        ],
    )
    def test_impossible_values_are_refused(self, wrong, words):
        with pytest.raises(ValidationError, match=words):
            with_values(**wrong)

    @pytest.mark.parametrize(
        ("map_size", "changes", "words"),
        [
            (12, {}, r"student\.map_size=12 .*student\.likelihood\.levels\[0\]\.grid=8"),
            (24, {"latent_grid": 16}, r"student\.map_size=24 .*student\.likelihood\.latent_grid=16"),
            (24, {"levels": [FINE, LevelConfig(grid=12, mean_grid=4)]}, "must divide the finest one, 12"),
        ],
    )
    def test_grids_that_do_not_fit_the_map_are_refused_by_name(self, map_size, changes, words):
        with pytest.raises(ValueError, match=words):
            with_values(**changes).check_map(map_size, "student")

    @pytest.mark.parametrize(
        ("level", "words"),
        [
            (LevelConfig(grid=32, mean_grid=16), r"levels\[0\]\.mean_grid=16 must divide 24"),
            (LevelConfig(grid=32, mean_grid=32, covariance_block=16), r"covariance_block=16 must divide 24"),
        ],
    )
    def test_a_level_cut_to_the_map_must_still_divide(self, level, words):
        with pytest.raises(ValueError, match=words):
            with_values(levels=[level]).check_map(24, "teacher")

    @given(st.sampled_from([8, 16, 32, 64]), st.data())
    @settings(deadline=None)
    def test_within_a_map_no_grid_is_finer_and_what_fits_stays(self, side, data):
        sizes = st.sampled_from([1, 2, 4, 8, 16, 32])
        grid = data.draw(sizes)
        mean, block = (min(grid, data.draw(sizes)) for _ in range(2))
        level = LevelConfig(grid=grid, mean_grid=mean, covariance_block=block, directions=3)
        config = with_values(latent_grid=data.draw(sizes), levels=[level])
        within = config.within(side)
        within.check_map(side, "student")
        if grid <= side and config.latent_grid <= side:
            assert within == config
        assert within.map_side <= side and within.within(side) == within

    @pytest.mark.parametrize(
        ("latent", "levels", "used"),
        [(2, (3, 1), 3), (4, (3, 1), 4), (2, (3, None), 9), (None, (1,), 9), (20, (1,), 9)],
    )
    def test_only_directions_that_somebody_looks_at_are_used(self, latent, levels, used):
        grids = [LevelConfig(directions=d) for d in levels]
        assert with_values(latent_directions=latent, levels=grids).channels_used(9) == used


@pytest.mark.parametrize(
    ("images", "copies", "latent", "extra"),
    [
        (1000, 1, 128, 32),
        (1000, 2, 128, 32),
        (1000, 4, 128, 192),
        (1000, 8, 128, 352),
        (200, 8, 128, 72),
        (200, 1, 128, 22),
        (40, 1, 30, 0),
        (1, 1, 1, 0),
    ],
)
def test_coordinates_follow_the_images_and_the_ways_round(images, copies, latent, extra):
    config = LikelihoodConfig(latent=128, extra_coordinates=32).for_images(images, copies)
    assert (config.latent, config.extra_coordinates) == (latent, extra)
