"""Fitting the feature likelihood in closed form, in three passes over the normal images.

Pass one collects moments (means, pooled covariance, pooled-to-feature covariance), split into folds; pass two
collects residual covariances, and cells for the heat map's prototypes; pass three judges every image by a likelihood
that has not seen it, which gives the centre and the spread of each level's score. Memory does not depend on the
number of images. Residuals are cross-fitted: those of an image come from a mean and a latent that never saw its fold,
so the covariance is honest on images outside the fit. The robust fit then fits again without the images that pass
three found far beyond the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from likelihood.config import LikelihoodConfig
from likelihood.folds import FeatureBatches, by_fold, numbered
from likelihood.level import FeatureLevel
from likelihood.model import FeatureLikelihood
from likelihood.moments import Moments, solve
from likelihood.prototypes import CellSample, fit_prototypes
from likelihood.whitening import whitening_of
from wafer_data.errors import InputError

FAR = 5.0
"""An image is left out by the robust fit beyond this many robust standard deviations above the median score."""

MOST_DESCRIBED = 20_000
"""Descriptions are kept of at most this many images: more teach a defect head nothing, and would fill the memory."""


class OutOfFold(NamedTuple):
    """What likelihoods that have not seen an image say about it.

    scores: (N, L) of the levels. described: (M,) places of the images that are described. descriptions: (M, m).
    """

    scores: np.ndarray
    described: np.ndarray
    descriptions: np.ndarray


class Fit(NamedTuple):
    """A fitted likelihood, what those of the folds say about images they have not seen, and which it kept (N,).

    held_out: the likelihood of each fold, which has seen nothing of the images whose place, modulo the folds, is its
    number.
    """

    likelihood: FeatureLikelihood
    out_of_fold: OutOfFold
    kept: np.ndarray
    held_out: list[FeatureLikelihood]

    @property
    def normal_scores(self) -> np.ndarray:
        """(n,) combined scores of the images that were kept, from likelihoods that have not seen them."""
        return self.likelihood.combine(torch.from_numpy(self.out_of_fold.scores[self.kept])).numpy()

    @torch.no_grad()
    def out_of_fold_scores(self, features: Tensor, fold: int) -> np.ndarray:
        """Combined scores (B,) of features (B, d, h, h) of a fold's images or of changed copies of them.

        Unlike in `out_of_fold`, covariances have not seen the fold either. With few images it matters: an image that
        takes part in them is closer to them than any changed copy of it.
        """
        own = self.held_out[fold]
        residuals = own.residuals(features, own.encode(features))
        return self.likelihood.combine(own.compare(features, residuals)[0]).numpy()


def fit_likelihood(batches: FeatureBatches, config: LikelihoodConfig) -> FeatureLikelihood:
    """Fit the conditional Gaussian to features of normal images. See `fit_folds`."""
    return fit_folds(batches, config).likelihood


def fit_folds(batches: FeatureBatches, config: LikelihoodConfig) -> Fit:
    """Fit the conditional Gaussian to features of normal images; also what the folds' likelihoods say about them.

    Args:
        batches: see `FeatureBatches`. An image's place in the order decides its fold.
        config: latent size, levels, ridge, floor, folds, and how many images a robust fit may leave out.

    Raises:
        InputError: fewer images than folds need, or a feature that is not finite.
    """
    fit = _fit(batches, config)
    if not config.contamination:
        return fit
    for _ in range(2):  # once more: what was left out had widened the spread that it was judged by
        scores = fit.likelihood.combine(torch.from_numpy(fit.out_of_fold.scores)).numpy()
        kept = keep_ordinary(scores, config.contamination)
        if (kept == fit.kept).all():
            break
        fit = _fit(batches, config, kept)
    return fit


def keep_ordinary(scores: np.ndarray, contamination: float) -> np.ndarray:
    """Which images stay: all but the highest-scoring, at most a share of `contamination`, and only those far out.

    scores: (N,) of likelihoods that have not seen the image. Far is more than `FAR` robust standard deviations
    (1.4826 times the median absolute deviation) above the median.
    """
    centre = np.median(scores)
    spread = 1.4826 * np.median(np.abs(scores - centre))
    most = int(contamination * len(scores))
    highest = np.zeros(len(scores), bool)
    highest[np.argsort(scores, kind="stable")[len(scores) - most :]] = True
    return ~(highest & (scores > centre + FAR * spread))


def _fit(batches: FeatureBatches, config: LikelihoodConfig, kept: np.ndarray | None = None) -> Fit:
    folds, channels, size, seen = _collect_moments(batches, config, kept)
    total = folds[0]
    for fold in folds[1:]:
        total = total.combine(fold, +1)
    if total.count < 2 * config.folds or min(total.count - fold.count for fold in folds) < 2:
        raise InputError(
            f"{total.count} normal images are too few to fit the likelihood with {config.folds} folds: "
            f"give at least {2 * config.folds} training images"
        )
    held_out = [solve(total.combine(fold, -1), config, channels, size) for fold in folds]
    model = solve(total, config, channels, size)
    kept = np.ones(seen, bool) if kept is None else kept
    cells = CellSample(np.flatnonzero(kept)) if config.prototypes else None
    _fit_covariances(model, batches, held_out, config, kept, cells)
    out_of_fold = _score_out_of_fold(model, held_out, batches, config, seen)
    if cells is not None:  # after the scoring, which draws no map
        model.prototypes = fit_prototypes(cells.rows(), config.prototypes, config.floor)
    model.level_centre.copy_(torch.from_numpy(out_of_fold.scores[kept].mean(0)))
    model.level_spread.copy_(torch.from_numpy(out_of_fold.scores[kept].std(0) + 1e-6))
    return Fit(model, out_of_fold, kept, held_out)


def _score_out_of_fold(
    model: FeatureLikelihood,
    held_out: list[FeatureLikelihood],
    batches: FeatureBatches,
    config: LikelihoodConfig,
    count: int,
) -> OutOfFold:
    """Score and describe every image by the likelihood of the fold that has not seen it.

    The folds borrow the whole model's covariances, which come from cross-fitted residuals already.
    """
    every = -(-count // MOST_DESCRIBED)
    scores, described, descriptions = np.zeros((count, len(model.level_centre)), np.float32), [], []
    for fold, places, part in by_fold(batches, config.folds):
        held_out_by = held_out[fold]
        level_scores, _, description = model.compare(
            part, held_out_by.residuals(part, held_out_by.encode(part))
        )
        scores[places] = level_scores.numpy()
        chosen = places % every == 0
        described.append(places[chosen])
        descriptions.append(description.numpy()[chosen])
    places = np.concatenate(described)
    order = np.argsort(places)  # of the images, whatever the batches were
    return OutOfFold(scores, places[order], np.concatenate(descriptions)[order])


def _collect_moments(
    batches: FeatureBatches, config: LikelihoodConfig, kept: np.ndarray | None
) -> tuple[list[Moments], int, int, int]:
    """Sums of each fold, channels, side of the map, and the number of images."""
    folds: list[Moments] = []
    shape: FeatureLikelihood | None = None
    seen = channels = size = 0

    def checked() -> Iterator[Tensor]:
        nonlocal seen
        for start, features in numbered(batches):
            seen = start + len(features)
            if not torch.isfinite(features).all():
                raise InputError(f"features of training images {start} to {seen - 1} are not finite")
            yield features

    for fold, _, features in by_fold(checked, config.folds, kept):
        if shape is None:
            channels, size = features.shape[1], features.shape[2]
            shape = FeatureLikelihood(config, channels, size, 1)
            folds = [Moments.empty(config, channels, size) for _ in range(config.folds)]
        folds[fold].add(features, shape)
    if not folds:
        raise InputError("no normal images to fit the likelihood to")
    return folds, channels, size, seen


def _fit_covariances(
    model: FeatureLikelihood,
    batches: FeatureBatches,
    held_out: list[FeatureLikelihood],
    config: LikelihoodConfig,
    kept: np.ndarray,
    cells: CellSample | None,
) -> None:
    """Whitening matrices of every level from cross-fitted residuals, in place; fills `cells` with the first level's.

    The folds' likelihoods get the same from all residuals but their own fold's.
    """
    sums = [
        [torch.zeros_like(level.whitening, dtype=torch.float64) for level in model.level_list]
        for _ in held_out
    ]
    counts = [0] * len(held_out)
    for fold, places, part in by_fold(batches, config.folds, kept):
        counts[fold] += len(part)
        if cells is not None:
            cells.add(places, model.level_list[0].average(part))
        residuals = held_out[fold].residuals(part, held_out[fold].encode(part))
        for own, level, residual in zip(sums[fold], model.level_list, residuals, strict=True):
            own += level.covariance(residual)
    for i, level in enumerate(model.level_list):
        total = sum((own[i] for own in sums[1:]), sums[0][i])
        level.whitening.copy_(_whitening(total, sum(counts), level, config.floor))
        for fold, other in enumerate(held_out):
            own, count = total - sums[fold][i], sum(counts) - counts[fold]
            other.level_list[i].whitening.copy_(_whitening(own, count, level, config.floor))


def _whitening(total: Tensor, images: int, level: FeatureLevel, floor: float) -> Tensor:
    """Inverse Cholesky factors of the blocks' covariances, scaled so that a normal residual has mean square one.

    total: (blocks, d, d) sums of r r'. Each block's covariance is drawn towards the mean of all blocks with the
    weight of d samples (the posterior mean under an inverse Wishart prior of d more degrees of freedom than it
    needs), which matters with few images only. floor, as a share of the mean variance, is added to the diagonal.
    """
    samples, d = images * level.block**2, level.channels
    prior = total.mean(0) / samples
    covariance = (total + d * prior) / (samples + d)
    whitening = whitening_of(covariance, prior.diagonal().mean(), floor)
    # mean of (whitening r)^2 over training: trace(whitening C whitening') / d
    mean_square = torch.einsum("bij,bjk,bik->", whitening, total / samples, whitening) / (len(total) * d)
    return (whitening / mean_square.clamp_min(1e-12).sqrt()).float()
