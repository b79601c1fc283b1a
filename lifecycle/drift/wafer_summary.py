"""What drift looks at: a few numbers of each wafer. Images of one wafer are alike, so the wafer is the unit."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np

APPEARANCE_FIGURES = ("brightness", "contrast", "sharpness")
"""Columns of `WaferSummary.appearance`: logarithms, so that a gain is the same step on a dark and a bright layer."""
_MEASURED = ("mean", "std", "sharpness")
_LEAST = 1e-6
Kept = TypeVar("Kept")
_HEAD = struct.Struct("<IHH")


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
            images that PASS.
        latent: (k,) mean of the means of q(z|x) of those images, or (0,) where latents are not kept.
        log_variance: Logarithm of the variance of those latents, mean over coordinates; NaN for fewer than two images.
        appearance: (3,) medians over all its images, see `APPEARANCE_FIGURES`; (0,) where they are not kept.
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
        look = np.median(np.log(np.maximum(whole, _LEAST)), axis=0) if len(whole) else np.empty(0)
        spread = float(np.log(latents.var(0).mean() + 1e-12)) if len(latents) >= 2 else float("nan")
        middle = latents.mean(0) if len(latents) else np.empty(0)
        count = len(scores) if images is None else images
        return cls(wafer, lot, scores, middle, spread, look, count, flagged, unjudged)

    def pack(self) -> bytes:
        """The arrays as bytes (float32), read back by `unpack`."""
        head = _HEAD.pack(len(self.scores), len(self.latent), len(self.appearance))
        parts = (self.scores, self.latent, [self.log_variance], self.appearance)
        return head + np.concatenate(parts).astype("<f4").tobytes()


class Reference(tuple[WaferSummary, ...]):
    """A stream's wafers from when all was well. Several windows are held against them: what that takes is kept."""

    def remember(self, key: tuple[Any, ...], make: Callable[[], Kept]) -> Kept:
        """What `make` gives, made once."""
        known: dict[tuple[Any, ...], Any] = self.__dict__.setdefault("known", {})
        if key not in known:
            known[key] = make()
        found: Kept = known[key]
        return found


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


def unit_of(summary: WaferSummary, by_lot: bool) -> str:
    """What a wafer is counted under."""
    return f"lot {summary.lot}" if by_lot and summary.lot else f"wafer {summary.wafer}"
