"""The plain pixel VAE: its layers to the last parameter, its loss, its training, and what a run keeps of it."""

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eval.baselines import fit_pixel_vae
from eval.baselines.pixel_vae import PixelVae, elbo_terms
from eval.config import EvalConfig, PixelVaeConfig
from eval.report import evaluate_run
from eval.report.training import training_plot
from eval.training_curve import EpochLosses, to_csv
from wafer_data.errors import InputError

CONFIG = Path(__file__).parents[2] / "configs" / "reference_vae.yaml"
# The case study's numbers, in the order of the forward pass; the decoder mirrors the encoder.
LAYERS = [
    ("conv 1 -> 32", 320),
    ("conv 32 -> 64", 18_496),
    ("conv 64 -> 128", 73_856),
    ("conv 128 -> 256", 295_168),
    ("mu", 8_388_736),
    ("log sigma^2", 8_388_736),
    ("linear 128 -> 65 536", 8_454_144),
    ("transposed conv 256 -> 128", 295_040),
    ("transposed conv 128 -> 64", 73_792),
    ("transposed conv 64 -> 32", 18_464),
    ("transposed conv 32 -> 1", 289),
]
TOTAL = 26_007_041


@pytest.fixture(scope="module")
def full_size() -> PixelVae:
    with torch.device("meta"):  # counted, never computed with
        return PixelVae(size=256, latent=128)


def stripes(count: int, seed: int, size: int = 32) -> np.ndarray:
    rng = np.random.default_rng(seed)
    waves = 0.5 + 0.3 * np.sin(2 * np.pi * np.arange(size) / 8 + rng.uniform(0, 0.5, (count, 1, 1, 1)))
    return np.clip(waves + 0.02 * rng.standard_normal((count, 1, size, size)), 0, 1).astype(np.float32)


class TestLayers:
    def test_have_the_parameters_of_the_case_study_one_by_one(self, full_size):
        layers = [m for m in full_size.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.ConvTranspose2d)]
        counts = [sum(p.numel() for p in layer.parameters()) for layer in layers]
        assert counts == [count for _, count in LAYERS]

    def test_have_26_million_parameters_together_which_is_over_the_budget(self, full_size):
        total = sum(p.numel() for p in full_size.parameters())
        assert total == sum(count for _, count in LAYERS) == TOTAL > 15_000_000

    def test_lead_to_65536_numbers_before_the_latent_and_back_to_the_image(self, full_size):
        images = torch.zeros(2, 1, 256, 256, device="meta")
        assert full_size.encoder(images).shape == (2, 65_536)
        mean, log_variance = full_size.encode(images)
        assert mean.shape == log_variance.shape == (2, 128)
        assert full_size.decode(mean).shape == images.shape

    def test_are_listed_in_the_configuration_with_these_numbers(self):
        found = re.findall(r"^# .*?  ((?:\d{1,3} )*\d{1,3})$", CONFIG.read_text(), re.MULTILINE)
        assert [int(number.replace(" ", "")) for number in found] == [*(c for _, c in LAYERS), TOTAL]


class TestLoss:
    def test_of_an_untold_latent_is_the_cross_entropy_alone(self):
        model = PixelVae(size=16, latent=2)
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        # q(z) is the prior, so the divergence is 0; logits of 0 cost log 2 a pixel whatever the pixel is
        bce, kl = elbo_terms(model, torch.rand(3, 1, 16, 16), torch.randn(3, 2))
        assert bce.tolist() == pytest.approx([256 * np.log(2)] * 3, rel=1e-5)
        assert kl.tolist() == [0, 0, 0]

    def test_falls_in_training_while_the_weight_of_the_divergence_rises(self):
        config = PixelVaeConfig(epochs=6, latent=4, batch_size=8, learning_rate=2e-3)
        losses = fit_pixel_vae([stripes(40, 0)], config).losses
        assert [row.epoch for row in losses] == list(range(6))
        assert losses[-1].bce < 0.95 * losses[0].bce
        weights = [row.kl_weight for row in losses]
        assert weights == sorted(weights) and 0 < weights[0] < weights[-1] == 1.0
        assert losses[-1].total == pytest.approx(losses[-1].bce + losses[-1].kl, rel=1e-6)
        assert all(row.kl > 0 and np.isfinite(row.total) for row in losses)

    def test_is_the_same_again_with_the_same_seed(self):
        config = PixelVaeConfig(epochs=2, latent=2, batch_size=8)
        one, again, other = (fit_pixel_vae([stripes(12, 0)], config, seed).losses for seed in (0, 0, 1))
        assert one == again != other

    def test_gradients_are_clipped(self):
        frozen = PixelVaeConfig(epochs=2, latent=2, gradient_clip=1e-12)
        losses = fit_pixel_vae([stripes(12, 0)], frozen).losses
        # AdamW divides by the gradient's size + 1e-8, next to which the clipped gradient is nothing
        assert losses[1].bce == pytest.approx(losses[0].bce, rel=1e-3)


def test_sizes_it_cannot_halve_four_times_are_refused():
    with pytest.raises(InputError, match="multiple of 16"):
        PixelVae(size=40, latent=2)


def test_training_leaves_the_callers_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    fit_pixel_vae([stripes(4, 0, size=16)], PixelVaeConfig(epochs=1, latent=2))
    assert torch.equal(torch.rand(1), expected)


def test_a_curve_survives_the_csv_to_the_bit(tmp_path):
    curve = [EpochLosses(0, 0.1 + 0.2, 1e5 / 3, 2.0, 0.5, 1e-3)]
    row = next(csv.DictReader(to_csv(curve).splitlines()))
    assert {key: float(value) for key, value in row.items()} == vars(curve[0])


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_plot_draws_however_many_epochs(epochs):
    curve = [EpochLosses(e, 300.0 - e, 290.0 - e, 10.0, 1.0, 1e-3) for e in range(epochs)]
    assert 'aria-label="Losses of Pixel VAE"' in training_plot("pixel_vae", curve)


def test_a_run_keeps_and_draws_its_losses(tiny_data, tmp_path):
    shutil.copytree(tiny_data, tmp_path / "run" / "data")
    config = EvalConfig(
        baselines=["pixel_vae"],
        pixel_vae=PixelVaeConfig(epochs=2, latent=2, images=4),
        baseline_images=20,
        latency_runs=10,
        bootstrap=100,
        study_seconds=0,
    )
    report = evaluate_run(tmp_path / "run", config)
    assert report["models"]["pixel_vae"]["params"] > 500_000
    with (tmp_path / "run" / "report" / "pixel_vae_losses.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert all(float(row["total"]) >= float(row["bce"]) > 0 for row in rows)
    html = (tmp_path / "run" / "report" / "report.html").read_text(encoding="utf-8")
    assert "How Pixel VAE learned" in html and 'aria-label="Losses of Pixel VAE"' in html
