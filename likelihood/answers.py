"""Answers to further questions, one map each, which count beside the likelihood's own score.

A teacher may ask more of a cell than whether a few directions are expected at its place (`teacher.questions`). Each
answer is a map, larger where a cell is more anomalous, in standard deviations of normal cells. Students do not repeat
the questions: they give the answers as further channels of their features, so a question costs them one channel. They
imitate their teacher's answers; what it is that was painted they learn, from enough images, from the paint itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from likelihood.level import smoothed

if TYPE_CHECKING:
    from likelihood.model import FeatureLikelihood

CONTRAST = 0.35
"""The heat map's logarithm for a cell one standard deviation above the mean of normal cells, in all answers."""
MAP_SMOOTHING = 5
"""A heat map with answers is half itself, and half its mean over the square of so many cells around: single cells are
noisy, and yet the highest one has to stay where it is, for defects are looked up there (docs/LOG.md)."""
SMALLEST = 1e-4
PLACE, PAINTED = "place", "painted"
"""Questions by name: the likelihood's own, and the one for which a painted defect's true answer is known."""
SOFTNESS = 0.35
"""Of the soft maximum over an image's cells, in standard deviations of normal cells. Towards 0 one cell decides, and
what is faint and wide is lost; far above 1 their mean does, and what is small is lost (docs/LOG.md)."""


class Answers(nn.Module):
    """Scores and heat maps from the likelihood and the answers together.

    Args:
        weights: question -> weight; first "place", the likelihood's own score, 0 where that is not asked, then the Q
            answers in the order of their channels.
    """

    centre: Tensor
    spread: Tensor
    map_centre: Tensor
    map_spread: Tensor

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        total = sum(weights.values())
        self.names = list(weights)
        self.weights = [weight / total for weight in weights.values()]
        count = len(weights) - 1
        # first the likelihood's, then those of the answers; of maps the likelihood's alone, the others are standard
        self.register_buffer("centre", torch.zeros(1 + count))
        self.register_buffer("spread", torch.ones(1 + count))
        self.register_buffer("map_centre", torch.zeros(()))
        self.register_buffer("map_spread", torch.ones(()))

    @property
    def count(self) -> int:
        """Q."""
        return len(self.weights) - 1

    @property
    def asks_place(self) -> bool:
        """Whether the likelihood's own score counts at all."""
        return self.weights[0] > 0

    @property
    def parameter_count(self) -> int:
        """Numbers that were learned."""
        return 3 * len(self.weights) + 2

    def describe(self) -> dict[str, Any]:
        """What makes the same again, but for centres and standard deviations."""
        return {"weights": dict(zip(self.names, self.weights, strict=True))}

    def standard(self, own: Tensor, answers: Tensor) -> Tensor:
        """(B,) scores of the likelihood and (B, Q, h, h) answers -> (B, 1 + Q), about 0 +- 1 on out-of-fold normals."""
        # without the inverse hyperbolic sine a defect far outside would count by the likelihood alone: its score is
        # linear in the distance, the answers are logarithms of theirs
        columns = torch.cat([own.asinh()[:, None], soft_maximum(answers)], 1)
        return (columns - self.centre) / self.spread

    def combine(self, own: Tensor, answers: Tensor) -> Tensor:
        """One score (B,): the weighted mean."""
        return self.standard(own, answers) @ own.new_tensor(self.weights)

    def heat_map(self, heat: Tensor, answers: Tensor) -> Tensor:
        """(B, side, side) of the likelihood and (B, Q, side, side) answers -> (B, side, side), about 1 on normals."""
        total = (answers * answers.new_tensor(self.weights[1:])[:, None, None]).sum(1)
        if self.asks_place:
            total = total + self.weights[0] * (self._log(heat) - self.map_centre) / self.map_spread
        heat = (CONTRAST * total).exp()
        return (heat + smoothed(heat, MAP_SMOOTHING)) / 2

    def fit_map(self, heats: Iterable[Tensor]) -> None:
        """Centre and spread of the likelihood's heat map on normal images, (B, side, side) each."""
        logs = torch.cat([self._log(heat).flatten() for heat in heats])
        self.map_centre.copy_(logs.mean())
        self.map_spread.copy_(logs.std().clamp_min(SMALLEST))

    def fit_scores(self, own: np.ndarray, answers: np.ndarray) -> None:
        """Centre and spread on normal images: of the likelihood's scores (N,) and those of the answers (M, Q)."""
        columns: Sequence[np.ndarray] = [np.arcsinh(own), *answers.T]
        self.centre.copy_(torch.tensor([float(column.mean()) for column in columns]))
        self.spread.copy_(torch.tensor([max(float(column.std()), SMALLEST) for column in columns]))

    @staticmethod
    def _log(heat: Tensor) -> Tensor:
        return (heat + SMALLEST).log()


def soft_maximum(answers: Tensor) -> Tensor:
    """(B, Q, h, h) -> (B, Q): the logarithm of the mean of exp(a / `SOFTNESS`) over the cells a, times `SOFTNESS`.

    Boyd and Vandenberghe 2004, "Convex Optimization", 3.1.5: it lies between the largest cell and log(h h) * `SOFTNESS`
    below it, and is the nearer to the largest the fewer cells come near that.
    """
    cells = answers.flatten(2)
    return SOFTNESS * ((cells / SOFTNESS).logsumexp(2) - math.log(cells.shape[2]))


MOST_MAPS = 256
"""Maps of at most so many normals set the centre and spread of the likelihood's heat map."""


@torch.no_grad()
def attach_answers(
    likelihood: FeatureLikelihood,
    answers: Answers,
    out_of_fold: np.ndarray,
    batches: Iterable[Tensor],
    known: np.ndarray | None = None,
) -> None:
    """Give a fitted likelihood the answers that come with its features; sets their centres and standard deviations.

    Args:
        out_of_fold: (N,) the likelihood's combined scores of normal images, from likelihoods that have not seen them.
        batches: (B, Q + d, h, h), answers and directions of normal images, the first ones for the map.
        known: (M, Q) scores of the answers on normal images that the questions have not seen; default: taken from
            `batches`.
    """
    scores, heats, seen = [], [], 0
    for features in batches:
        found = soft_maximum(features[:, : answers.count].float())
        scores.append(found.cpu().numpy())
        if seen < MOST_MAPS:
            heats.append(likelihood(features[:, answers.count :].float()).map)
            seen += len(features)
    answers.fit_scores(out_of_fold, np.concatenate(scores) if known is None else known)
    answers.fit_map(heats)
    likelihood.answers = answers
