"""Fitting the questions to normals and painted defects: to all of a sample, or to all but one fold of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from likelihood.fit import Fit, fit_folds
from likelihood.prototypes import CELLS_EACH, Prototypes
from likelihood.whitening import whitening_of
from teacher.questions.asked import FLOOR, detail_config, raw_answer
from teacher.questions.config import QuestionsConfig
from teacher.questions.context import ContextMoments, fit_context
from teacher.questions.painted import fit_painted
from teacher.questions.sample import PAINTED_SHARE, Sample

READ = 32
MOST_CELLS = 60_000
"""Cells of each kind that the network for painted defects and the prototypes are made from."""

Answer = Callable[[Tensor], Tensor]
"""(B, d, h, h) features -> (B, h, h) raw answers."""


class Candidate:
    """One question: fitted to a whole sample, and answered for each fold by one that has not seen that fold."""

    def __init__(self, whole: nn.Module, held_out: Sequence[Answer]) -> None:
        self.whole, self.held_out = whole, held_out


def batches(features: Tensor, rows: np.ndarray | None = None) -> Iterator[Tensor]:
    """Float32 batches of (N, d, h, h), of some rows only if they are given."""
    chosen = torch.arange(len(features)) if rows is None else torch.from_numpy(rows)
    for part in chosen.split(READ):
        yield features[part].float()


def fit_candidates(sample: Sample, config: QuestionsConfig, seed: int) -> dict[str, Candidate]:
    """Every question of `config.ask`."""
    makers = {"detail": _detail, "context": _context, "nearest": _nearest, "painted": _painted}
    return {name: makers[name](sample, config, seed) for name in config.ask}


def _detail(sample: Sample, config: QuestionsConfig, seed: int) -> Candidate:
    own = detail_config(
        config, sample.normal.shape[-1], len(sample.normal) * (config.folds - 1) // config.folds
    )
    fit: Fit = fit_folds(lambda: batches(sample.normal), own)
    return Candidate(fit.likelihood, [partial(raw_answer, part) for part in fit.held_out])


def _context(sample: Sample, config: QuestionsConfig, seed: int) -> Candidate:
    parts = []
    for fold in range(sample.folds):
        moments = ContextMoments(sample.normal.shape[1])
        for features in batches(sample.normal, sample.normals_of(fold)):
            moments.add(features)
        parts.append(moments)
    total = parts[0]
    for part in parts[1:]:
        total = total.combine(part, +1)
    held_out = [fit_context(total.combine(part, -1), FLOOR) for part in parts]
    return Candidate(fit_context(total, FLOOR), [partial(raw_answer, one) for one in held_out])


def _others(sample: Sample, fold: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the normals and of the painted images outside a fold; None: all."""
    folds = [other for other in range(sample.folds) if other != fold]
    normals = np.concatenate([sample.normals_of(other) for other in folds])
    return normals, np.concatenate([sample.painted_of(other) for other in folds])


def _cells(features: Tensor, rows: np.ndarray, chosen: Tensor | None, seed: int) -> Tensor:
    """At most `MOST_CELLS` cells, (N, d) float32, of images `rows`; chosen: (images, h, h) bool, those allowed."""
    d, cells = features.shape[1], features.shape[2] * features.shape[3]
    if chosen is None:
        places = torch.from_numpy(np.repeat(rows, cells) * cells + np.tile(np.arange(cells), len(rows)))
    else:
        allowed = torch.zeros(len(features), cells, dtype=torch.bool)
        allowed[torch.from_numpy(rows)] = chosen.flatten(1)[torch.from_numpy(rows)]
        places = allowed.flatten().nonzero()[:, 0]
    order = torch.randperm(len(places), generator=torch.Generator().manual_seed(seed))[:MOST_CELLS]
    places = places[order]
    return features.permute(0, 2, 3, 1).reshape(-1, d)[places].float()


def _nearest(sample: Sample, config: QuestionsConfig, seed: int) -> Candidate:
    def fitted(fold: int | None) -> Prototypes:
        return remember(_cells(sample.normal, _others(sample, fold)[0], None, seed), config.prototypes)

    held_out = [partial(raw_answer, fitted(fold)) for fold in range(sample.folds)]
    return Candidate(fitted(None), held_out)


def remember(cells: Tensor, count: int) -> Prototypes:
    """Some of the cells (N, d), in random order, as prototypes in the whitened space of all of them."""
    count = max(1, min(count, len(cells) // CELLS_EACH))
    rows = cells.double()
    mean = rows.mean(0)
    covariance = (rows - mean).T @ (rows - mean) / len(rows)
    found = Prototypes(cells.shape[1], count)
    found.mean.copy_(mean)
    found.whitening.copy_(whitening_of(covariance, covariance.diagonal().mean(), FLOOR))
    found.centres.copy_((rows[:count] - mean) @ found.whitening.double().T)
    return found


def _painted(sample: Sample, config: QuestionsConfig, seed: int) -> Candidate:
    def fitted(fold: int | None) -> nn.Module:
        normals, painted = _others(sample, fold)
        return fit_painted(
            _cells(sample.normal, normals, None, seed),
            _cells(sample.painted, painted, sample.cover == 0, seed),
            _cells(sample.painted, painted, sample.cover > PAINTED_SHARE, seed),
            config.hidden,
            config.steps,
            config.noise,
            seed,
        )

    held_out = [partial(raw_answer, fitted(fold)) for fold in range(sample.folds)]
    return Candidate(fitted(None), held_out)
