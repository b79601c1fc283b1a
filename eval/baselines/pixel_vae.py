"""The plain pixel VAE (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014).

Strided convolutions 32-64-128-256, linear heads to mean and log-variance, transposed convolutions back,
binary cross-entropy plus KL divergence. It reconstructs well and, because it also reconstructs defects,
detects badly: it is here to show that the decision must rest on more than pixel error. At 256 px and with 128
latents it has 26 007 041 parameters, listed layer by layer in `configs/reference_vae.yaml`.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from distill.batches import epoch_batches
from eval.baselines.base import checked, stacked
from eval.config import PixelVaeConfig
from eval.training_curve import EpochLosses
from student_vae.elbo import bernoulli_nll, kl_divergence, kl_weight, reparameterise
from student_vae.schedule import one_cycle
from wafer_data.errors import InputError
from wafer_data.progress import track

_WIDTHS = (1, 32, 64, 128, 256)


class PixelVae(nn.Module):
    """Images (B, 1, S, S) in [0, 1], S a multiple of 16, to reconstruction logits, mean and log-variance."""

    def __init__(self, size: int, latent: int) -> None:
        super().__init__()
        if size % 16:
            raise InputError(f"the pixel VAE halves the image four times: {size} px is not a multiple of 16")
        self._grid = size // 16
        flat = _WIDTHS[-1] * self._grid**2
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for narrow, wide in pairwise(_WIDTHS):
            down += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.ReLU()]
            up = [nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1), *up]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(flat, latent)
        self.log_variance = nn.Linear(flat, latent)
        self.expand = nn.Linear(latent, flat)
        self.decoder = nn.Sequential(*up)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | image), each (B, latent)."""
        hidden = self.encoder(images)
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, latent: Tensor) -> Tensor:
        """Logits (B, 1, S, S) of the reconstruction."""
        grid = self.expand(latent).reshape(len(latent), _WIDTHS[-1], self._grid, self._grid)
        return self.decoder(grid)


class PixelVaeBaseline:
    """Scores an image by the mean squared error of its reconstruction from the latent mean."""

    def __init__(self, model: PixelVae, size: int, losses: tuple[EpochLosses, ...] = ()) -> None:
        self._model = model.eval()
        self.input_size = size
        self.losses = losses
        self.parameter_count = sum(p.numel() for p in model.parameters())

    @torch.inference_mode()
    def scores(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (B,) and maps (B, S, S) of images (B, 1, S, S) in [0, 1]."""
        pixels = torch.from_numpy(checked(images))[:, None]
        error = (torch.sigmoid(self._model.decode(self._model.encode(pixels)[0])) - pixels)[:, 0] ** 2
        return error.mean(dim=(1, 2)).numpy(), error.numpy()


def fit_pixel_vae(
    normals: Iterable[np.ndarray], config: PixelVaeConfig | None = None, seed: int = 0
) -> PixelVaeBaseline:
    """Train on batches of normal images (B, 1, S, S) in [0, 1], kept in memory; on a GPU if there is one.

    Raises `InputError` for fewer than 2 images, or sides that are no multiple of 16.
    """
    config = config or PixelVaeConfig()
    images = torch.from_numpy(stacked((checked(batch) for batch in normals), minimum=2))[:, None]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PixelVae(images.shape[-1], config.latent).to(device)
        losses = _train(model, images, config, seed)
    return PixelVaeBaseline(model.cpu(), images.shape[-1], losses)


def elbo_terms(model: PixelVae, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Binary cross-entropy and KL(q(z | image) || N(0, I)) of each image, both (B,), in nats.

    Args:
        images: (B, 1, S, S) in [0, 1].
        noise: (B, latent), standard normal.
    """
    mean, log_variance = model.encode(images)
    logits = model.decode(reparameterise(mean, log_variance, noise))
    return bernoulli_nll(logits, images), kl_divergence(mean, log_variance)


def _train(model: PixelVae, images: Tensor, config: PixelVaeConfig, seed: int) -> tuple[EpochLosses, ...]:
    """Minimise bce + w kl, w rising to `kl_weight`; the losses of each epoch."""
    device = next(model.parameters()).device
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=1e-4)
    rows = np.arange(len(images))
    steps = config.epochs * len(epoch_batches(rows, config.batch_size, (seed, 0)))
    step, losses = 0, []
    for epoch in track(range(config.epochs), "training the pixel VAE"):
        sums = np.zeros(3)
        rate = weight = 0.0
        for batch in epoch_batches(rows, config.batch_size, (seed, epoch)):
            rate = one_cycle(step, steps, config.learning_rate)
            weight = kl_weight(step, steps, config.kl_annealing, config.kl_weight)
            for group in optimiser.param_groups:
                group["lr"] = rate
            noise = torch.randn(len(batch), config.latent).to(device)
            bce, kl = (term.sum() for term in elbo_terms(model, images[batch].to(device), noise))
            total = bce + weight * kl
            optimiser.zero_grad()
            (total / len(batch)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimiser.step()
            sums += (total.item(), bce.item(), kl.item())
            step += 1
        total_mean, bce_mean, kl_mean = (sums / len(images)).tolist()
        losses.append(EpochLosses(epoch, total_mean, bce_mean, kl_mean, weight, rate))
    return tuple(losses)
