"""What drift looks at: a few numbers of each wafer. Images of one wafer are alike, so the wafer is the unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


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
        latent: (m, k) means of q(z|x) of those images, or (0, 0) where latents are not kept.
        appearance: (f,) means over all its images of the quality figures that every image has.
    """

    wafer: str
    lot: str | None
    scores: np.ndarray
    latent: np.ndarray
    appearance: np.ndarray


class Measured(NamedTuple):
    """Columns of wafer means that one watch compares.

    Attributes:
        units: (U, c) means over the images of a unit (a lot, or a wafer where there are few lots).
        names: c names of the columns.
    """

    units: np.ndarray
    names: tuple[str, ...]


def unit_of(summary: WaferSummary, by_lot: bool) -> str:
    """What a wafer is counted under."""
    return f"lot {summary.lot}" if by_lot and summary.lot else f"wafer {summary.wafer}"


def unit_means(summaries: Sequence[WaferSummary], columns: np.ndarray, by_lot: bool) -> np.ndarray:
    """Means of wafer columns over units.

    Args:
        summaries: N wafers.
        columns: (N, c), one row a wafer.
        by_lot: Whether wafers of a lot are one unit.

    Returns:
        (U, c), in order of first appearance.
    """
    places: dict[str, list[int]] = {}
    for index, summary in enumerate(summaries):
        places.setdefault(unit_of(summary, by_lot), []).append(index)
    return np.array([columns[rows].mean(0) for rows in places.values()]).reshape(-1, columns.shape[1])
