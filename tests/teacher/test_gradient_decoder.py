"""The bottleneck decoder: it reconstructs normal features, not anomalous ones, and leaves images for the residuals."""

import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from teacher.gradient import (
    BottleneckDecoder,
    GradientConfig,
    fit_decoder,
    load_decoder,
    save_decoder,
)
from teacher.gradient.config import DecoderConfig
from teacher.gradient.decoder import rebuild_decoder
from teacher.gradient.decoder_fit import enlargement_of, loose_cosine
from training import loop
from training.checkpoints import save_checkpoint
from wafer_data.errors import InputError

IMAGES, CHANNELS, SIDE = 60, 6, 16


def synthetic_features(seed: int, count: int = IMAGES) -> torch.Tensor:
    """Smooth normal maps of unequal channel scales: few coarse factors, enlarged, plus a little noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 2, 2, generator=generator)
    mixing = torch.randn(CHANNELS, 3, generator=torch.Generator().manual_seed(99))
    maps = torch.einsum("bkhw,dk->bdhw", F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear"), mixing)
    maps = maps + 0.05 * torch.randn(maps.shape, generator=generator)
    return maps * torch.tensor([5.0, 3.0, 2.0, 1.0, 1.0, 0.5]).view(1, -1, 1, 1)


FEATURES = synthetic_features(0)


def configuration(**more) -> GradientConfig:
    decoder = {"epochs": 12, "batch_size": 8, "hidden": 32, "bottleneck_grid": 4, "learning_rate": 5e-3}
    return GradientConfig(method="decoder", decoder=DecoderConfig(**{"ema": 0.9, **decoder, **more}))


def fit(work, **more):
    return fit_decoder(lambda rows: FEATURES[rows], IMAGES, configuration(**more), work, key="synthetic")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A fitted decoder and the folder of its training."""
    work = tmp_path_factory.mktemp("decoder")
    return fit(work), work


@pytest.mark.parametrize(("side", "grid"), [(32, 8), (16, 16), (24, 8), (9, 4)])
def test_any_map_keeps_its_shape(side, grid):
    decoder = BottleneckDecoder(5, side, 16, grid).eval()
    assert decoder(torch.randn(2, 5, side, side)).shape == (2, 5, side, side)
    assert decoder.place.shape[-1] <= grid


def test_every_learned_number_is_counted():
    decoder = BottleneckDecoder(5, 16, 16, 8)
    assert decoder.parameter_count == sum(v.numel() for v in decoder.state_dict().values())


@torch.no_grad()
def test_normal_features_are_reconstructed_and_anomalous_ones_are_not(fitted):
    decoder = fitted[0].decoder
    normal = synthetic_features(1, 20)
    strange = normal.clone()
    patch = (slice(None), slice(None), slice(4, 8), slice(9, 13))
    strange[patch] += 1.5 * decoder.std * torch.randn(20, CHANNELS, 1, 1, generator=torch.manual_seed(3))

    def error(features):
        return ((features - decoder(features)) / decoder.std).square().mean(1)

    assert error(normal).mean() < 0.25  # a constant would leave 1
    inside = error(strange)[:, 4:8, 9:13].mean((1, 2))
    before = error(normal)[:, 4:8, 9:13].mean((1, 2))
    assert (inside > 2 * before).float().mean() > 0.9


def test_the_unseen_images_are_not_trained_on(tmp_path):
    asked: set[int] = set()

    def features_for(rows):
        assert (np.diff(rows) > 0).all()
        if torch.is_grad_enabled():  # training, not judging
            asked.update(rows.tolist())
        return FEATURES[rows]

    result = fit_decoder(features_for, IMAGES, configuration(epochs=1), tmp_path, key="synthetic")
    assert len(result.unseen) == 0.1 * IMAGES
    assert asked.isdisjoint(result.unseen.tolist())
    assert len(asked) == 49  # 54 less a tenth that decides when to stop


