"""Is a cell what its surroundings predict? Place-free: the same regression everywhere, so nothing need be aligned.

A linear prediction of a cell's features from those beside it, above and below it, and from the image's mean; the
residual is judged by one Gaussian for all cells. The conditional of a Gaussian Markov random field, estimated by ridge
regression (Besag 1974, "Spatial Interaction and the Statistical Analysis of Lattice Systems", section 5).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likelihood.whitening import whitening_of

REACH = 3
"""Cells between a cell and the middle of what is looked at beside it: nearer ones share its pixels."""
RIDGE = 0.01
"""Ridge penalty, as a share of the mean variance of what is looked at."""


class Context(nn.Module):
    """Distance of each cell from what its surroundings predict; about 1 on normal images.

    Args:
        channels: d, features of a cell.
    """

    surroundings_mean: Tensor
    mean: Tensor
    weight: Tensor
    whitening: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("surroundings_mean", torch.zeros(3 * channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("weight", torch.zeros(channels, 3 * channels))
        self.register_buffer("whitening", torch.eye(channels))

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned (the whitening matrix is triangular)."""
        d = self.mean.numel()
        return self.surroundings_mean.numel() + d + self.weight.numel() + d * (d + 1) // 2

    def forward(self, features: Tensor) -> Tensor:
        """(B, d, h, h) -> (B, h, h)."""
        around = surroundings(features) - self.surroundings_mean[:, None, None]
        expected = F.conv2d(around, self.weight[:, :, None, None], self.mean)
        return F.conv2d(features - expected, self.whitening[:, :, None, None]).square().mean(1).sqrt()


def surroundings(features: Tensor) -> Tensor:
    """What a cell is predicted from, (B, d, h, h) -> (B, 3 d, h, h): left + right, above + below, the image's mean.

    Each neighbour is the mean of 3 x 3 cells, `REACH` cells away; beyond the border the border repeats.
    """
    h = features.shape[-1]
    smooth = F.avg_pool2d(F.pad(features, (REACH + 1,) * 4, mode="replicate"), 3, 1)
    middle, near, far = slice(REACH, REACH + h), slice(0, h), slice(2 * REACH, 2 * REACH + h)
    beside = smooth[:, :, middle, near] + smooth[:, :, middle, far]
    upright = smooth[:, :, near, middle] + smooth[:, :, far, middle]
    return torch.cat([beside, upright, features.mean((2, 3), keepdim=True).expand_as(features)], 1)


class ContextMoments:
    """Sums over the cells of some images, in double precision; sums of folds add up and can be taken apart again."""

    def __init__(self, channels: int) -> None:
        size = 4 * channels
        self.channels, self.count = channels, 0
        self.sum, self.product = torch.zeros(size).double(), torch.zeros(size, size).double()

    def add(self, features: Tensor) -> None:
        """Add (B, d, h, h); every other cell along both sides: neighbours overlap and say nearly the same."""
        rows = torch.cat([surroundings(features), features], 1)[:, :, ::2, ::2]
        rows = rows.permute(0, 2, 3, 1).reshape(-1, 4 * self.channels)
        self.count += len(rows)
        self.sum += rows.sum(0, dtype=torch.float64)
        self.product += (rows.T @ rows).double()

    def combine(self, other: ContextMoments, sign: int) -> ContextMoments:
        """Sum of these moments and `sign` times the other's."""
        found = ContextMoments(self.channels)
        found.count = self.count + sign * other.count
        found.sum, found.product = self.sum + sign * other.sum, self.product + sign * other.product
        return found


def fit_context(moments: ContextMoments, floor: float) -> Context:
    """The regression and the covariance of what it leaves, both from the moments.

    floor: added to the diagonal of the residuals' covariance, as a share of their mean variance.
    """
    d = moments.channels
    mean = moments.sum / moments.count
    covariance = moments.product / moments.count - torch.outer(mean, mean)
    around, cross, own = (
        covariance[: 3 * d, : 3 * d],
        covariance[3 * d :, : 3 * d],
        covariance[3 * d :, 3 * d :],
    )
    penalty = RIDGE * around.diagonal().mean().clamp_min(1e-12)
    weight = torch.linalg.solve(around + penalty * torch.eye(3 * d, dtype=torch.float64), cross.T).T
    residual = own - weight @ cross.T - cross @ weight.T + weight @ around @ weight.T
    residual = (residual + residual.T) / 2
    found = Context(d)
    found.surroundings_mean.copy_(mean[: 3 * d])
    found.mean.copy_(mean[3 * d :])
    found.weight.copy_(weight)
    found.whitening.copy_(whitening_of(residual, residual.diagonal().mean(), floor))
    return found
