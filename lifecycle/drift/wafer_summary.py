"""What drift looks at: a few numbers of each wafer. Images of one wafer are alike, so the wafer is the unit."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

APPEARANCE_FIGURES = ("brightness", "contrast", "sharpness")
"""Columns of `WaferSummary.appearance`: logarithms, so that a gain is the same step on a dark and a bright layer."""
_MEASURED = ("mean", "std", "sharpness")
_LEAST = 1e-6
_HEAD = struct.Struct("<IHH")
SCORE_GRID = np.arange(-5.0, 8.05, 0.1)
"""Where the distribution of a wafer's scores is kept: a tenth of a robust standard deviation apart."""


class Stream(NamedTuple):
    """Whose images belong together.

    Attributes:
        tool: Inspection tool.
        layer: Process layer.
        recipe: Recipe of the bundle.
    """

    tool: str
    layer: str
    recipe: str

    def __str__(self) -> str:
        return f"tool {self.tool}, layer {self.layer}, recipe {self.recipe}"


@dataclass(frozen=True)
class WaferSummary:
    """One wafer as drift sees it.

    Attributes:
        wafer: Its id.
        lot: Its lot; wafers without one count as lots of their own.
        scores: (n,) standardised low-resolution scores (robust standard deviations of normal log-scores) of its
            images that PASS without escalation.
        latent: (k,) mean of the means of q(z|x) of those images, or (0,) where latents are not kept.
        log_variance: Logarithm of the variance of those latents, mean over coordinates; NaN for fewer than two images.
        appearance: (3,) means over all its images but the outermost tenths, see `APPEARANCE_FIGURES`; (0,) where
            they are not kept.
        images: All its images, flagged and unjudged ones too.
        flagged: Of these, REVIEW or REJECT.
        unjudged: Of these, without a score.
    """

    wafer: str
    lot: str | None
    scores: np.ndarray
    latent: np.ndarray
    log_variance: float
    appearance: np.ndarray
    images: int
    flagged: int = 0
    unjudged: int = 0

    @cached_property
    def level(self) -> float:
        """Mean score; NaN where nothing PASSed."""
        return float(self.scores.mean()) if self.scores.size else float("nan")

    @cached_property
    def numbers(self) -> np.ndarray:
        """(8,): level, log variance, shares flagged and not judged on the angular scale, images, `score_sums`.

        On that scale the spread of a share hardly depends on it (Anscombe, Biometrika 35, 1948).
        """
        shares = [
            np.arcsin(np.sqrt((found + 0.375) / (self.images + 0.75))) if self.images else np.nan
            for found in (self.flagged, self.unjudged)
        ]
        return np.array([self.level, self.log_variance, *shares, self.images, *self.score_sums], float)

    @cached_property
    def score_sums(self) -> tuple[float, float, float]:
        """(number, sum, sum of squares) of its scores."""
        return float(self.scores.size), float(self.scores.sum()), float(np.square(self.scores).sum())

    @cached_property
    def below(self) -> np.ndarray:
        """How many scores lie at or below each of `SCORE_GRID`, int32."""
        return np.searchsorted(np.sort(self.scores), SCORE_GRID, "right").astype(np.int32)

    @classmethod
    def of(
        cls,
        wafer: str,
        lot: str | None,
        scores: np.ndarray,
        latents: np.ndarray,
        figures: Iterable[Mapping[str, float | None] | None] = (),
        *,
        images: int | None = None,
        flagged: int = 0,
        unjudged: int = 0,
    ) -> WaferSummary:
        """Summarise a wafer's images.

        Args:
            wafer: Its id. lot: Its lot.
            scores: (n,) of images that PASS without escalation.
            latents: (m, k) of these.
            figures: Of all its images, as `router.gate.FIGURES` names them; None for one that could not be read.
            images: How many; default n.
            flagged: Not PASS. unjudged: Without a score.
        """
        known = [one for one in figures if one is not None]
        rows = [[one.get(name) for name in _MEASURED] for one in known]
        whole = np.array([row for row in rows if None not in row], float)
        look = _middle(np.log(np.maximum(whole, _LEAST))) if len(whole) else np.empty(0)
        spread = float(np.log(latents.var(0).mean() + 1e-12)) if len(latents) >= 2 else float("nan")
        middle = latents.mean(0) if len(latents) else np.empty(0)
        count = len(scores) if images is None else images
        return cls(wafer, lot, scores, middle, spread, look, count, flagged, unjudged)

    def pack(self) -> bytes:
        """The arrays as bytes (float32), read back by `unpack`."""
        head = _HEAD.pack(len(self.scores), len(self.latent), len(self.appearance))
        parts = (self.scores, self.latent, [self.log_variance], self.appearance)
        return head + np.concatenate(parts).astype("<f4").tobytes()


def _middle(rows: np.ndarray) -> np.ndarray:
    """Means without the highest and lowest tenth: odd images do not move them, and they scatter less than medians."""
    cut = len(rows) // 10
    return np.asarray(np.sort(rows, axis=0)[cut : len(rows) - cut].mean(0))


def unpack(
    data: bytes, wafer: str, lot: str | None, images: int, flagged: int, unjudged: int
) -> WaferSummary:
    """The wafer of `WaferSummary.pack`."""
    scores, latent, looks = _HEAD.unpack_from(data)
    values = np.frombuffer(data, "<f4", offset=_HEAD.size).astype(float)
    first, second = scores, scores + latent
    assert len(values) == second + 1 + looks
    return WaferSummary(
        wafer, lot, values[:first], values[first:second], float(values[second]), values[second + 1 :],
        images, flagged, unjudged,
    )  # fmt: skip
