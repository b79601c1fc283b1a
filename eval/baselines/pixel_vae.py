"""The plain pixel VAE (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014).

Strided convolutions 32-64-128-256, linear heads to mean and log-variance, transposed convolutions back,
binary cross-entropy plus KL divergence. It reconstructs well and, because it also reconstructs defects,
detects badly: it is here to show that the decision must rest on more than pixel error. At 256 px and with 128
latents it has 26 007 041 parameters, listed layer by layer in `configs/reference_vae.yaml`.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from eval.baselines.base import checked, stacked
from eval.config import PixelVaeConfig
from eval.training_curve import EpochLosses
from student_vae.elbo import bernoulli_nll, kl_divergence, kl_weight, reparameterise
from training.batches import epoch_batches
from training.loop import Inputs, Part, Settings, Training, train
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


class _Elbo(nn.Module):
    """A VAE and its loss: bce + weight kl, in nats an image."""

    def __init__(self, model: PixelVae) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, noise: Tensor, weight: Tensor) -> dict[str, Tensor]:
        bce, kl = elbo_terms(self.model, images, noise)
        return {"loss": bce + weight * kl, "bce": bce, "kl": kl}


def _train(model: PixelVae, images: Tensor, config: PixelVaeConfig, seed: int) -> tuple[EpochLosses, ...]:
    """Minimise bce + w kl, w rising to `kl_weight`; the losses of each epoch."""
    rows = np.arange(len(images))

    def weight_at(step: int, steps: int) -> float:
        return kl_weight(step, steps, config.kl_annealing, config.kl_weight)

    def inputs(parts: list[Part]) -> Iterator[Inputs]:
        for part in parts:
            noise = torch.randn(len(part.rows), config.latent)
            yield images[part.rows], noise, torch.tensor(weight_at(part.step, part.steps))

    training = Training(
        title="training the pixel VAE",
        section="eval.pixel_vae",
        remedy="leave pixel_vae out of eval.baselines",
        task=_Elbo(model),
        inputs=inputs,
        steps_of=lambda epoch: epoch_batches(rows, config.batch_size, (seed, epoch)),
        settings=Settings.of(config),
    )
    history = train(training)
    per_epoch = len(training.steps_of(0))
    weights = (
        weight_at((epoch + 1) * per_epoch - 1, per_epoch * config.epochs) for epoch in range(len(history))
    )
    return tuple(
        EpochLosses(epoch, row["loss"], row["bce"], row["kl"], weight, row["learning_rate"])
        for epoch, (row, weight) in enumerate(zip(history, weights, strict=True))
    )
