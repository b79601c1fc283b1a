"""The matrix that takes a covariance to the identity."""

from __future__ import annotations

import torch
from torch import Tensor


def whitening_of(covariance: Tensor, scale: Tensor, floor: float) -> Tensor:
    """Inverse Cholesky factors of covariances with a floor, (..., d, d) float64 -> (..., d, d), lower triangular.

    Args:
        scale: Mean variance, a number; `floor`, as a share of it, is added to the diagonal.
    """
    eye = torch.eye(covariance.shape[-1], dtype=torch.float64)
    factor = torch.linalg.cholesky(covariance + floor * scale.clamp_min(1e-12) * eye)
    return torch.linalg.solve_triangular(factor, eye.expand_as(covariance), upper=False)
