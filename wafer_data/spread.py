"""A part of many images that stands for all of them."""

import numpy as np


def spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the indices, evenly spaced, the first and the last among them."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]
