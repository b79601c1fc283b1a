"""Baselines on small striped textures: they tell a texture they have not seen, and refuse what they cannot
judge.
"""

import numpy as np
import pytest

from eval.baselines import Baseline, fit_gabor_lbp_ocsvm, fit_pca, fit_pixel_vae
from eval.config import PixelVaeConfig
from eval.metrics import image_auroc
from wafer_data.errors import InputError


def stripes(count: int, seed: int, size: int = 64) -> np.ndarray:
    """Vertical stripes of one period with nearly one phase and a little noise, (count, 1, size, size) in [0,
    1].
    """
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 0.5, (count, 1, 1, 1))
    waves = 0.5 + 0.3 * np.sin(2 * np.pi * np.arange(size) / 8 + phase)
    return np.clip(waves + 0.02 * rng.standard_normal((count, 1, size, size)), 0, 1).astype(np.float32)


def with_particle(images: np.ndarray) -> np.ndarray:
    damaged = images.copy()
    damaged[:, :, 20:32, 24:36] = 0.95
    return damaged


SMALL_VAE = PixelVaeConfig(epochs=8, latent=4, learning_rate=2e-3, batch_size=8)
FITTERS = {
    "pca": lambda batches: fit_pca(batches, components=4, size=32),
    "gabor_lbp_ocsvm": lambda batches: fit_gabor_lbp_ocsvm(batches, size=64),
    "pixel_vae": lambda batches: fit_pixel_vae(batches, SMALL_VAE),
}


@pytest.fixture(scope="module", params=FITTERS)
def baseline(request: pytest.FixtureRequest) -> Baseline:
    return FITTERS[request.param]([stripes(20, 0), stripes(20, 1)])


def test_a_defect_scores_above_fresh_normals(baseline):
    normal = stripes(12, 2)
    scores, _ = baseline.scores(np.concatenate([normal, with_particle(stripes(12, 3))]))
    assert scores.shape == (24,)
    assert image_auroc(np.repeat([0, 1], 12), scores) > 0.95


@pytest.mark.parametrize("baseline", ["pca", "pixel_vae"], indirect=True)
def test_maps_point_at_the_defect(baseline):
    _, maps = baseline.scores(with_particle(stripes(3, 5)))
    scale = maps.shape[-1] / 64
    rows, columns = slice(int(20 * scale), int(32 * scale)), slice(int(24 * scale), int(36 * scale))
    assert (maps >= 0).all()
    assert maps[:, rows, columns].mean() > 2 * maps.mean()


def test_an_image_scores_the_same_alone_and_in_a_batch(baseline):
    images = stripes(3, 7)
    together, _ = baseline.scores(images)
    alone = np.concatenate([baseline.scores(image[None])[0] for image in images])
    np.testing.assert_allclose(alone, together, rtol=1e-4)


def test_it_says_how_large_it_is(baseline):
    assert baseline.parameter_count > 50
    assert baseline.input_size in (32, 64)


@pytest.mark.parametrize("bad", [np.zeros((2, 64, 64)), np.zeros((2, 2, 64, 64)), np.zeros((2, 1, 64, 32))])
def test_another_shape_is_an_error(baseline, bad):
    with pytest.raises(InputError, match=r"\(B, 1, S, S\)"):
        baseline.scores(bad)


def test_of_colour_it_sees_the_luminance(baseline):
    grey = stripes(2, 0)
    scores, _ = baseline.scores(np.repeat(grey, 3, axis=1))
    np.testing.assert_allclose(scores, baseline.scores(grey)[0], rtol=1e-3, atol=1e-3)


def test_values_that_are_not_finite_are_an_error(baseline):
    images = stripes(1, 0)
    images[0, 0, 3, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        baseline.scores(images)


@pytest.mark.parametrize("name", FITTERS)
def test_too_few_images_are_an_error_that_counts_them(name):
    for batches, count in (([], 0), ([stripes(1, 0)], 1)):
        with pytest.raises(InputError, match=f"there are {count}"):
            FITTERS[name](batches)


def test_pca_counts_its_parameters_and_keeps_no_more_directions_than_the_images_carry():
    assert fit_pca([stripes(5, 0)], components=50, size=16).parameter_count == (4 + 1) * 16 * 16


def test_pca_error_is_what_scikit_learn_reconstructs():
    from sklearn.decomposition import PCA

    train, test = stripes(12, 0, size=16), stripes(4, 1, size=16)
    pca = PCA(3, svd_solver="full").fit(train.reshape(12, -1))
    rows = test.reshape(4, -1)
    expected = ((rows - pca.inverse_transform(pca.transform(rows))) ** 2).mean(axis=1)
    np.testing.assert_allclose(fit_pca([train], components=3, size=16).scores(test)[0], expected, rtol=1e-3)


def test_pca_with_fewer_components_is_pca_fitted_with_fewer():
    train, test = stripes(30, 0, size=16), stripes(4, 1, size=16)
    fewer = fit_pca([train], components=12, size=16).with_components(3)
    alone = fit_pca([train], components=3, size=16)
    assert fewer.parameter_count == alone.parameter_count
    np.testing.assert_allclose(fewer.scores(test)[0], alone.scores(test)[0], rtol=1e-2)


def test_more_components_explain_more_of_every_image():
    pca, test = fit_pca([stripes(30, 0)], components=20, size=32), with_particle(stripes(6, 1))
    errors = [pca.with_components(count).scores(test)[0] for count in (1, 5, 20)]
    assert (errors[0] >= errors[1]).all() and (errors[1] >= errors[2]).all()


def test_images_smaller_than_a_baseline_looks_at_are_an_error():
    with pytest.raises(InputError, match="only 64 px"):
        fit_gabor_lbp_ocsvm([stripes(10, 0)], size=128)
