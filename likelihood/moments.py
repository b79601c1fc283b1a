"""Sums over images from which the likelihood's mean, latent and conditional mean follow in closed form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from likelihood.config import LikelihoodConfig
from likelihood.level import ENCODER, FIRST, OWN
from likelihood.model import FeatureLikelihood


class Moments:
    """Sums over a set of images, in double precision; sums of folds add up and can be taken apart again."""

    def __init__(self, tensors: dict[str, Tensor], count: int = 0) -> None:
        self.tensors, self.count = tensors, count

    @classmethod
    def empty(cls, config: LikelihoodConfig, channels: int, map_size: int) -> Moments:
        """Nothing summed yet."""
        shape = FeatureLikelihood(config, channels, map_size, 1)
        pooled = shape.pooled_mean.numel()
        tensors = {"pooled": torch.zeros(pooled), "pooled_pooled": torch.zeros(pooled, pooled)}
        for i, level in enumerate(shape.level_list):
            tensors[f"mean{i}"] = torch.zeros_like(level.mean)
            if level.mean_from != OWN:
                continue
            coarse = level.weight.shape[1]
            tensors[f"coarse{i}"] = torch.zeros(coarse)
            tensors[f"pooled_coarse{i}"] = torch.zeros(pooled, coarse)
        return cls({name: value.double() for name, value in tensors.items()})

    def add(self, features: Tensor, shape: FeatureLikelihood) -> None:
        """Add a batch of features (B, d, h, h).

        Args:
            shape: A likelihood of the same configuration.
        """
        pooled = shape.pool(features)
        self.count += len(features)
        self.tensors["pooled"] += pooled.sum(0, dtype=torch.float64)
        self.tensors["pooled_pooled"] += pooled.T @ pooled
        for i, level in enumerate(shape.level_list):
            own = level.average(features)
            self.tensors[f"mean{i}"] += own.sum(0, dtype=torch.float64)
            if level.mean_from != OWN:
                continue
            coarse = F.adaptive_avg_pool2d(own, level.mean_grid).flatten(1)
            self.tensors[f"coarse{i}"] += coarse.sum(0, dtype=torch.float64)
            self.tensors[f"pooled_coarse{i}"] += pooled.T @ coarse

    def combine(self, other: Moments, sign: int) -> Moments:
        """Self + sign * other."""
        tensors = {name: value + sign * other.tensors[name] for name, value in self.tensors.items()}
        return Moments(tensors, self.count + sign * other.count)


def solve(moments: Moments, config: LikelihoodConfig, channels: int, map_size: int) -> FeatureLikelihood:
    """Means, encoder (whitened principal coordinates of the pooled features) and ridge weights; no covariance yet."""
    n, sums = moments.count, moments.tensors
    pooled_mean = sums["pooled"] / n
    covariance = sums["pooled_pooled"] / n - torch.outer(pooled_mean, pooled_mean)
    variance, directions = torch.linalg.eigh(covariance)
    usable = int((variance > 1e-8 * variance[-1].clamp_min(1e-12)).sum())
    coordinates = max(1, min(config.coordinates, n - 1, usable))
    variance, directions = variance[-coordinates:].flip(0), directions[:, -coordinates:].flip(1)
    encoder = directions / variance.clamp_min(1e-12).sqrt()
    model = FeatureLikelihood(config, channels, map_size, coordinates)
    model.pooled_mean.copy_(pooled_mean)
    model.encoder.copy_(encoder)
    for i, level in enumerate(model.level_list):
        level.mean.copy_(sums[f"mean{i}"] / n)
        if level.mean_from == FIRST:
            continue
        if level.mean_from == ENCODER:
            level.gain.copy_(variance * (n / (n + config.ridge)))
            continue
        cross = sums[f"pooled_coarse{i}"] / n - torch.outer(pooled_mean, sums[f"coarse{i}"] / n)
        # z is whitened, so Z'Z = n I and ridge regression is one division
        level.weight.copy_(encoder.T @ cross * (n / (n + config.ridge)))
    return model
