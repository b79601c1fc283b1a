"""Areas under detection curves, for one curve or many at once."""

import numpy as np


def area_up_to(rates: np.ndarray, shares: np.ndarray, limit: float = 1.0) -> np.ndarray:
    """Area under `shares` over `rates` from 0 to `limit`, divided by it; the curve is straight between points.

    `rates` and `shares`, (..., T), rise along the last axis and start at 0 there; `rates` ends at 1. Gives (...).
    """
    start, width = rates[..., :-1], np.diff(rates, axis=-1)
    kept = np.clip(limit - start, 0.0, width)
    rise = np.diff(shares, axis=-1) * np.divide(kept, width, out=np.zeros_like(width), where=width > 0)
    return np.sum(kept * (shares[..., :-1] + rise / 2), axis=-1) / limit