def test_residuals_come_in_order_and_on_the_scale_of_unseen_images(fitted):
    result, _ = fitted
    residuals = torch.cat(list(result.residuals(lambda rows: FEATURES[rows], batch_size=7)))
    plain = FEATURES - result.decoder(FEATURES)
    unseen = torch.zeros(IMAGES, dtype=torch.bool)
    unseen[torch.from_numpy(result.unseen)] = True
    torch.testing.assert_close(residuals[unseen], plain[unseen], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(residuals[~unseen], plain[~unseen] * result.enlargement, rtol=1e-4, atol=1e-4)
    assert (result.enlargement >= 1).all()


def test_residuals_of_seen_images_are_enlarged_to_what_unseen_ones_show():
    """A direction whose residuals are smaller on unseen images is left alone."""
    scale = torch.ones(40, 3, 1, 1)
    scale[30:] = torch.tensor([2.0, 1.0, 0.5]).view(1, 3, 1, 1)
    residuals = scale * torch.randn(40, 3, 32, 32, generator=torch.manual_seed(0))
    enlargement = enlargement_of(
        torch.zeros_like, lambda rows: residuals[rows], np.arange(30), np.arange(30, 40)
    )
    torch.testing.assert_close(enlargement.flatten(), torch.tensor([2.0, 1.0, 1.0]), rtol=0.03, atol=0.03)


def test_a_killed_training_goes_on_to_the_same_bits(fitted, tmp_path, monkeypatch):
    def save_and_die(folder, state):
        save_checkpoint(folder, state)
        if state.epochs_done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path)
    resumed = fit(tmp_path).decoder.state_dict()
    for name, value in fitted[0].decoder.state_dict().items():
        assert torch.equal(resumed[name], value), name


def test_the_loss_falls_and_the_best_epoch_is_kept(fitted):
    rows = list(csv.DictReader((fitted[1] / "decoder" / "losses.csv").open()))
    held_out = [float(row["held_out_loss"]) for row in rows]
    assert min(held_out) < 0.5 * held_out[0]
    decoder = fitted[0].decoder
    assert not decoder.training and not any(p.requires_grad for p in decoder.parameters())


def test_saved_and_loaded_it_is_the_same(fitted, tmp_path):
    save_decoder(fitted[0].decoder, tmp_path)
    again = load_decoder(tmp_path)
    assert torch.equal(again(FEATURES[:3]), fitted[0].decoder(FEATURES[:3]))
    rebuilt = rebuild_decoder(fitted[0].decoder.describe())
    rebuilt.load_state_dict(again.state_dict())
    assert torch.equal(rebuilt(FEATURES[:3]), again(FEATURES[:3]))


def test_a_decoder_of_another_schema_is_refused(fitted, tmp_path):
    save_decoder(fitted[0].decoder, tmp_path)
    path = tmp_path / "decoder.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 0'))
    with pytest.raises(InputError, match="schema 0, expected 1"):
        load_decoder(tmp_path)


def test_easy_positions_get_less_gradient_and_the_loss_stays_the_same():
    target = torch.randn(2, 4, 8, 8, generator=torch.manual_seed(0))
    noise = torch.rand(2, 1, 8, 8) * torch.randn(2, 4, 8, 8)

    def loss_and_gradient(share, factor):
        output = (target + noise).requires_grad_(True)
        loss = loose_cosine(output, target, share, factor).mean()
        loss.backward()
        return loss.item(), output.grad

    plain, full = loss_and_gradient(0.0, 0.1)
    loose, reduced = loss_and_gradient(0.5, 0.1)
    assert loose == pytest.approx(plain)
    ratio = (reduced / full).mean(1)
    assert ((ratio - 0.1).abs() < 1e-3).sum() == 64 and ((ratio - 1).abs() < 1e-3).sum() == 64
    distance = 1 - F.cosine_similarity(target + noise, target, dim=1)
    assert distance[ratio < 0.5].max() < distance[ratio > 0.5].min()


def test_too_few_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="4 training normals are too few"):
        fit_decoder(lambda rows: FEATURES[rows], 4, configuration(), tmp_path, key="synthetic")


def test_the_scale_of_the_features_does_not_matter(tmp_path):
    """Each direction is standardised, so a larger scale gives the same decoder in that scale."""
    fits = [
        fit_decoder(
            lambda rows, s=s: s * FEATURES[rows], IMAGES, configuration(epochs=1), tmp_path / str(s), key=""
        )
        for s in (1.0, 4.0)
    ]
    small, large = (fit.decoder for fit in fits)
    torch.testing.assert_close(4 * small(FEATURES[:3]), large(4 * FEATURES[:3]), rtol=1e-3, atol=1e-3)
