"""One level of the feature likelihood: features averaged to a grid, and how far each cell is from its expectation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likelihood.config import LevelConfig

OWN, ENCODER, FIRST = "own", "encoder", "first"
"""What a level's conditional mean follows from: weights of its own, the encoder, the first level's mean."""


class FeatureLevel(nn.Module):
    """p(F_g | z) = N(mean + W z, S), cell by cell, of the features averaged to a g x g grid.

    Args:
        config: grid, directions, grid of the conditional mean, block of the covariance.
        channels: features a position that there are; the level looks at the first `config.directions` of them.
        coordinates: k, of z and what takes part beyond it.
        top_positions: share of cells whose mean distance is the level's score.
        mean_from: `OWN`, or what W follows from without numbers of its own. `ENCODER`: the latent is taken from the
            very cells that this level compares (W = diag(gain) encoder'; probabilistic PCA reconstructs with the
            directions it encodes with). `FIRST`: the first level's cells average to those of this one's mean, and
            the regression of an average is the average of the regressions.
    """

    mean: Tensor
    weight: Tensor
    gain: Tensor
    whitening: Tensor

    def __init__(
        self, config: LevelConfig, channels: int, coordinates: int, top_positions: float, mean_from: str = OWN
    ) -> None:
        super().__init__()
        self.mean_from, self.scored = mean_from, config.scored
        self.grid, self.mean_grid, self.block = config.grid, config.mean_grid, config.covariance_block
        self.channels = min(config.directions or channels, channels)
        self.top = max(1, round(top_positions * self.grid**2))
        blocks = (self.grid // self.block) ** 2
        self.register_buffer("mean", torch.zeros(self.channels, self.grid, self.grid))
        if mean_from == ENCODER:
            self.register_buffer("gain", torch.zeros(coordinates))
        elif mean_from == OWN:
            self.register_buffer("weight", torch.zeros(coordinates, self.channels * self.mean_grid**2))
        self.register_buffer("whitening", torch.eye(self.channels).repeat(blocks, 1, 1))

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned (a whitening matrix is triangular)."""
        d = self.channels
        of_z = {ENCODER: "gain", OWN: "weight"}.get(self.mean_from)
        mean_of_z = getattr(self, of_z).numel() if of_z else 0
        return self.mean.numel() + mean_of_z + self.whitening.shape[0] * d * (d + 1) // 2

    def average(self, features: Tensor) -> Tensor:
        """What the level looks at: (B, channels or more, h, h) -> (B, channels, grid, grid)."""
        own = features[:, : self.channels]
        return own if own.shape[-1] == self.grid else F.avg_pool2d(own, own.shape[-1] // self.grid)

    def explained(self, coordinates: Tensor, encoder: Tensor, first: Tensor | None = None) -> Tensor:
        """W z, (B, k) -> (B, channels, mean_grid, mean_grid).

        Args:
            encoder: (pooled, k), for `ENCODER`.
            first: What this returned at the first level, for `FIRST`.
        """
        if self.mean_from == FIRST:
            assert first is not None
            return F.avg_pool2d(first[:, : self.channels], first.shape[-1] // self.mean_grid)
        own = self.mean_from == OWN
        flat = coordinates @ self.weight if own else (coordinates * self.gain) @ encoder.T
        return flat.reshape(-1, self.channels, self.mean_grid, self.mean_grid)

    def predict(self, explained: Tensor) -> Tensor:
        """The conditional mean, from W z: (B, channels, mean_grid, mean_grid) -> (B, channels, grid, grid)."""
        return self.mean + enlarge(explained, self.grid)

    def whiten(self, residual: Tensor) -> Tensor:
        """Residuals in standard deviations of out-of-fold normals, (B, channels, g, g) -> (B, channels, g, g)."""
        rows = self.whitening @ _to_blocks(residual, self.block)
        return _from_blocks(rows, residual.shape[0], self.grid, self.block)

    def distance(self, whitened: Tensor) -> Tensor:
        """Root mean square over the directions, (B, channels, g, g) -> (B, g, g); about 1 on normal images.

        The Mahalanobis distance divided by the root of the number of directions.
        """
        return whitened.square().mean(1).sqrt()

    def score(self, distance: Tensor) -> Tensor:
        """Mean of the top-k cells, (B, g, g) -> (B,)."""
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


def smoothed(heat: Tensor, window: int) -> Tensor:
    """(B, side, side) -> the same, each cell the mean of the square of `window` cells around it, an odd number."""
    if window == 1:
        return heat
    return F.avg_pool2d(heat[:, None], window, 1, window // 2, count_include_pad=False)[:, 0]
