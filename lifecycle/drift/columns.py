"""What each watch looks at: columns of numbers, a row a wafer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lifecycle.drift.wafer_summary import APPEARANCE_FIGURES, WaferSummary

LEVEL, LATENT_MEAN, LATENT_VARIANCE, DISTRIBUTION, APPEARANCE, FLAGGED, UNJUDGED = (
    "level", "latent mean", "latent variance", "distribution", "appearance", "flagged", "unjudged",
)  # fmt: skip
WATCHES = (LEVEL, LATENT_MEAN, LATENT_VARIANCE, DISTRIBUTION, APPEARANCE, FLAGGED, UNJUDGED)
BY_MEANS = (LEVEL, LATENT_VARIANCE, FLAGGED, UNJUDGED, APPEARANCE, LATENT_MEAN)
"""Watches that compare means, in the order of their columns."""
SMALLEST_SPREAD = 1e-6
"""A column that spreads less is constant: what is left is rounding."""
GAIN = "gain"
"""Column of the appearance that weighs brightness and contrast together (`lifecycle.drift.gain`)."""
_LOOKS = (*APPEARANCE_FIGURES, GAIN)
_COUNTED = (FLAGGED, UNJUDGED)


@dataclass(frozen=True)
class Layout:
    """Which columns there are.

    Attributes:
        names: (C,) of the columns.
        watch: (C,) index into `BY_MEANS` of the watch that looks at each.
    """

    names: tuple[str, ...]
    watch: np.ndarray

    @classmethod
    def of(cls, latent: int) -> Layout:
        """The layout for latents of so many coordinates."""
        found = [
            (LEVEL, "score"), (LATENT_VARIANCE, "log variance"), (FLAGGED, "share of flagged images"),
            (UNJUDGED, "share that cannot be judged"), *((APPEARANCE, name) for name in _LOOKS),
            *((LATENT_MEAN, f"z{i}") for i in range(latent)),
        ]  # fmt: skip
        return cls(tuple(name for _, name in found), np.array([BY_MEANS.index(watch) for watch, _ in found]))

    def columns(self, watch: str) -> slice:
        """Where a watch's columns lie."""
        of = np.flatnonzero(self.watch == BY_MEANS.index(watch))
        return slice(int(of[0]), int(of[-1]) + 1) if len(of) else slice(0, 0)


def rows_of(wafers: Sequence[WaferSummary], layout: Layout, numbers: np.ndarray) -> np.ndarray:
    """The columns of N wafers, (N, C); NaN where a wafer has nothing to say, and in `GAIN`.

    Args:
        wafers: They.
        layout: Of the columns.
        numbers: (N, 8) their `WaferSummary.numbers`.
    """
    look, latent = layout.columns(APPEARANCE), layout.columns(LATENT_MEAN)
    rows = np.full((len(wafers), len(layout.names)), np.nan)
    rows[:, : look.start] = numbers[:, : look.start]
    _fill(rows, look.start, [w.appearance for w in wafers], len(APPEARANCE_FIGURES))
    _fill(rows, latent.start, [w.latent for w in wafers], latent.stop - latent.start)
    rows[~np.isfinite(rows)] = np.nan
    return rows


def _fill(rows: np.ndarray, place: int, values: Sequence[np.ndarray], width: int) -> None:
    """Write what each wafer has, (width,); one that has something else, or nothing, has nothing to say."""
    known = np.array([len(one) == width for one in values], bool)
    if width and known.any():
        rows[known, place : place + width] = [one for one in values if len(one) == width]


def floors(layout: Layout, images: np.ndarray) -> np.ndarray:
    """Standard deviation between wafers that counting alone gives, (O, C); 0 where nothing is counted.

    Args:
        layout: Of the columns.
        images: (O,) typical images of a wafer of each stream.
    """
    found = np.zeros((len(images), len(layout.names)))
    for watch in _COUNTED:
        found[:, layout.columns(watch)] = 1 / (2 * np.sqrt(np.maximum(images, 1.0) + 0.5))[:, None]
    return found
