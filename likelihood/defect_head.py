"""What a few labelled defects add to the likelihood: one linear function, which can only raise a score.

The unlabelled score stays as it is; the head adds something above zero where an image resembles the labelled
defects. So a type that nobody has labelled keeps at least the score that the likelihood alone gives it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

SMALLEST = 1e-4
"""Keeps the logarithm of a channel that never varies finite."""


def describe(features: Tensor, whitened: Tensor) -> Tensor:
    """Seven figures a direction: how an image looks, and how it differs from what its latent predicts.

    Args:
        features, whitened: (B, d, g, g) of the first level. Returns (B, 7 d): mean, log standard deviation,
            maximum and minimum of the features over the cells; mean, log mean square and log largest size of
            the whitened residuals.
    """
    f, w = features.flatten(2), whitened.flatten(2)
    mean = f.mean(2)
    spread = (f.square().mean(2) - mean.square()).clamp_min(0)
    return torch.cat(
        [
            mean,
            0.5 * (spread + SMALLEST).log(),
            f.amax(2),
            f.amin(2),
            w.mean(2),
            (w.square().mean(2) + SMALLEST).log(),
            0.5 * (w.square().amax(2) + SMALLEST).log(),
        ],
        1,
    )


class DefectHead(nn.Module):
    """Adds `max(0, weight . description + bias)` to the likelihood's score.

    Attributes:
        weight, bias: Of a logistic regression, shifted and scaled so that, before the cut at zero, out-of-fold
            normals have mean 0 and the standard deviation of their unlabelled score: both parts speak one
            unit.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(7 * channels))
        self.register_buffer("bias", torch.zeros(()))

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned."""
        return self.weight.numel() + 1

    def forward(self, description: Tensor) -> Tensor:
        """(B, m) -> (B,), >= 0, to be added to the score."""
        return (description @ self.weight + self.bias).clamp_min(0)


def fit_head(
    normal: np.ndarray,
    normal_scores: np.ndarray,
    defective: np.ndarray,
    strength: float,
    folds: int,
    seed: int,
) -> DefectHead:
    """Logistic regression of labelled defects against normals, in the units of the unlabelled score.

    Args:
        normal: (N, m) descriptions of training normals, from likelihoods that have not seen them.
        normal_scores: (N,) unlabelled scores of the same.
        defective: (D, m) descriptions of labelled defects.
        strength: inverse penalty on standardised descriptions (C of scikit-learn's LogisticRegression).
        folds: normals are judged by regressions that have not seen them, to find the mean and spread of the output.
    """
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate([normal, defective]).astype(np.float64)
    labels = np.r_[np.zeros(len(normal)), np.ones(len(defective))]
    centre, spread = rows.mean(0), rows.std(0) + 1e-9
    standard = (rows - centre) / spread
    order = np.random.default_rng(seed).permutation(len(normal)) % folds
    defects = np.arange(len(normal), len(rows))  # in every fold: there may be one only

    def regression(use: np.ndarray) -> LogisticRegression:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=5000)
        return model.fit(standard[use], labels[use])

    out_of_fold = np.zeros(len(normal))
    for fold in range(folds):
        chosen = order == fold
        if chosen.any():
            model = regression(np.r_[np.flatnonzero(~chosen), defects])
            out_of_fold[chosen] = model.decision_function(standard[: len(normal)][chosen])
    model = regression(np.arange(len(rows)))
    unit = float(normal_scores.std()) / max(float(out_of_fold.std()), 1e-9)
    weight = model.coef_[0] / spread * unit
    bias = (float(model.intercept_[0]) - float(out_of_fold.mean())) * unit - float(centre @ weight)
    head = DefectHead(normal.shape[1] // 7)
    head.weight.copy_(torch.from_numpy(weight))
    head.bias.fill_(bias)
    return head
