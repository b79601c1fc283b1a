"""The feature likelihood p(F | z): a latent-conditional Gaussian with one mean field and many small covariances.

A normal image explains most of its own appearance: a darker cell is darker everywhere. The latent z holds that
shared part, the conditional mean predicts every position's features from it, and only what z cannot explain counts
as strange. This is the linear case of a VAE decoder over features; its encoder is probabilistic PCA
(Tipping & Bishop 1999, "Probabilistic Principal Component Analysis", eq. 9), which is the optimum of a linear
VAE's ELBO (Lucas et al. 2019, "Don't Blame the ELBO!", theorem 1). The per-position Gaussian on pretrained
features follows PaDiM (Defard et al. 2021), which has no latent.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from student_vae.config import LikelihoodConfig


class Scores(NamedTuple):
    """What every detector returns for a batch of B images.

    score: (B,), larger is stranger, >= 0.  map: (B, h, w), Mahalanobis distance of each position, >= 0, never
    rescaled per image.  latent: (B, k), the mean of q(z|x).
    """

    score: Tensor
    map: Tensor
    latent: Tensor


class FeatureLikelihood(nn.Module):
    """p(F | z) = N(mean + W z, S) with z a linear function of the pooled features.

    Args:
        channels: d, features a position.
        map_size: h = w, side of the feature map.
        latent: k, dimension of z.
        latent_grid: side of the grid that features are pooled to before z is taken.
        mean_grid: side of the grid on which W z lives; bilinear in between.
        block: positions in blocks of this side share one covariance.
        top_positions: share of positions whose mean distance is the image score.
    """

    mean: Tensor
    pooled_mean: Tensor
    encoder: Tensor
    weight: Tensor
    whitening: Tensor

    def __init__(
        self,
        channels: int,
        map_size: int,
        latent: int,
        latent_grid: int,
        mean_grid: int,
        block: int,
        top_positions: float,
    ) -> None:
        super().__init__()
        self.channels, self.map_size, self.latent = channels, map_size, latent
        self.latent_grid, self.mean_grid, self.block = latent_grid, mean_grid, block
        self.top = max(1, round(top_positions * map_size * map_size))
        pooled = channels * latent_grid**2
        blocks = (map_size // block) ** 2
        self.register_buffer("mean", torch.zeros(channels, map_size, map_size))
        self.register_buffer("pooled_mean", torch.zeros(pooled))
        self.register_buffer("encoder", torch.zeros(pooled, latent))
        self.register_buffer("weight", torch.zeros(latent, channels * mean_grid**2))
        self.register_buffer("whitening", torch.eye(channels).repeat(blocks, 1, 1))

    @classmethod
    def of(cls, config: LikelihoodConfig, channels: int, map_size: int, latent: int) -> FeatureLikelihood:
        """An unfitted likelihood; `latent` is the size really fitted, at most `config.latent`."""
        return cls(
            channels,
            map_size,
            latent,
            config.latent_grid,
            config.mean_grid,
            config.covariance_block,
            config.top_positions,
        )

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned (a whitening matrix is triangular)."""
        d = self.channels
        full = self.mean.numel() + self.pooled_mean.numel() + self.encoder.numel() + self.weight.numel()
        return full + self.whitening.shape[0] * d * (d + 1) // 2

    def pool(self, features: Tensor) -> Tensor:
        """(B, d, h, w) -> (B, d * latent_grid^2)."""
        return F.avg_pool2d(features, self.map_size // self.latent_grid).flatten(1)

    def encode(self, features: Tensor) -> Tensor:
        """The mean of q(z|x), (B, k), about N(0, I) on normal images."""
        return (self.pool(features) - self.pooled_mean) @ self.encoder

    def predict(self, latent: Tensor) -> Tensor:
        """The conditional mean of the features, (B, d, h, w)."""
        coarse = (latent @ self.weight).reshape(-1, self.channels, self.mean_grid, self.mean_grid)
        return self.mean + enlarge(coarse, self.map_size)

    def distance(self, residual: Tensor) -> Tensor:
        """Mahalanobis distance of each position's residual, (B, d, h, w) -> (B, h, w)."""
        n, d, h, b = len(residual), self.channels, self.map_size, self.block
        g = h // b
        rows = residual.reshape(n, d, g, b, g, b).permute(2, 4, 1, 0, 3, 5).reshape(g * g, d, n * b * b)
        squared = (self.whitening @ rows).square().sum(1)
        return squared.reshape(g, g, n, b, b).permute(2, 0, 3, 1, 4).reshape(n, h, h).sqrt()

    def image_score(self, distance: Tensor) -> Tensor:
        """Mean of the strangest positions, (B, h, w) -> (B,)."""
        return distance.flatten(1).topk(self.top, dim=1).values.mean(1)

    def forward(self, features: Tensor) -> Scores:
        """Scores of a batch of features (B, d, h, w)."""
        latent = self.encode(features)
        distance = self.distance(features - self.predict(latent))
        return Scores(self.image_score(distance), distance, latent)


def enlarge(grid: Tensor, size: int) -> Tensor:
    """Bilinear interpolation of (B, C, g, g) to (B, C, size, size)."""
    if grid.shape[-1] == size:
        return grid
    return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)
