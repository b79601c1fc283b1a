"""The questions that are asked of a surface, fitted: features in, one map of answers a question out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from likelihood.config import LevelConfig, LikelihoodConfig
from likelihood.model import FeatureLikelihood
from likelihood.prototypes import Prototypes
from teacher.questions.config import QuestionsConfig
from teacher.questions.context import Context
from teacher.questions.painted import PaintedHead

LOWEST, HIGHEST = -4.0, 8.0
"""Answers are cut there, in standard deviations of normal cells: no student need tell one absurdity from another."""
SMALLEST = 1e-4
FLOOR = 0.01
"""Of covariances, as a share of their mean variance: low, because rare directions are what is asked about here."""


def detail_config(config: QuestionsConfig, map_size: int, images: int) -> LikelihoodConfig:
    """Every cell of the map at its place, in all directions: one level, many cells to a covariance."""
    level = LevelConfig(grid=map_size, mean_grid=8, covariance_block=map_size // 8)
    wide = LikelihoodConfig(
        latent=128,
        extra_coordinates=0,
        latent_grid=4,
        latent_directions=32,
        levels=[level],
        folds=config.folds,
        map_smoothing=1,
        prototypes=0,
    )
    return wide.for_images(images)


def raw_answer(question: nn.Module, features: Tensor) -> Tensor:
    """What one question says of (B, d, h, h) features, (B, h, h): logarithms of distances, or log odds."""
    if isinstance(question, PaintedHead):
        return question(features)
    if isinstance(question, FeatureLikelihood):
        return detail_distance(question, features)
    return (question(features) + SMALLEST).log()


def detail_distance(likelihood: FeatureLikelihood, features: Tensor) -> Tensor:
    """Log distance of each cell from what a likelihood of one level expects, (B, h, h)."""
    (residual,) = likelihood.residuals(features, likelihood.encode(features))
    (level,) = likelihood.level_list
    return (level.distance(level.whiten(residual)) + SMALLEST).log()


class Questions(nn.Module):
    """Answers to the questions that are asked, in standard deviations of normal cells.

    Args:
        asked: name -> fitted question, in the order of the answers.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, asked: dict[str, nn.Module]) -> None:
        super().__init__()
        self.asked = nn.ModuleDict(asked)
        self.register_buffer("centre", torch.zeros(len(asked)))
        self.register_buffer("spread", torch.ones(len(asked)))

    @property
    def names(self) -> list[str]:
        """Of the questions, in the order of the answers."""
        return list(self.asked)

    @property
    def channels(self) -> int:
        """How many directions are looked at, the first ones."""
        return int(next(iter(self.describe().values()))["channels"])

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned."""
        counts: list[int] = [question.parameter_count for question in self.asked.values()]  # type: ignore[misc]
        return 2 * len(self.asked) + sum(counts)

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """(B, d, h, h) -> (B, Q, h, h)."""
        raw = torch.stack([raw_answer(question, features) for question in self.asked.values()], 1)
        standard = (raw - self.centre[:, None, None]) / self.spread[:, None, None]
        return standard.clamp(LOWEST, HIGHEST)

    def describe(self) -> dict[str, Any]:
        """What `rebuild_questions` needs to make the same modules without any fit."""
        found: dict[str, Any] = {}
        for name, question in self.asked.items():
            if isinstance(question, FeatureLikelihood):
                found[name] = {
                    "channels": question.channels,
                    "map_size": question.map_size,
                    "coordinates": question.coordinates,
                    "likelihood": question.config.model_dump(mode="json"),
                }
            elif isinstance(question, Prototypes):
                found[name] = {"channels": question.mean.numel(), "count": question.count}
            elif isinstance(question, PaintedHead):
                found[name] = {"channels": question.scale.numel(), "hidden": question.hidden.out_features}
            else:
                assert isinstance(question, Context)
                found[name] = {"channels": question.mean.numel()}
        return found


def rebuild_questions(description: dict[str, Any]) -> Questions:
    """The modules of `Questions.describe`; the caller loads their numbers."""
    asked: dict[str, nn.Module] = {}
    for name, about in description.items():
        if name == "detail":
            config = LikelihoodConfig.model_validate(about["likelihood"])
            asked[name] = FeatureLikelihood(
                config, about["channels"], about["map_size"], about["coordinates"]
            )
        elif name == "context":
            asked[name] = Context(about["channels"])
        elif name == "nearest":
            asked[name] = Prototypes(about["channels"], about["count"])
        else:
            asked[name] = PaintedHead(about["channels"], about["hidden"])
    return Questions(asked).eval().requires_grad_(False)
