"""The conditional Gaussian agrees with textbook computations and is honest on images it has not seen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from student_vae import LikelihoodConfig
from student_vae.fit import fit_likelihood
from student_vae.likelihood import FeatureLikelihood, enlarge
from wafer_data.errors import InputError

SMALL = LikelihoodConfig(
    latent=6,
    latent_grid=2,
    mean_grid=4,
    covariance_block=2,
    ridge=2.0,
    floor=0.05,
    folds=4,
    top_positions=0.1,
)


def structured_features(count: int, seed: int = 0, shared: int = 3) -> torch.Tensor:
    """Features (count, 5, 8, 8) whose images differ mostly along a few shared patterns."""
    rng = torch.Generator().manual_seed(seed)
    basis = shared_patterns(shared)
    weights = torch.randn(count, shared, generator=rng)
    return (
        1.0 + torch.einsum("nk,kdhw->ndhw", weights, basis) + 0.3 * torch.randn(count, 5, 8, 8, generator=rng)
    )


def shared_patterns(shared: int = 3) -> torch.Tensor:
    """Smooth patterns (shared, 5, 8, 8) that a 4x4 mean grid can hold."""
    coarse = torch.randn(shared, 5, 4, 4, generator=torch.Generator().manual_seed(99))
    return enlarge(coarse, 8)


def batches_of(features: torch.Tensor, size: int = 7):
    return lambda: iter(features.split(size))


def test_latent_is_the_whitened_principal_coordinates_of_pooled_features():
    features = structured_features(60)
    model = fit_likelihood(batches_of(features), SMALL)
    pooled = model.pool(features).numpy()
    reference = PCA(6, whiten=True).fit(pooled).transform(pooled) * np.sqrt(60 / 59)
    latent = model.encode(features).numpy()
    # principal directions are defined up to their sign
    np.testing.assert_allclose(np.abs(latent), np.abs(reference), rtol=2e-3, atol=2e-3)


def test_conditional_mean_is_ridge_regression_on_the_latent():
    config = SMALL.model_copy(update={"mean_grid": 8})
    features = structured_features(60)
    model = fit_likelihood(batches_of(features), config)
    latent = model.encode(features)
    reference = Ridge(alpha=config.ridge).fit(latent.numpy(), features.flatten(1).numpy())
    np.testing.assert_allclose(
        model.predict(latent).flatten(1).numpy(), reference.predict(latent.numpy()), rtol=1e-3, atol=1e-3
    )


def test_distance_is_the_mahalanobis_distance_under_the_block_covariance():
    model = FeatureLikelihood(5, 8, 3, 2, 4, 2, 0.1)
    rng = np.random.default_rng(0)
    blocks = [np.cov(rng.normal(size=(5, 50))) + 0.1 * np.eye(5) for _ in range(16)]
    factors = [np.linalg.inv(np.linalg.cholesky(b)) for b in blocks]
    model.whitening.copy_(torch.tensor(np.stack(factors), dtype=torch.float32))
    residual = torch.randn(2, 5, 8, 8, generator=torch.Generator().manual_seed(1))
    distance = model.distance(residual)
    for y, x in [(0, 0), (3, 5), (7, 7)]:
        block = blocks[(y // 2) * 4 + x // 2]
        expected = mahalanobis(residual[1, :, y, x].numpy(), np.zeros(5), np.linalg.inv(block))
        assert distance[1, y, x].item() == pytest.approx(expected, rel=1e-4)


def test_cross_fitted_distances_have_unit_scale_on_unseen_normals():
    """d^2 averages to the number of channels on images the fit has not seen; in-sample fits promise too much."""
    model = fit_likelihood(
        batches_of(structured_features(80)), SMALL.model_copy(update={"latent": 20, "floor": 1e-6})
    )
    unseen = model(structured_features(200, seed=5))
    assert unseen.map.square().mean().item() / 5 == pytest.approx(1.0, abs=0.1)


def test_a_local_change_raises_the_map_there_and_the_score():
    model = fit_likelihood(batches_of(structured_features(80)), SMALL)
    normal = structured_features(20, seed=6)
    odd = normal.clone()
    odd[:, :, 2:4, 6:8] += 2.0
    before, after = model(normal), model(odd)
    assert (after.score > before.score).all()
    assert (after.map.flatten(1).argmax(1) % 8 >= 6).float().mean() > 0.9


def test_a_shared_change_that_the_latent_explains_hardly_counts():
    model = fit_likelihood(batches_of(structured_features(120)), SMALL)
    normal = structured_features(20, seed=7)
    shifted = normal + 1.5 * shared_patterns()[0]
    without_latent = model.distance(shifted - model.mean).mean()
    assert model(shifted).map.mean() < 0.5 * without_latent


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 33), seed=st.integers(0, 5))
def test_fit_does_not_depend_on_how_images_are_batched(batch, seed):
    features = structured_features(33, seed=seed)
    one, other = (fit_likelihood(batches_of(features, b), SMALL) for b in (33, batch))
    scores = one(features).score, other(features).score
    torch.testing.assert_close(*scores, rtol=2e-3, atol=2e-3)


def test_latent_shrinks_to_what_few_images_can_carry():
    model = fit_likelihood(batches_of(structured_features(10)), SMALL.model_copy(update={"latent": 128}))
    assert model.latent <= 9
    assert torch.isfinite(model(structured_features(4, seed=3)).score).all()


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_images_are_refused(count):
    with pytest.raises(InputError, match="normal images"):
        fit_likelihood(batches_of(structured_features(8)[:count]) if count else lambda: iter(()), SMALL)


def test_features_that_are_not_finite_are_refused():
    features = structured_features(20)
    features[13, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="not finite"):
        fit_likelihood(batches_of(features), SMALL)
