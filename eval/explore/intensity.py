"""Histograms of intensities, from exact counts of grey levels to the bins that are drawn."""

from dataclasses import dataclass

import numpy as np

_BINS = 128


@dataclass(frozen=True)
class Histograms:
    """Shares of pixels by intensity, all groups over the same bins.

    Attributes:
        edges: (B + 1,) intensities as shares of full scale.
        shares: Of each group, (B,) summing to 1.
    """

    edges: list[float]
    shares: dict[str, list[float]]


def histograms(groups: dict[str, np.ndarray]) -> Histograms:
    """At most 128 bins of equal width over the levels that occur in any group.

    `groups` holds counts by grey level, all of one length; groups without a pixel are left out.
    """
    groups = {name: counts for name, counts in groups.items() if counts.sum()}
    occupied = np.flatnonzero(np.sum(list(groups.values()), axis=0))
    first, levels = int(occupied[0]), len(next(iter(groups.values())))
    width = -(-(int(occupied[-1]) + 1 - first) // _BINS)
    bins = -(-(int(occupied[-1]) + 1 - first) // width)
    shares = {}
    for name, counts in groups.items():
        part = np.zeros(bins * width, np.int64)
        inside = counts[first : first + bins * width]
        part[: len(inside)] = inside
        shares[name] = (part.reshape(bins, width).sum(axis=1) / counts.sum()).tolist()
    edges = (first - 0.5 + width * np.arange(bins + 1)) / (levels - 1)
    return Histograms(edges.tolist(), shares)


def level_quantile(counts: np.ndarray, share: float) -> int:
    """The lowest grey level that at least `share` of the pixels do not exceed."""
    total = np.cumsum(counts)
    return int(np.searchsorted(total, share * total[-1] * (1 - 1e-12)))
