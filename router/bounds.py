"""What a sample of n images can prove about a rate: order-statistic thresholds and exact intervals.

Two cases. A *threshold* taken from the sample itself (the k-th largest score): the rate above it on unseen
images is a random variable of known distribution. A *count* of misses on images that chose nothing: the
binomial case.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import betainc, betaincinv


def exceedance_order(count: int, rate: float) -> int:
    """Largest k with P(an unseen score exceeds the k-th largest of `count`) <= `rate`; 0 if there is none.

    For exchangeable scores that probability is k / (count + 1), less when there are ties (split conformal
    prediction: Papadopoulos et al. 2002; Vovk et al., "Algorithmic Learning in a Random World", 2005).
    """
    # The tiny addition keeps 0.05 * 20 = 1 from being rounded down.
    return math.floor(rate * (count + 1) + 1e-9)


def nearest_order(count: int, target: float, low: float, high: float) -> int:
    """The k in 1..count whose k / (count + 1) lies nearest to `target` within [low, high].

    Where no such share lies in [low, high], the largest below `high`; 0 if there is none either. If two are
    equally near, the smaller.
    """
    scale = count + 1
    least, most = max(1, math.ceil(low * scale - 1e-9)), min(count, exceedance_order(count, high))
    return most if least > most else min(max(math.ceil(target * scale - 0.5 - 1e-9), least), most)


def images_for_order(order: int, rate: float) -> int:
    """Smallest sample for which :func:`exceedance_order` reaches `order`."""
    count = max(order, math.ceil(order / rate) - 2)
    while exceedance_order(count, rate) < order:
        count += 1
    return count


def kth_largest(values: np.ndarray, order: int) -> float:
    """The `order`-th largest (1 = the largest) of a 1-D array. Ties count one by one."""
    return float(np.sort(values)[-order])


def just_above(threshold: float, values: np.ndarray, most: float = 1e-3) -> float:
    """`threshold` raised by `most`, or by half the way to the next larger of the 1-D `values` if that is less."""
    larger = values[values > threshold]
    return threshold + min(most, float(larger.min() - threshold) / 2) if larger.size else threshold + most


def exceedance_interval(order: int, count: int, confidence: float) -> tuple[float, float]:
    """Central interval that holds the share of unseen images above the `order`-th largest of `count` scores.

    That share, over repeated calibrations, follows Beta(order, count + 1 - order) for continuous scores,
    whatever their distribution (Wilks 1941), and lies below such a variable when there are ties. The same
    holds for a second threshold inside the region cut off by a first (Wald 1943; Tukey 1947, "statistically
    equivalent blocks").
    """
    tail = (1 - confidence) / 2
    shape = order, count + 1 - order
    return float(betaincinv(*shape, tail)), float(betaincinv(*shape, 1 - tail))


def probability_within(order: int, count: int, low: float, high: float) -> float:
    """Probability that the share of :func:`exceedance_interval` lies in [low, high]."""
    shape = order, count + 1 - order
    return float(betainc(*shape, high) - betainc(*shape, low))


@lru_cache
def images_for_budget(target: float, low: float, high: float, confidence: float) -> int | None:
    """About how many normal images keep the share in [low, high] at `confidence`; None: over 10 million."""

    def kept(count: int) -> bool:
        shape = target * (count + 1), (1 - target) * (count + 1)
        return bool(betainc(*shape, high) - betainc(*shape, low) >= confidence)

    enough = 2
    while not kept(enough):
        enough *= 2
        if enough > 10_000_000:
            return None
    short = enough // 2
    while enough - short > 1:
        middle = (enough + short) // 2
        short, enough = (short, middle) if kept(middle) else (middle, enough)
    return enough


def miss_rate_upper(misses: float, count: float, confidence: float) -> float:
    """One-sided upper confidence limit of a rate after `misses` in `count` trials (Clopper & Pearson 1934).

    1 when every trial missed, also when there was none. Neither number need be whole: of images that are alike there
    are fewer than were counted (`router.certificate_parts`).

    Raises:
        ValueError: Unless 0 <= misses <= count.
    """
    if not 0 <= misses <= count:
        raise ValueError(f"{misses} misses in {count} trials")
    return 1.0 if misses == count else float(betaincinv(misses + 1, count - misses, confidence))


@lru_cache
def defects_needed(miss_rate: float, confidence: float, misses: int = 0) -> int:
    """Smallest count of defects, `misses` of them missed, whose :func:`miss_rate_upper` is <= `miss_rate`."""
    enough = misses + 1
    while miss_rate_upper(misses, enough, confidence) > miss_rate:
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (enough + short) // 2
        if middle > misses and miss_rate_upper(misses, middle, confidence) <= miss_rate:
            enough = middle
        else:
            short = middle
    return enough
