"""One level of the feature likelihood: features averaged to a grid, and how far each cell is from its expectation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from student_vae.config import LevelConfig


class FeatureLevel(nn.Module):
    """p(F_g | z) = N(mean + W z, S), cell by cell, of the features averaged to a g x g grid.

    Args:
        config: grid, directions, grid of the conditional mean, block of the covariance.
        channels: features a position that there are; the level looks at the first `config.directions` of them.
        latent: k, dimension of z.
        top_positions: share of cells whose mean distance is the level's score.
        tied: the latent is taken from the very cells that this level compares, so W follows from the encoder
            (W = diag(gain) encoder'; probabilistic PCA reconstructs with the directions it encodes with).
    """

    mean: Tensor
    weight: Tensor
    gain: Tensor
    whitening: Tensor

    def __init__(
        self, config: LevelConfig, channels: int, latent: int, top_positions: float, tied: bool = False
    ) -> None:
        super().__init__()
        self.tied, self.scored = tied, config.scored
        self.grid, self.mean_grid, self.block = config.grid, config.mean_grid, config.covariance_block
        self.channels = min(config.directions or channels, channels)
        self.top = max(1, round(top_positions * self.grid**2))
        blocks = (self.grid // self.block) ** 2
        self.register_buffer("mean", torch.zeros(self.channels, self.grid, self.grid))
        if tied:
            self.register_buffer("gain", torch.zeros(latent))
        else:
            self.register_buffer("weight", torch.zeros(latent, self.channels * self.mean_grid**2))
        self.register_buffer("whitening", torch.eye(self.channels).repeat(blocks, 1, 1))

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned (a whitening matrix is triangular)."""
        d = self.channels
        mean_of_z = self.gain.numel() if self.tied else self.weight.numel()
        return self.mean.numel() + mean_of_z + self.whitening.shape[0] * d * (d + 1) // 2

    def average(self, features: Tensor) -> Tensor:
        """What the level looks at: (B, channels or more, h, h) -> (B, channels, grid, grid)."""
        own = features[:, : self.channels]
        return own if own.shape[-1] == self.grid else F.avg_pool2d(own, own.shape[-1] // self.grid)

    def predict(self, latent: Tensor, encoder: Tensor) -> Tensor:
        """The conditional mean at z, (B, k) -> (B, channels, grid, grid). `encoder`: (pooled, k), used if tied."""
        flat = (latent * self.gain) @ encoder.T if self.tied else latent @ self.weight
        coarse = flat.reshape(-1, self.channels, self.mean_grid, self.mean_grid)
        return self.mean + enlarge(coarse, self.grid)

    def whiten(self, residual: Tensor) -> Tensor:
        """Residuals in units of their spread on unseen normals, (B, channels, g, g) -> (B, channels, g, g)."""
        rows = self.whitening @ _to_blocks(residual, self.block)
        return _from_blocks(rows, residual.shape[0], self.grid, self.block)

    def distance(self, whitened: Tensor) -> Tensor:
        """Root mean square over the directions, (B, channels, g, g) -> (B, g, g); about 1 on normal images.

        The Mahalanobis distance divided by the root of the number of directions.
        """
        return whitened.square().mean(1).sqrt()

    def score(self, distance: Tensor) -> Tensor:
        """Mean of the strangest cells, (B, g, g) -> (B,)."""
        return distance.flatten(1).topk(self.top, dim=1).values.mean(1)

    def covariance(self, residual: Tensor) -> Tensor:
        """Sum of r r' over images and the cells of a block, (B, channels, g, g) -> (blocks, channels, channels)."""
        rows = _to_blocks(residual, self.block).double()
        return rows @ rows.transpose(1, 2)


def _to_blocks(x: Tensor, block: int) -> Tensor:
    """(B, d, g, g) -> (blocks, d, B * block^2): the cells of one block side by side."""
    n, d, size, _ = x.shape
    g = size // block
    return x.reshape(n, d, g, block, g, block).permute(2, 4, 1, 0, 3, 5).reshape(g * g, d, n * block * block)


def _from_blocks(rows: Tensor, n: int, size: int, block: int) -> Tensor:
    d, g = rows.shape[1], size // block
    return rows.reshape(g, g, d, n, block, block).permute(3, 2, 0, 4, 1, 5).reshape(n, d, size, size)


def enlarge(grid: Tensor, size: int) -> Tensor:
    """Bilinear interpolation of (B, C, g, g) to (B, C, size, size)."""
    if grid.shape[-1] == size:
        return grid
    return F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)
