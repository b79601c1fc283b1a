"""Teacher and students as functions of arrays, for all that scores images without training anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from likelihood.model import Scores


class ArrayScores(NamedTuple):
    """`Scores` as numpy arrays: score (B,) float64, map (B, h, w), latent (B, k)."""

    score: np.ndarray
    map: np.ndarray
    latent: np.ndarray


class Detector(Protocol):
    """What scores images: a teacher or a student."""

    def score(self, image: Tensor) -> Scores:
        """Score, map and latent of (B, C, S, S) images in [0, 1]."""


def on_arrays(model: Detector) -> Callable[[np.ndarray], ArrayScores]:
    """The model as a function of images, float32 (B, C, S, S) in [0, 1]; no gradient is kept."""

    @torch.inference_mode()
    def score(images: np.ndarray) -> ArrayScores:
        found = model.score(torch.from_numpy(images))
        return ArrayScores(found.score.double().numpy(), found.map.numpy(), found.latent.numpy())

    return score
