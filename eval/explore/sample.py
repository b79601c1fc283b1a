"""Which images are looked at: all, or of many an evenly spaced part, so that time and memory stay bounded."""

import collections
from collections.abc import Sequence

import numpy as np

from wafer_data.spread import spread

MOST = 2000
"""At most this many images of one kind are read."""


def evenly(indices: np.ndarray, count: int = MOST) -> np.ndarray:
    """At most `count` of the indices, evenly spaced, the first and the last among them."""
    return spread(indices, count)


def evenly_by_type(indices: np.ndarray, types: Sequence[str], count: int = MOST) -> np.ndarray:
    """At most `count` of the indices, ascending; where some must go, rare types keep more of theirs.

    `types` holds the type of each index.
    """
    places = _places(types)
    quotas = share_out({name: len(found) for name, found in places.items()}, count)
    return np.sort(np.concatenate([evenly(indices[places[name]], quotas[name]) for name in places]))


def pick_by_type(
    indices: np.ndarray, types: Sequence[str], count: int, rng: np.random.Generator
) -> np.ndarray:
    """Up to `count` of the indices at random, about as many of each type, types in alphabetical order."""
    places = _places(types)
    quotas = share_out({name: len(found) for name, found in places.items()}, count)
    return np.concatenate(
        [
            np.sort(rng.choice(indices[places[name]], quotas[name], replace=False))
            for name in places
            if quotas[name]
        ]
    )


def share_out(available: dict[str, int], total: int) -> dict[str, int]:
    """How many of each kind to take: equal parts of `total`, what a small kind lacks going to the others."""
    left, quotas = total, dict.fromkeys(available, 0)
    by_size = sorted(available, key=lambda name: available[name])
    for place, name in enumerate(by_size):
        quotas[name] = min(available[name], left // (len(by_size) - place))
        left -= quotas[name]
    return quotas


def _places(types: Sequence[str]) -> dict[str, np.ndarray]:
    found: dict[str, list[int]] = collections.defaultdict(list)
    for place, name in enumerate(types):
        found[name].append(place)
    return {name: np.array(found[name]) for name in sorted(found)}
