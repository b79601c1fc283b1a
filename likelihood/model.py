"""The feature likelihood p(F | z): a latent-conditional Gaussian, compared at several resolutions.

A normal image explains most of its own appearance: a darker cell is darker everywhere. The latent z holds that
shared part, the conditional mean predicts every position's features from it, and only what z cannot explain counts
as strange. This is the linear case of a VAE decoder over features; its encoder is probabilistic PCA
(Tipping & Bishop 1999, "Probabilistic Principal Component Analysis", eq. 9), which is the optimum of a linear
VAE's ELBO (Lucas et al. 2019, "Don't Blame the ELBO!", theorem 1). The per-position Gaussian on pretrained
features follows PaDiM (Defard et al. 2021), which has no latent. Averaging features to a coarse grid before they
are compared lets the noise of single positions cancel, so that faint but wide defects show; a fine grid shows small
ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likelihood.answers import Answers
from likelihood.config import LevelConfig, LikelihoodConfig
from likelihood.defect_head import DefectHead, describe
from likelihood.level import ENCODER, FIRST, OWN, FeatureLevel, enlarge, smoothed
from likelihood.prototypes import Prototypes

UNIT, FARTHEST = 0.1, 800.0


class Scores(NamedTuple):
    """What every detector returns for a batch of B images.

    score: (B,), > 0, larger is stranger, about 1 on normal images.  map: (B, h, w), distance of each position, >= 0,
    about 1 on normal images, never rescaled per image.  latent: (B, k), the mean of q(z|x).
    """

    score: Tensor
    map: Tensor
    latent: Tensor


class FeatureLikelihood(nn.Module):
    """p(F | z) with z a linear function of the pooled features, at every level of the configuration.

    Args:
        config: latent, grids, levels.
        channels: d, features a position.
        map_size: h = w, side of the feature map.
        coordinates: k really fitted, of the latent and what takes part in the conditional mean beyond it.
        has_head: whether labelled defects taught a `DefectHead`.
        prototypes: how many the heat map compares cells with, really fitted.
        answers: to further questions, which come with the features, before the directions; None: there are none.
    """

    pooled_mean: Tensor
    encoder: Tensor
    level_centre: Tensor
    level_spread: Tensor

    def __init__(
        self,
        config: LikelihoodConfig,
        channels: int,
        map_size: int,
        coordinates: int,
        has_head: bool = False,
        prototypes: int = 0,
        answers: Answers | None = None,
    ) -> None:
        super().__init__()
        config = config.within(map_size)
        self.config, self.channels, self.map_size = config, channels, map_size
        self.coordinates, self.latent = coordinates, min(config.latent, coordinates)
        self.latent_grid = config.latent_grid
        self.latent_channels = min(config.latent_directions or channels, channels)
        pooled = self.latent_channels * config.latent_grid**2
        self.register_buffer("pooled_mean", torch.zeros(pooled))
        self.register_buffer("encoder", torch.zeros(pooled, coordinates))
        scored = sum(level.scored for level in config.levels)
        self.register_buffer("level_centre", torch.zeros(scored))
        self.register_buffer("level_spread", torch.ones(scored))
        self.levels = nn.ModuleList(
            FeatureLevel(level, channels, coordinates, config.top_positions, self._mean_from(level))
            for level in config.levels
        )
        self.head = DefectHead(self.level_list[0].channels) if has_head else None
        self.prototypes = Prototypes(self.level_list[0].channels, prototypes) if prototypes else None
        self.answers = answers

    def _mean_from(self, level: LevelConfig) -> str:
        """What the level's conditional mean follows from; the fewest numbers that give the same mean."""
        first = self.config.levels[0]
        looks_at, first_looks_at = (
            min(one.directions or self.channels, self.channels) for one in (level, first)
        )
        if level.grid == level.mean_grid == self.latent_grid and looks_at == self.latent_channels:
            return ENCODER
        averages = first.mean_grid == first.grid and first.mean_grid % level.mean_grid == 0
        return FIRST if level is not first and averages and looks_at <= first_looks_at else OWN

    @property
    def level_list(self) -> list[FeatureLevel]:
        """The levels with their type."""
        return [level for level in self.levels if isinstance(level, FeatureLevel)]

    @property
    def prototype_count(self) -> int:
        """How many prototypes the heat map compares cells with."""
        return self.prototypes.count if self.prototypes is not None else 0

    @property
    def map_side(self) -> int:
        """Side of the heat map: the finest level's grid, or with answers theirs."""
        return self.map_size if self.answers is not None else self.config.map_side

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned."""
        own = self.pooled_mean.numel() + self.encoder.numel() + 2 * self.level_centre.numel()
        further = (self.head, self.prototypes, self.answers)
        parts = [*self.level_list, *(part for part in further if part is not None)]
        return own + sum(part.parameter_count for part in parts)

    @property
    def answer_count(self) -> int:
        """How many answers come with the features, before the directions."""
        return self.answers.count if self.answers is not None else 0

    def directions_of(self, features: Tensor) -> Tensor:
        """The directions among the features, (B, Q + d, h, h) -> (B, d, h, h)."""
        return features[:, self.answer_count :] if self.answer_count else features

    def pool(self, features: Tensor) -> Tensor:
        """What the latent is taken from, (B, d, h, h) -> (B, latent_channels * latent_grid^2)."""
        own = features[:, : self.latent_channels]
        return F.avg_pool2d(own, own.shape[-1] // self.latent_grid).flatten(1)

    def encode(self, features: Tensor) -> Tensor:
        """All coordinates, (B, k), about N(0, I) on normal images; the first `latent` are the mean of q(z|x)."""
        return (self.pool(features) - self.pooled_mean) @ self.encoder

    def residuals(self, features: Tensor, coordinates: Tensor) -> list[Tensor]:
        """What the coordinates do not explain, one (B, channels, g, g) a level."""
        first: Tensor | None = None
        found = []
        for level in self.level_list:
            explained = level.explained(coordinates, self.encoder, first)
            first = explained if first is None else first
            found.append(level.average(features) - level.predict(explained))
        return found

    def compare(self, features: Tensor, residuals: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """From residuals to scores (B, L) of the scored levels, the map (B, side, side) and descriptions (B, m)."""
        whitened = [level.whiten(r) for level, r in zip(self.level_list, residuals, strict=True)]
        distances = [level.distance(w) for level, w in zip(self.level_list, whitened, strict=True)]
        pairs = zip(self.level_list, distances, strict=True)
        scores = [level.score(d) for level, d in pairs if level.scored]
        cells = self.level_list[0].average(features)
        return torch.stack(scores, 1), self.heat_map(distances, cells), describe(cells, whitened[0])

    def heat_map(self, distances: list[Tensor], cells: Tensor) -> Tensor:
        """One map (B, side, side) of those of all levels; `cells`: what the first level looks at.

        Unexpected at its place times unlike anything normal, where there are prototypes: both are about 1 on normals.
        """
        heat = torch.stack([enlarge(d[:, None], self.map_side)[:, 0] for d in distances]).mean(0)
        if self.prototypes is not None:
            heat = heat * enlarge(self.prototypes(cells)[:, None], self.map_side)[:, 0]
        return smoothed(heat, self.config.map_smoothing)

    def combine(self, level_scores: Tensor) -> Tensor:
        """One score from those of the levels, (B, L) -> (B,), about 0 +- 1 on out-of-fold normals.

        The logarithm of the mean of exponentials lies between the mean and the largest: a defect that shows at
        one level only counts, and small agreeing deviations of all levels add up.
        """
        standard = (level_scores - self.level_centre) / self.level_spread
        return standard.logsumexp(1) - math.log(standard.shape[1])

    def forward(self, features: Tensor) -> Scores:
        """Scores of a batch of features (B, d, h, h); with answers (B, Q + d, h, h), see `likelihood.answers`."""
        directions = self.directions_of(features)
        coordinates = self.encode(directions)
        level_scores, heat, description = self.compare(directions, self.residuals(directions, coordinates))
        standard = self.combine(level_scores)
        if self.answers is not None:
            answers = features[:, : self.answers.count]
            standard = self.answers.combine(standard, answers)
            heat = self.answers.heat_map(heat, enlarge(answers, self.map_side))
        if self.head is not None:
            standard = standard + self.head(description)
        return Scores(positive(standard), heat, coordinates[:, : self.latent])


def positive(standard: Tensor) -> Tensor:
    """The score that is given out: exp(0.1 x), so 1 for an ordinary normal image and always above 0.

    x counts standard deviations; the router takes logarithms, which gives it back. Beyond `FARTHEST` nothing is told
    apart, and no image overflows.
    """
    return (UNIT * standard.clamp(-FARTHEST, FARTHEST)).exp()
