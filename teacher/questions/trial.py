"""Trying the questions on what they have not seen, and fitting those that are chosen.

Evidence comes from training normals and from defects painted on them. Every question is answered for a fold of the
images by one that was fitted to the other folds, and the painted question has not seen the kinds of defect of that
fold either: painted defects overrate whoever learned from the same painters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likelihood.answers import PLACE, soft_maximum
from teacher.questions.asked import SMALLEST, Questions
from teacher.questions.choice import Choice, choose
from teacher.questions.config import QuestionsConfig
from teacher.questions.fit import Candidate, batches, fit_candidates
from teacher.questions.sample import Sample

SCHEMA = 3
RECORD = "questions.json"

PlaceScores = Callable[[Tensor, np.ndarray], np.ndarray]
"""(features (B, d, h, h), places (B,) of their originals among the training normals) -> (B,) out-of-fold scores."""


class Trial(NamedTuple):
    """What was found: the questions that are asked (None: none but that of places), and the record in plain figures.

    known: (n, Q) image scores of the answers on out-of-fold normals.
    """

    questions: Questions | None
    known: np.ndarray
    choice: Choice
    record: dict[str, Any]

    @property
    def weights(self) -> dict[str, float]:
        """Of the place-bound likelihood and of the answers, in their order."""
        names = self.questions.names if self.questions is not None else []
        return {name: self.choice.weights.get(name, 0.0) for name in (PLACE, *names)}


def try_questions(sample: Sample, place_scores: PlaceScores, config: QuestionsConfig, seed: int) -> Trial:
    """Fit, try and choose."""
    candidates = fit_candidates(sample, config, seed)
    answered = {name: _answered(sample, candidate) for name, candidate in candidates.items()}
    order = np.concatenate([sample.normals_of(fold) for fold in range(sample.folds)])
    painted_order = np.concatenate([sample.painted_of(fold) for fold in range(sample.folds)])
    folds, painted_folds = order % sample.folds, sample.source[painted_order] % sample.folds
    own = (
        np.arcsinh(_place(sample.normal, sample.places, place_scores)[order]),
        np.arcsinh(_place(sample.painted, sample.places[sample.source], place_scores)[painted_order]),
    )
    found = {PLACE: own} | {name: (a.normal, a.painted) for name, a in answered.items()}
    standard = {
        name: _standard(normal, painted, folds, painted_folds) for name, (normal, painted) in found.items()
    }
    choice = choose(standard, sample.kinds[painted_order], config.worth, seed)
    asked = [name for name in choice.weights if name != PLACE]
    record = {
        "schema": SCHEMA,
        "images": len(sample.normal),
        "painted": len(sample.painted),
        **choice.to_dict(),
    }
    if not asked:
        return Trial(None, np.empty((0, 0)), choice, record)
    questions = Questions({name: candidates[name].whole for name in asked}).eval().requires_grad_(False)
    for i, name in enumerate(asked):
        questions.centre[i], questions.spread[i] = answered[name].centre, answered[name].spread
    known = np.stack([answered[name].normal for name in asked], 1)
    return Trial(questions, known, choice, record)


class Answered(NamedTuple):
    """Image scores of normals (n,) and painted images (m,), fold by fold; mean and deviation of the normals' cells."""

    normal: np.ndarray
    painted: np.ndarray
    centre: float
    spread: float


@torch.no_grad()
def _answered(sample: Sample, candidate: Candidate) -> Answered:
    normal, painted = [], []
    for fold, answer in enumerate(candidate.held_out):
        normal += [answer(features) for features in batches(sample.normal, sample.normals_of(fold))]
        painted += [answer(features) for features in batches(sample.painted, sample.painted_of(fold))]
    cells, others = torch.cat(normal), torch.cat(painted)
    centre, spread = float(cells.mean()), max(float(cells.std()), SMALLEST)
    of_normal, of_painted = (
        soft_maximum((maps[:, None] - centre) / spread)[:, 0] for maps in (cells, others)
    )
    return Answered(of_normal.numpy(), of_painted.numpy(), centre, spread)


def _place(features: Tensor, places: np.ndarray, scores: PlaceScores) -> np.ndarray:
    found = np.zeros(len(features))
    for start in range(0, len(features), 32):
        rows = slice(start, start + 32)
        found[rows] = scores(features[rows].float(), places[rows])
    return found


def _standard(
    normal: np.ndarray, painted: np.ndarray, folds: np.ndarray, painted_folds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both in standard deviations of the normals of their own fold: each fold was answered by another model."""
    normal, painted = normal.astype(float), painted.astype(float)
    for fold in np.unique(folds):
        own = normal[folds == fold]
        centre, spread = own.mean(), max(float(own.std()), SMALLEST)
        normal[folds == fold] = (own - centre) / spread
        chosen = painted_folds == fold
        painted[chosen] = (painted[chosen] - centre) / spread
    return normal, painted
