"""How many images pass until the first image of a new defect type is flagged: closed form and simulation.

From some day on, each image shows the new type with probability r, independently; an image of the type is flagged
(REVIEW or REJECT) with probability d. The number of images up to and with the first flagged one is geometric with
probability r d; up to the k-th it is negative binomial.
"""

import math
from dataclasses import dataclass

import numpy as np

HOURS_PER_MONTH = 720.0
"""A month of 30 days, all hours worked."""


@dataclass(frozen=True)
class Delay:
    """Images until something happened, over many draws: median, 95th percentile, and the same in hours.

    None: it does not happen in half, or in 5 %, of the draws.

    Attributes:
        false_flags: Median number of normal images flagged on the way.
    """

    median_images: float | None
    p95_images: float | None
    median_hours: float | None
    p95_hours: float | None
    false_flags: float | None


def hours(images: float, images_per_month: float) -> float:
    """How long it takes to inspect so many images."""
    return images / images_per_month * HOURS_PER_MONTH


def summarise(draws: np.ndarray, false_flags: np.ndarray | None, images_per_month: float) -> Delay:
    """Quantiles of draws (M,) in images; inf where it did not happen."""
    median, p95 = (float(value) for value in np.quantile(draws, [0.5, 0.95], method="inverted_cdf"))
    known = [value if math.isfinite(value) else None for value in (median, p95)]
    return Delay(
        median_images=known[0],
        p95_images=known[1],
        median_hours=None if known[0] is None else hours(known[0], images_per_month),
        p95_hours=None if known[1] is None else hours(known[1], images_per_month),
        false_flags=None if false_flags is None or known[0] is None else float(np.median(false_flags)),
    )


def simulate_first_flag(
    rate: float,
    detection: float,
    false_alarm: float,
    draws: int,
    rng: np.random.Generator,
    sightings: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Images until the `sightings`-th flagged image of the new type (M,), and normal images flagged before (M,).

    Two steps, as it happens: how many images of the type it takes, then how many other images lie between them. All
    infinite when `detection` is 0.
    """
    if detection <= 0:
        return np.full(draws, np.inf), np.full(draws, np.inf)
    shown = sightings + (rng.negative_binomial(sightings, detection, draws) if detection < 1 else 0)
    shown = np.broadcast_to(shown, (draws,))
    others = rng.negative_binomial(shown, rate) if rate < 1 else np.zeros(draws, np.int64)
    return (shown + others).astype(float), rng.binomial(others, false_alarm).astype(float)


def geometric_quantile(probability: float, quantile: float) -> float:
    """Smallest n with P(first success within n trials) >= `quantile`; inf when it never comes."""
    if probability <= 0:
        return math.inf
    if probability >= 1:
        return 1.0
    return max(1.0, math.ceil(math.log1p(-quantile) / math.log1p(-probability) - 1e-9))
