"""Synthetic features with a known structure: what normal images share, and two kinds of defects."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from likelihood import LevelConfig, LikelihoodConfig
from likelihood.level import enlarge
from likelihood.model import UNIT

CHANNELS, SIDE = 5, 8

COARSE = LevelConfig(grid=4, mean_grid=4)
FINE = LevelConfig(grid=8, mean_grid=4, covariance_block=2)
SMALL = LikelihoodConfig(
    latent=6,
    extra_coordinates=0,
    latent_grid=2,
    latent_directions=None,
    levels=[FINE],
    ridge=2.0,
    floor=0.05,
    folds=4,
    top_positions=0.1,
    map_smoothing=1,
    prototypes=0,
)
"""One level, at the features' full resolution, and a heat map of nothing else."""


def with_values(config: LikelihoodConfig = SMALL, **values) -> LikelihoodConfig:
    """`config` with some values replaced, and checked."""
    return LikelihoodConfig(**{**dict(config), **values})


def normal_features(count: int, seed: int = 0, shared: int = 3) -> Tensor:
    """Features (count, 5, 8, 8) whose images differ mostly along a few shared patterns."""
    rng = torch.Generator().manual_seed(seed)
    weights = torch.randn(count, shared, generator=rng)
    noise = 0.3 * torch.randn(count, CHANNELS, SIDE, SIDE, generator=rng)
    return 1.0 + torch.einsum("nk,kdhw->ndhw", weights, shared_patterns(shared)) + noise


def shared_patterns(shared: int = 3) -> Tensor:
    """Smooth patterns (shared, 5, 8, 8) that a 4x4 mean grid can hold."""
    coarse = torch.randn(shared, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(99))
    return enlarge(coarse, SIDE)


def with_spots(features: Tensor, direction: int, strength: float, seed: int = 0) -> Tensor:
    """A 2x2 spot at a random place of each image, along one direction of the features."""
    rng = np.random.default_rng(seed)
    changed = features.clone()
    for image in changed:
        y, x = rng.integers(0, SIDE - 1, 2)
        image[direction, y : y + 2, x : x + 2] += strength
    return changed


def batches_of(features: Tensor, size: int = 7) -> Callable[[], Iterator[Tensor]]:
    """The same batches each time, as a fit asks for them."""
    return lambda: iter(features.split(size))


def standard(score: Tensor) -> Tensor:
    """Scores in standard deviations of unseen normals, about 0 +- 1: what the router's logarithm gives back."""
    return score.log() / UNIT


def auroc(normal: Tensor, defective: Tensor) -> float:
    """Area under the ROC curve of two sets of scores."""
    labels = np.r_[np.zeros(len(normal)), np.ones(len(defective))]
    return float(roc_auc_score(labels, torch.cat([normal, defective]).numpy()))
