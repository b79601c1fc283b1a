"""Features of images, batch after batch, put together by the fold that an image belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

FeatureBatches = Callable[[], Iterable[Tensor]]
"""Called once a pass; yields (B, d, h, h) features, the same images in the same order each time."""

TOGETHER = 64
"""Images of a fold that are added to its sums at a time: the sums are large, and adding to them is most of the work."""


def numbered(batches: FeatureBatches) -> Iterator[tuple[int, Tensor]]:
    """Batches in float32 on the CPU, each with the number of images before it."""
    seen = 0
    for features in batches():
        features = features.float().cpu()
        yield seen, features
        seen += len(features)


def by_fold(
    batches: FeatureBatches, folds: int, kept: np.ndarray | None = None
) -> Iterator[tuple[int, np.ndarray, Tensor]]:
    """Images of one fold, at least `TOGETHER` but for the last: the fold, their places in the order, their features."""
    waiting: list[list[tuple[np.ndarray, Tensor]]] = [[] for _ in range(folds)]
    for start, features in numbered(batches):
        for fold, mask in enumerate(_fold_masks(start, len(features), folds, kept)):
            if mask.any():
                waiting[fold].append((start + np.flatnonzero(mask.numpy()), features[mask]))
            if sum(len(places) for places, _ in waiting[fold]) >= TOGETHER:
                yield fold, *_joined(waiting[fold])
                waiting[fold] = []
    for fold, parts in enumerate(waiting):
        if parts:
            yield fold, *_joined(parts)


def _joined(parts: list[tuple[np.ndarray, Tensor]]) -> tuple[np.ndarray, Tensor]:
    places, features = zip(*parts, strict=True)
    return np.concatenate(places), torch.cat(features)


def _fold_masks(start: int, count: int, folds: int, kept: np.ndarray | None) -> list[Tensor]:
    order = torch.arange(start, start + count) % folds
    use = torch.ones(count, dtype=torch.bool)
    if kept is not None:
        use = torch.from_numpy(kept[start : start + count])
    return [(order == fold) & use for fold in range(folds)]
