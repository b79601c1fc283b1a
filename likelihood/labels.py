"""Learning from a few labelled defects without forgetting those that nobody has labelled."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from likelihood.config import LikelihoodConfig
from likelihood.defect_head import fit_head
from likelihood.fit import Fit, fit_folds
from likelihood.folds import FeatureBatches
from likelihood.model import FeatureLikelihood


def fit_with_labels(
    batches: FeatureBatches, labelled: Iterable[Tensor], config: LikelihoodConfig, seed: int
) -> Fit:
    """The likelihood of normal images, with a defect head where there are labelled defects.

    Args:
        batches: features of the training normals, see `likelihood.folds.FeatureBatches`.
        labelled: batches (B, d, h, h) of features of labelled defects; none, and there is no head.
        config: of the likelihood; `head_strength` is for the head.
        seed: of the head's folds.
    """
    fit = fit_folds(batches, config)
    likelihood = fit.likelihood
    found = [_describe(likelihood, features.float().cpu()) for features in labelled]
    if not found:
        return fit
    ordinary = fit.kept[fit.out_of_fold.described]
    scores = likelihood.combine(torch.from_numpy(fit.out_of_fold.scores[fit.out_of_fold.described][ordinary]))
    likelihood.head = fit_head(
        fit.out_of_fold.descriptions[ordinary],
        scores.numpy(),
        np.concatenate(found),
        config.head_strength,
        config.folds,
        seed,
    )
    return fit


@torch.no_grad()
def _describe(likelihood: FeatureLikelihood, features: Tensor) -> np.ndarray:
    residuals = likelihood.residuals(features, likelihood.encode(features))
    return likelihood.compare(features, residuals)[2].numpy()
