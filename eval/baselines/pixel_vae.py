"""The plain pixel VAE (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014).

Strided convolutions 32-64-128-256, linear heads to mean and log-variance, transposed convolutions back,
binary cross-entropy plus KL divergence. It reconstructs well and, because it also reconstructs defects,
detects badly: it is here to show that the decision must rest on more than pixel error.
"""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from eval.baselines.base import checked, stacked
from wafer_data.errors import InputError

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

    def __init__(self, model: PixelVae, size: int) -> None:
        self._model = model.eval()
        self.input_size = size
        self.parameter_count = sum(p.numel() for p in model.parameters())

    @torch.inference_mode()
    def scores(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores (B,) and maps (B, S, S) of images (B, 1, S, S) in [0, 1]."""
        pixels = torch.from_numpy(checked(images))[:, None]
        error = (torch.sigmoid(self._model.decode(self._model.encode(pixels)[0])) - pixels)[:, 0] ** 2
        return error.mean(dim=(1, 2)).numpy(), error.numpy()


def fit_pixel_vae(
    normals: Iterable[np.ndarray],
    epochs: int = 10,
    latent: int = 128,
    batch_size: int = 16,
    learning_rate: float = 1e-3,
    seed: int = 0,
) -> PixelVaeBaseline:
    """Train on batches of normal images (B, 1, S, S) in [0, 1], kept in memory. `InputError` for fewer than
    2.
    """
    images = torch.from_numpy(stacked((checked(batch) for batch in normals), minimum=2))[:, None]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = PixelVae(images.shape[-1], latent)
        optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
        for _ in range(epochs):
            for rows in torch.randperm(len(images)).split(batch_size):
                loss = negative_elbo(model, images[rows])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return PixelVaeBaseline(model, images.shape[-1])


def negative_elbo(model: PixelVae, images: Tensor) -> Tensor:
    """Binary cross-entropy plus KL(q(z | image) || N(0, I)), in nats an image, averaged over the batch."""
    mean, log_variance = model.encode(images)
    latent = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
    error = functional.binary_cross_entropy_with_logits(model.decode(latent), images, reduction="sum")
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
    return (error + divergence) / len(images)
