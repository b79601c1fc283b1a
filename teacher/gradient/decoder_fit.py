"""Training the bottleneck decoder on features of normal images, some of which it never sees.

The residuals of images that a network was trained on are too small, and a covariance fitted to them too. So a share
of the training normals is kept from the training altogether (it does not even decide when to stop) and says how
much larger the residuals of unseen images are, a direction. `DecoderFit.residuals` enlarges those of the seen images
by that factor: their scale is then that of unseen images, and none of them is lost to the fit of what follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from teacher.gradient.config import DecoderConfig, GradientConfig
from teacher.gradient.decoder import BottleneckDecoder
from teacher.gradient.train import Adaptation, seeded, train
from training.batches import hold_out
from training.loop import Inputs, Part
from wafer_data.errors import InputError
from wafer_data.files import sha256_json

FeaturesFor = Callable[[np.ndarray], Tensor]
"""Given ascending indices of training normals, their features, (B, d, h, h)."""

STANDARDISED_ON = 200
"""At most this many training normals set the mean and the standard deviation of each direction."""


COMPARED_ON = 500
"""At most this many seen and as many unseen images set the factor between their residuals."""


@dataclass(frozen=True)
class DecoderFit:
    """A trained decoder and what it takes to fit a likelihood to its residuals.

    Attributes:
        decoder: Frozen, in evaluation mode, on the CPU.
        count: Number of training normals.
        unseen: Ascending indices of those that the decoder has not seen.
        enlargement: (1, d, 1, 1), >= 1, factor on the residuals of the others.
    """

    decoder: BottleneckDecoder
    count: int
    unseen: np.ndarray
    enlargement: Tensor

    @torch.no_grad()
    def residuals(self, features_for: FeaturesFor, batch_size: int = 64) -> Iterator[Tensor]:
        """Features - decoder(features) of all training normals in order, as those of unseen images would be."""
        for start in range(0, self.count, batch_size):
            rows = np.arange(start, min(start + batch_size, self.count))
            residual = _residual(self.decoder, features_for, rows)
            seen = torch.from_numpy(~np.isin(rows, self.unseen)).view(-1, 1, 1, 1)
            yield torch.where(seen, residual * self.enlargement, residual)


class Reconstruction(nn.Module):
    """A decoder and its loss; `forward` returns the losses of a batch of features."""

    def __init__(self, decoder: BottleneckDecoder, config: DecoderConfig) -> None:
        super().__init__()
        self.decoder, self.config = decoder, config

    def forward(self, features: Tensor, easy_share: Tensor) -> dict[str, Tensor]:
        """Losses, (B,) each, of (B, d, h, h) features, standardised a direction; `easy_share` is one number."""
        target = (features - self.decoder.mean) / self.decoder.std
        output = (self.decoder(features).float() - self.decoder.mean) / self.decoder.std
        cosine = loose_cosine(output, target, float(easy_share), self.config.easy_gradient)
        squared = (output - target).square().flatten(1).mean(1)
        return {"loss": cosine + self.config.squared_weight * squared, "cosine": cosine, "squared": squared}


def loose_cosine(output: Tensor, target: Tensor, easy_share: float, easy_gradient: float) -> Tensor:
    """1 - cosine between whole maps, (B, d, h, h) each, of each image, (B,).

    The gradient that reaches the best reconstructed `easy_share` of the batch's positions is multiplied by
    `easy_gradient`, the value stays (Guo et al. 2025, "loose loss"; global cosine after Guo et al. 2023, ReContrast).
    """
    with torch.no_grad():
        distance = 1 - F.cosine_similarity(output, target, dim=1)
        count = int(easy_share * distance.numel())
        limit = distance.flatten().kthvalue(count).values if count else distance.new_tensor(-1.0)
        factor = torch.where(distance <= limit, easy_gradient, 1.0)[:, None]
    output = factor * output + (1 - factor) * output.detach()
    return 1 - F.cosine_similarity(output.flatten(1), target.flatten(1), dim=1)


def fit_decoder(
    features_for: FeaturesFor, count: int, config: GradientConfig, work_dir: Path, key: str
) -> DecoderFit:
    """Train a decoder on the features of `count` training normals.

    A run that was killed goes on from its last epoch.

    Args:
        features_for: see `FeaturesFor`; float32, on any device.
        work_dir: gets the sub-folder `decoder` with the checkpoint and `losses.csv`.
        key: changes whenever the features do, so that no other features' training is gone on with.

    Raises:
        InputError: too few images, or a loss that is not finite.
    """
    settings, seed = config.decoder, config.seed
    if count * min(settings.residual_share, settings.held_out) < 1:
        raise InputError(
            f"teacher.gradient.decoder: {count} training normals are too few to hold {settings.residual_share:g} of "
            f"them out for the residuals and {settings.held_out:g} to decide when to stop"
        )
    seen, unseen = hold_out(np.ones(count, bool), settings.residual_share, seed, draw=1)
    inner, held_out = hold_out(np.ones(len(seen), bool), settings.held_out, seed, draw=2)
    rows, held_out = seen[inner], seen[held_out]
    first = features_for(rows[:1])
    with seeded(seed):
        decoder = BottleneckDecoder(
            first.shape[1], first.shape[2], settings.hidden, settings.bottleneck_grid, settings.dropout
        )
    _standardise(decoder, features_for, rows[:: -(-len(rows) // STANDARDISED_ON)])

    def inputs(parts: list[Part]) -> Iterable[Inputs]:
        for part in parts:
            share = settings.easy_share * min(1.0, part.step / part.steps / settings.easy_ramp)
            yield features_for(np.sort(part.rows)).float(), torch.tensor(share)

    training = Adaptation(
        title="decoder of normal features",
        section="teacher.gradient.decoder",
        module=Reconstruction(decoder, settings),
        inputs=inputs,
        rows=rows,
        held_out=held_out,
        config=settings,
        seed=seed,
        bf16=config.bf16,
        key=sha256_json(
            [key, count, list(first.shape[1:]), settings.model_dump(mode="json"), seed, config.bf16, 1]
        ),
    )
    train(training, work_dir / "decoder")
    decoder.requires_grad_(False).eval()
    return DecoderFit(decoder, count, unseen, enlargement_of(decoder, features_for, rows, unseen))


@torch.no_grad()
def enlargement_of(
    decoder: Callable[[Tensor], Tensor], features_for: FeaturesFor, seen: np.ndarray, unseen: np.ndarray
) -> Tensor:
    """Root mean square of the residuals of unseen images over that of seen ones, a direction; at least 1."""

    def mean_square(rows: np.ndarray) -> Tensor:
        rows = rows[:: -(-len(rows) // COMPARED_ON)]
        parts = (_residual(decoder, features_for, rows[i : i + 32]) for i in range(0, len(rows), 32))
        return torch.stack([r.square().sum(0).mean((1, 2)) for r in parts]).sum(0) / len(rows)

    ratio = mean_square(unseen) / mean_square(seen).clamp_min(1e-12)
    return ratio.sqrt().clamp_min(1.0).view(1, -1, 1, 1)


def _residual(decoder: Callable[[Tensor], Tensor], features_for: FeaturesFor, rows: np.ndarray) -> Tensor:
    features = features_for(rows).float().cpu()
    return features - decoder(features)


def _standardise(decoder: BottleneckDecoder, features_for: FeaturesFor, rows: np.ndarray) -> None:
    maps = torch.cat([features_for(rows[i : i + 32]).double().cpu() for i in range(0, len(rows), 32)])
    decoder.mean.copy_(maps.mean((0, 2, 3), keepdim=True))
    decoder.std.copy_(maps.std((0, 2, 3), keepdim=True).clamp_min(1e-6))
