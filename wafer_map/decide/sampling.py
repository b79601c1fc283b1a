"""Which sites of a wafer to inspect next: where nothing is known, and where defects are likely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from wafer_data.errors import DataError

BLOCK = 2_000_000
"""Distances held at a time (16 megabytes): small dies are so many that those of all pairs would fill any memory."""


def next_sites(
    positions: Sequence[tuple[float, float]] | np.ndarray,
    seen: Mapping[int, bool],
    count: int,
    *,
    reach: float | None = None,
    prior: tuple[float, float] = (0.2, 20.0),
    curiosity: float = 1.0,
) -> list[int]:
    """Choose sites one after the other, each as if the ones chosen before it had been inspected.

    A site's rate of defects is estimated from inspected ones around it, weighted by a Gaussian of the distance, with a
    beta prior; the site with the highest upper confidence bound, mean + curiosity x standard deviation, is next
    (Auer et al. 2002, UCB). With nothing seen this spreads sites evenly; around a defect it looks closer.

    Args:
        positions: (n, 2), any unit.
        seen: of inspected sites, by their place in `positions`, whether there was a defect.
        count: how many to choose; fewer are returned if fewer are left.
        reach: the Gaussian's standard deviation; default 1.5 times the typical distance to the nearest site.
        prior: defects and sites that the prior counts for.
        curiosity: weight of what is not known.

    Returns:
        Places in `positions`, the most urgent first.

    Raises:
        DataError: malformed positions, or a seen site that does not exist.
    """
    place = np.asarray(positions, dtype=float)
    if place.ndim != 2 or place.shape[1] != 2 or not np.isfinite(place).all():
        raise DataError(f"positions must be finite and of shape (n, 2), got {place.shape}")
    for site in seen:
        if not 0 <= site < len(place):
            raise DataError(f"there is no site {site} among {len(place)}")
    if count < 0:
        raise DataError(f"count must be at least 0, got {count}")
    if len(place) < 2:
        return [site for site in range(len(place)) if site not in seen][:count]
    if reach is None:
        reach = 1.5 * float(np.median(_nearest(place)))
    width = max(reach, 1e-12)
    inspected = np.zeros(len(place), dtype=bool)
    inspected[list(seen)] = True
    total = prior[1] + _weight(place, list(seen), width)
    hits = prior[0] + _weight(place, [site for site, defect in seen.items() if defect], width)
    chosen: list[int] = []
    while len(chosen) < count and not inspected.all():
        mean = hits / total
        bound = mean + curiosity * np.sqrt(mean * (1 - mean) / (total + 1))
        site = int(np.argmax(np.where(inspected, -np.inf, bound)))
        chosen.append(site)
        inspected[site] = True
        # Its outcome is what is expected of it: the mean stays, what is not known shrinks.
        weight = _weight(place, [site], width)
        hits += weight * mean[site]
        total += weight
    return chosen


def _squared(place: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances (block, m) of the sites to others, for one block of sites after the other."""
    step = max(1, BLOCK // max(1, len(others)))
    for start in range(0, len(place), step):
        rows = slice(start, start + step)
        difference = place[rows, None] - others[None, :]
        yield rows, difference[..., 0] ** 2 + difference[..., 1] ** 2


def _nearest(place: np.ndarray) -> np.ndarray:
    """The distance of each site to the nearest other one."""
    found = np.empty(len(place))
    for rows, squared in _squared(place, place):
        squared[np.arange(len(squared)), np.arange(len(place))[rows]] = np.inf
        found[rows] = squared.min(axis=1)
    return np.sqrt(found)


def _weight(place: np.ndarray, sites: Sequence[int], width: float) -> np.ndarray:
    """The sum of the Gaussian weights that some sites have at every site."""
    found = np.zeros(len(place))
    for rows, squared in _squared(place, place[list(sites)]):
        found[rows] = np.exp(-0.5 * squared / width**2).sum(axis=1)
    return found
