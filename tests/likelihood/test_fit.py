"""Fitting: honest on images it has not seen, the same however images are batched, and able to leave some out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from likelihood import LevelConfig, fit
from likelihood.fit import fit_folds, fit_likelihood, keep_ordinary
from tests.likelihood.synthetic import (
    COARSE,
    FINE,
    SIDE,
    SMALL,
    auroc,
    batches_of,
    normal_features,
    standard,
    with_spots,
    with_values,
)
from wafer_data.errors import InputError

TWO_LEVELS = with_values(levels=[COARSE, FINE])
NO_LATENT = 1e12
"""A ridge that leaves the latent no influence: residuals are what the plain mean leaves."""


class TestHonesty:
    @pytest.mark.parametrize("latent", [4, 20, 60])
    def test_distances_have_unit_mean_square_on_fresh_normals_however_large_the_latent(self, latent):
        """60 latent dimensions explain 80 training images nearly; in-sample residuals would promise far too much."""
        config = with_values(latent=latent, latent_grid=4, levels=[COARSE])
        seen = normal_features(80)
        model = fit_likelihood(batches_of(seen), config)
        assert model.latent == latent
        fresh, in_sample = (model(f).map.square().mean().item() for f in (normal_features(300, seed=5), seen))
        assert fresh == pytest.approx(1.0, abs=0.12)
        assert in_sample < {4: 0.9, 20: 0.6, 60: 0.2}[latent]

    def test_what_the_folds_say_of_training_images_is_what_fresh_normals_get(self):
        config = with_values(TWO_LEVELS, latent=20, latent_grid=4)
        seen = normal_features(100)
        fitted = fit_folds(batches_of(seen), config)
        model = fitted.likelihood
        fresh = standard(model(normal_features(300, seed=5)).score)
        out_of_fold = model.combine(torch.from_numpy(fitted.out_of_fold.scores))
        assert ks_2samp(out_of_fold, fresh).pvalue > 0.02
        assert ks_2samp(standard(model(seen).score), fresh).pvalue < 1e-10

    @pytest.mark.parametrize("config", [SMALL, TWO_LEVELS])
    def test_fresh_normals_have_a_mean_of_about_zero_and_a_spread_of_one(self, config):
        model = fit_likelihood(batches_of(normal_features(200)), config)
        fresh = standard(model(normal_features(300, seed=5)).score)
        assert fresh.mean().item() == pytest.approx(0.0, abs=0.4)
        assert fresh.std().item() == pytest.approx(1.0, abs=0.3)

    def test_level_scores_of_unseen_normals_set_centre_and_spread(self):
        fitted = fit_folds(batches_of(normal_features(60)), TWO_LEVELS)
        assert fitted.out_of_fold.scores.shape == (60, 2)
        np.testing.assert_allclose(
            fitted.likelihood.level_centre, fitted.out_of_fold.scores.mean(0), rtol=1e-4
        )
        np.testing.assert_allclose(
            fitted.likelihood.level_spread, fitted.out_of_fold.scores.std(0), rtol=1e-3
        )


class TestCovariance:
    @pytest.mark.parametrize(("images", "block"), [(12, 1), (12, 4), (200, 2)])
    def test_is_that_of_residuals_from_the_other_folds_drawn_towards_the_mean_of_all_blocks(
        self, images, block
    ):
        """Written out with numpy for a likelihood whose latent has no influence."""
        level = LevelConfig(grid=8, mean_grid=8, covariance_block=block)
        config = with_values(ridge=NO_LATENT, levels=[level])
        features = normal_features(images).double().numpy()
        fold = np.arange(images) % config.folds
        means = np.stack([features[fold != f].mean(0) for f in range(config.folds)])
        residual = features - means[fold]

        g, d = SIDE // block, features.shape[1]
        rows = (
            residual.reshape(images, d, g, block, g, block).transpose(2, 4, 0, 3, 5, 1).reshape(g * g, -1, d)
        )
        samples = rows.shape[1]
        own = np.einsum("bni,bnj->bij", rows, rows) / samples
        shrunk = (samples * own + d * own.mean(0)) / (samples + d)
        floored = shrunk + config.floor * np.trace(own.mean(0)) / d * np.eye(d)
        squares = np.einsum("bni,bij,bnj->bn", rows, np.linalg.inv(floored), rows) / d

        (fitted,) = fit_likelihood(batches_of(torch.from_numpy(features).float()), config).level_list
        precision = (fitted.whitening.mT @ fitted.whitening).double()
        torch.testing.assert_close(
            torch.linalg.inv(precision), torch.from_numpy(floored * squares.mean()), rtol=2e-3, atol=1e-4
        )

    def test_with_few_images_the_blocks_are_more_alike(self):
        """All blocks of this noise have one covariance; what differs between them is chance."""
        config = with_values(ridge=NO_LATENT, levels=[LevelConfig(grid=8, mean_grid=8)])
        noise = torch.randn(12, 5, 8, 8, generator=torch.Generator().manual_seed(0))
        (level,) = fit_likelihood(batches_of(noise), config).level_list
        found = torch.linalg.inv(level.whitening.mT @ level.whitening)
        raw = torch.stack([torch.cov(cell) for cell in noise.permute(2, 3, 1, 0).reshape(64, 5, 12)])
        assert (found - torch.eye(5)).square().mean() < 0.6 * (raw - torch.eye(5)).square().mean()

    def test_a_direction_that_never_varies_has_a_finite_distance(self):
        features = normal_features(40)
        features[:, 2] = 1.0
        model = fit_likelihood(batches_of(features), TWO_LEVELS)
        assert torch.isfinite(model(features).score).all()
        assert torch.isfinite(model(features + 1.0).score).all()


class TestIndependence:
    @settings(max_examples=15, deadline=None)
    @given(batch=st.integers(1, 33), seed=st.integers(0, 5))
    def test_of_how_images_are_batched(self, batch, seed):
        features, fresh = normal_features(33, seed=seed), normal_features(8, seed=77)
        one, other = (fit_likelihood(batches_of(features, size), TWO_LEVELS)(fresh) for size in (33, batch))
        torch.testing.assert_close(standard(one.score), standard(other.score), rtol=5e-3, atol=5e-3)
        torch.testing.assert_close(one.map, other.map, rtol=5e-3, atol=5e-3)

    @settings(max_examples=15, deadline=None)
    @given(exponent=st.floats(-3, 4), offset=st.floats(-3, 3))
    def test_of_the_unit_of_the_features(self, exponent, offset):
        """The floor is a share of the variance: features of any scale give the same scores and maps."""
        scale = 10.0**exponent
        features, fresh = normal_features(40), normal_features(8, seed=77)
        plain = fit_likelihood(batches_of(features), TWO_LEVELS)(fresh)
        scaled = fit_likelihood(batches_of(scale * (features + offset)), TWO_LEVELS)(scale * (fresh + offset))
        torch.testing.assert_close(standard(scaled.score), standard(plain.score), rtol=2e-2, atol=2e-2)
        torch.testing.assert_close(scaled.map, plain.map, rtol=2e-2, atol=2e-3)

    def test_of_the_precision_the_features_come_in(self):
        half = normal_features(40).half()
        one, other = (fit_likelihood(batches_of(f), TWO_LEVELS) for f in (half, half.double()))
        for name, buffer in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[name], buffer, rtol=1e-3, atol=1e-3)

    def test_unseen_scores_come_in_the_order_of_the_images(self):
        features = normal_features(30)
        features[17] += 30.0
        for size in (30, 4):
            out_of_fold = fit_folds(batches_of(features, size), SMALL).out_of_fold
            assert out_of_fold.scores[:, 0].argmax() == 17
            assert sorted(out_of_fold.described) == list(range(30))
            assert out_of_fold.described[out_of_fold.descriptions[:, 0].argmax()] == 17

    def test_descriptions_of_many_images_are_a_spread(self, monkeypatch):
        monkeypatch.setattr(fit, "MOST_DESCRIBED", 10)
        out_of_fold = fit_folds(batches_of(normal_features(44)), SMALL).out_of_fold
        assert sorted(out_of_fold.described) == list(range(0, 44, 5))
        assert out_of_fold.descriptions.shape == (9, 7 * 5)
        assert out_of_fold.scores.shape == (44, 1)


class TestFewImages:
    def test_the_latent_shrinks_to_what_they_can_carry(self):
        model = fit_likelihood(batches_of(normal_features(10)), with_values(latent=128))
        assert model.latent <= 9
        assert torch.isfinite(model(normal_features(4, seed=3)).score).all()

    @pytest.mark.parametrize("count", [0, 3, 7])
    def test_too_few_are_refused(self, count):
        batches = batches_of(normal_features(8)[:count]) if count else lambda: iter(())
        with pytest.raises(InputError, match="normal images"):
            fit_likelihood(batches, SMALL)

    def test_two_a_fold_are_enough(self):
        assert torch.isfinite(
            fit_likelihood(batches_of(normal_features(8)), SMALL)(normal_features(2)).score
        ).all()

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_features_that_are_not_finite_are_refused_with_their_place(self, value):
        features = normal_features(20)
        features[13, 0, 0, 0] = value
        with pytest.raises(InputError, match="images 7 to 13 are not finite"):
            fit_likelihood(batches_of(features), SMALL)


class TestKeepOrdinary:
    SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80)

    @settings(deadline=None)
    @given(SCORES, st.floats(0, 0.3))
    def test_never_leaves_out_more_than_its_share_and_only_the_highest_scoring(self, values, share):
        scores = np.array(values)
        kept = keep_ordinary(scores, share)
        assert (~kept).sum() <= share * len(scores)
        if not kept.all():
            assert scores[~kept].min() >= scores[kept].max()

    @settings(deadline=None)
    @given(st.integers(0, 99), st.floats(0, 0.3), st.integers(10, 300))
    def test_keeps_all_where_nothing_is_far_out(self, seed, share, count):
        scores = np.random.default_rng(seed).uniform(-1, 1, count)
        assert keep_ordinary(scores, share).all()

    @settings(deadline=None)
    @given(st.integers(0, 99), st.integers(1, 10))
    def test_leaves_out_what_is(self, seed, strange):
        scores = np.random.default_rng(seed).normal(size=100)
        places = np.random.default_rng(seed + 1).choice(100, strange, replace=False)
        scores[places] += 50
        assert set(np.flatnonzero(~keep_ordinary(scores, 0.1))) == set(places)

    def test_what_is_unusually_normal_stays(self):
        assert keep_ordinary(np.r_[-1e3, np.zeros(50), np.ones(49)], 0.1).all()


class TestContamination:
    """A twentieth of the training normals has spots of one type, at random places."""

    BAD = np.arange(7, 200, 20)

    @pytest.fixture(scope="class")
    def clean(self):
        return normal_features(200)

    @pytest.fixture(scope="class")
    def dirty(self, clean):
        changed = clean.clone()
        changed[self.BAD] = with_spots(clean[self.BAD], direction=1, strength=4.0)
        return changed

    @pytest.fixture(scope="class")
    def robust(self, dirty):
        return fit_folds(batches_of(dirty, 64), with_values(TWO_LEVELS, contamination=0.1))

    def test_a_robust_fit_leaves_them_out_and_hardly_anything_else(self, robust):
        left_out = set(np.flatnonzero(~robust.kept))
        assert left_out >= set(self.BAD)
        assert len(left_out) <= len(self.BAD) + 4

    def test_their_type_is_still_detected(self, clean, dirty, robust):
        normal = normal_features(150, seed=8)
        odd = with_spots(normal_features(150, seed=9), direction=1, strength=2.0, seed=3)
        models = [fit_likelihood(batches_of(f, 64), TWO_LEVELS) for f in (clean, dirty)] + [robust.likelihood]
        best, wrecked, ours = (auroc(m(normal).score, m(odd).score) for m in models)
        assert wrecked < best - 0.01  # otherwise the test shows nothing
        assert ours > best - 0.003

    def test_clean_images_stay(self, clean):
        plain, robust = (
            fit_folds(batches_of(clean, 64), with_values(TWO_LEVELS, contamination=share))
            for share in (0, 0.1)
        )
        assert plain.kept.all() and robust.kept.mean() > 0.98

    def test_scale_is_that_of_the_images_kept(self, robust):
        kept = robust.out_of_fold.scores[robust.kept]
        np.testing.assert_allclose(robust.likelihood.level_centre, kept.mean(0), rtol=1e-4)
        assert robust.likelihood.combine(torch.from_numpy(robust.out_of_fold.scores[self.BAD])).min() > 3
