"""Fitting the feature likelihood in closed form, in two passes over the normal images.

Pass one collects moments (mean, pooled covariance, pooled-to-feature covariance), split into folds; pass two
collects residual covariances. Memory does not depend on the number of images. Residuals are cross-fitted: those of
an image come from a mean and a latent that never saw its fold, so the covariance is honest on unseen images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from student_vae.config import LikelihoodConfig
from student_vae.likelihood import FeatureLikelihood
from wafer_data.errors import InputError

FeatureBatches = Callable[[], Iterable[Tensor]]
"""Called once a pass; yields (B, d, h, w) features, the same images in the same order each time."""


class Moments:
    """Sums over a set of images, in double precision; sums of folds add up and can be taken apart again."""

    def __init__(self, channels: int, map_size: int, pooled: int, coarse: int) -> None:
        self.count = 0
        self.features = torch.zeros(channels, map_size, map_size, dtype=torch.float64)
        self.pooled = torch.zeros(pooled, dtype=torch.float64)
        self.pooled_pooled = torch.zeros(pooled, pooled, dtype=torch.float64)
        self.pooled_coarse = torch.zeros(pooled, coarse, dtype=torch.float64)
        self.coarse = torch.zeros(coarse, dtype=torch.float64)

    def add(self, features: Tensor, pooled: Tensor, coarse: Tensor) -> None:
        self.count += len(features)
        self.features += features.sum(0, dtype=torch.float64)
        self.pooled += pooled.sum(0, dtype=torch.float64)
        self.coarse += coarse.sum(0, dtype=torch.float64)
        self.pooled_pooled += pooled.T @ pooled
        self.pooled_coarse += pooled.T @ coarse

    def combine(self, other: Moments, sign: int) -> Moments:
        """self + sign * other."""
        out = object.__new__(Moments)
        out.count = self.count + sign * other.count
        for name in ("features", "pooled", "pooled_pooled", "pooled_coarse", "coarse"):
            setattr(out, name, getattr(self, name) + sign * getattr(other, name))
        return out


def fit_likelihood(batches: FeatureBatches, config: LikelihoodConfig) -> FeatureLikelihood:
    """Fit the conditional Gaussian to features of normal images.

    Args:
        batches: see `FeatureBatches`. An image's place in the order decides its fold.
        config: latent size, grids, ridge, floor, folds.

    Raises:
        InputError: fewer images than folds need, or a feature that is not finite.
    """
    folds = _collect_moments(batches, config)
    total = folds[0]
    for fold in folds[1:]:
        total = total.combine(fold, +1)
    if total.count < 2 * config.folds:
        raise InputError(
            f"{total.count} normal images are too few to fit the likelihood with {config.folds} folds: "
            f"give at least {2 * config.folds} training images or lower likelihood.folds"
        )
    held_out = [_solve(total.combine(fold, -1), config) for fold in folds]
    model = _solve(total, config)
    covariance = _residual_covariance(batches, held_out, config)
    model.whitening.copy_(_whitening(covariance, config.floor))
    return model


def _fold_masks(start: int, count: int, folds: int) -> list[Tensor]:
    order = torch.arange(start, start + count) % folds
    return [order == fold for fold in range(folds)]


def _collect_moments(batches: FeatureBatches, config: LikelihoodConfig) -> list[Moments]:
    folds: list[Moments] = []
    seen = 0
    for features in batches():
        features = features.float().cpu()
        if not torch.isfinite(features).all():
            raise InputError(
                f"features of training images {seen} to {seen + len(features) - 1} are not finite"
            )
        channels, size = features.shape[1], features.shape[2]
        pooled = F.avg_pool2d(features, size // config.latent_grid).flatten(1)
        coarse = F.adaptive_avg_pool2d(features, config.mean_grid).flatten(1)
        if not folds:
            shape = (channels, size, pooled.shape[1], coarse.shape[1])
            folds = [Moments(*shape) for _ in range(config.folds)]
        for fold, mask in zip(folds, _fold_masks(seen, len(features), config.folds), strict=True):
            if mask.any():
                fold.add(features[mask], pooled[mask], coarse[mask])
        seen += len(features)
    if not folds:
        raise InputError("no normal images to fit the likelihood to")
    return folds


def _solve(moments: Moments, config: LikelihoodConfig) -> FeatureLikelihood:
    """Mean, encoder (whitened principal coordinates of the pooled features) and ridge weights."""
    n = moments.count
    channels, size = moments.features.shape[0], moments.features.shape[1]
    pooled_mean = moments.pooled / n
    covariance = moments.pooled_pooled / n - torch.outer(pooled_mean, pooled_mean)
    variance, directions = torch.linalg.eigh(covariance)
    usable = int((variance > 1e-8 * variance[-1].clamp_min(1e-12)).sum())
    latent = max(1, min(config.latent, n - 1, usable))
    variance, directions = variance[-latent:].flip(0), directions[:, -latent:].flip(1)
    encoder = directions / variance.clamp_min(1e-12).sqrt()
    cross = moments.pooled_coarse / n - torch.outer(pooled_mean, moments.coarse / n)
    # z is whitened, so Z'Z = n I and ridge regression is one division
    weight = encoder.T @ cross * (n / (n + config.ridge))
    model = FeatureLikelihood.of(config, channels, size, latent)
    model.mean.copy_(moments.features / n)
    model.pooled_mean.copy_(pooled_mean)
    model.encoder.copy_(encoder)
    model.weight.copy_(weight)
    return model


def _residual_covariance(
    batches: FeatureBatches, held_out: list[FeatureLikelihood], config: LikelihoodConfig
) -> Tensor:
    """(blocks, d, d) covariance of cross-fitted residuals."""
    size, channels, block = held_out[0].map_size, held_out[0].channels, config.covariance_block
    grid = size // block
    total = torch.zeros(grid * grid, channels, channels, dtype=torch.float64)
    seen = 0
    for features in batches():
        features = features.float().cpu()
        residual = torch.empty_like(features)
        for model, mask in zip(held_out, _fold_masks(seen, len(features), config.folds), strict=True):
            if mask.any():
                part = features[mask]
                residual[mask] = part - model.predict(model.encode(part))
        n = len(residual)
        rows = residual.reshape(n, channels, grid, block, grid, block).permute(2, 4, 0, 3, 5, 1)
        rows = rows.reshape(grid * grid, n * block * block, channels)
        total += rows.transpose(1, 2) @ rows
        seen += n
    return total / (seen * block * block)


def _whitening(covariance: Tensor, floor: float) -> Tensor:
    """Inverse Cholesky factor of covariance + floor I: whitening @ residual has unit covariance."""
    eye = torch.eye(covariance.shape[-1], dtype=covariance.dtype)
    factor = torch.linalg.cholesky(covariance + floor * eye)
    return torch.linalg.solve_triangular(factor, eye.expand_as(covariance), upper=False).float()
