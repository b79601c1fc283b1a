"""What each watch looks at: columns of wafer means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lifecycle.drift.wafer_summary import APPEARANCE_FIGURES, WaferSummary

LEVEL, LATENT_MEAN, LATENT_VARIANCE, DISTRIBUTION, APPEARANCE, FLAGGED, UNJUDGED = (
    "level", "latent mean", "latent variance", "distribution", "appearance", "flagged", "unjudged",
)  # fmt: skip
WATCHES = (LEVEL, LATENT_MEAN, LATENT_VARIANCE, DISTRIBUTION, APPEARANCE, FLAGGED, UNJUDGED)
BY_MEANS = (LEVEL, LATENT_MEAN, LATENT_VARIANCE, APPEARANCE, FLAGGED, UNJUDGED)
SMALLEST_SPREAD = 1e-6
"""A column that spreads less is constant: what is left is rounding."""


class Columns(NamedTuple):
    """What one watch reads of N wafers.

    Attributes:
        rows: (N, c); a row with NaN is a wafer that has nothing to say.
        names: Of the columns.
        floor: (c,) standard deviation between wafers that counting alone gives; 0 where nothing is counted.
    """

    rows: np.ndarray
    names: tuple[str, ...]
    floor: np.ndarray


def columns_of(watch: str, wafers: Sequence[WaferSummary], width: int) -> Columns:
    """The columns of one watch.

    Args:
        watch: One of `BY_MEANS`.
        wafers: N wafers.
        width: Coordinates of a latent (`LATENT_MEAN`) or figures of the appearance; others ignore it.
    """
    if watch == LEVEL:
        return _plain([[w.level] for w in wafers], ("score",))
    if watch == LATENT_MEAN:
        return _plain([_filled(w.latent, width) for w in wafers], tuple(f"z{i}" for i in range(width)))
    if watch == LATENT_VARIANCE:
        return _plain([[w.log_variance] for w in wafers], ("log variance",))
    if watch == APPEARANCE:
        return _plain([_filled(w.appearance, width) for w in wafers], APPEARANCE_FIGURES[:width])
    counts = [(w.flagged if watch == FLAGGED else w.unjudged, w.images) for w in wafers]
    return _shares(counts, "share of flagged images" if watch == FLAGGED else "share that cannot be judged")


def width_of(watch: str, wafers: Sequence[WaferSummary]) -> int:
    """How many columns wafers have for a watch; 0: none has any."""
    if watch == LATENT_MEAN:
        return max((len(w.latent) for w in wafers), default=0)
    if watch == APPEARANCE:
        return max((len(w.appearance) for w in wafers), default=0)
    return 1 if len(wafers) else 0


def _plain(rows: Sequence[Sequence[float] | np.ndarray], names: tuple[str, ...]) -> Columns:
    return Columns(np.array(rows, float).reshape(len(rows), len(names)), names, np.zeros(len(names)))


def _filled(values: np.ndarray, width: int) -> np.ndarray:
    return values if len(values) == width else np.full(width, np.nan)


def _shares(counts: Sequence[tuple[int, int]], name: str) -> Columns:
    """Shares on the angular scale, where their spread hardly depends on them (Anscombe, Biometrika 35, 1948)."""
    found, total = np.array(counts, float).reshape(-1, 2).T
    rows = np.arcsin(np.sqrt((found + 0.375) / (total + 0.75)))
    rows[total < 1] = np.nan
    floor = 1 / (2 * np.sqrt(max(float(np.median(total)) if len(total) else 1.0, 1.0) + 0.5))
    return Columns(rows[:, None], (name,), np.array([floor]))
