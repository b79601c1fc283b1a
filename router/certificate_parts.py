"""What calibration images prove that show fewer parts than there are images: less than as many parts would.

Tiles of one photograph, pictures of one wafer are alike: where one is flagged, its neighbours often are. The order
statistics of `router.bounds` take every image for an independent one; these intervals do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from router.bounds import miss_rate_upper


def parts_statement(
    outcomes: Mapping[str, np.ndarray], parts: Sequence[int], confidence: float
) -> dict[str, Any]:
    """The certificate's section on parts.

    Args:
        outcomes: For "escalation" and "flag" which normal calibration images are escalated and flagged, bool (n,).
        parts: Which part each of them shows, (n,), at least two parts.
        confidence: Of the intervals.

    Returns:
        `parts` and `images` (numbers), `confidence`, and for each outcome `interval` and `worth`: as many independent
        images would prove as much.
    """
    found: dict[str, Any] = {"parts": len(set(parts)), "images": len(parts), "confidence": confidence}
    for name, hits in outcomes.items():
        worth = effective_images(hits, parts, confidence)
        low, high = _interval(float(np.mean(hits)), worth, confidence)
        found[name] = {"interval": [low, high], "worth": worth}
    return found


def effective_images(hits: np.ndarray, parts: Sequence[int], confidence: float) -> float:
    """As many independent images would give a share as precise as this one (Korn and Graubard 1998).

    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24, 1998: the share's variance from the parts' own sums, less
    for the few parts it is known from (a ratio of t quantiles). Where all images or none are hit nothing shows how
    alike they are, and a part counts once.

    Args:
        hits: Bool (n,).
        parts: (n,), at least two parts.
        confidence: Of the interval it is for.

    Returns:
        At most n, above 0.
    """
    number = np.unique(np.asarray(parts), return_inverse=True)[1]
    images, count = len(number), int(number.max()) + 1
    if count < 2:
        raise ValueError("an interval by parts needs at least two of them")
    share = float(np.mean(hits))
    if share in (0.0, 1.0):
        return float(count)
    excess = np.bincount(number, hits - share, count)
    variance = count / (count - 1) * float(np.square(excess).sum()) / images**2
    tail = (1 - confidence) / 2
    fewer = float(stdtrit(images - 1, tail) / stdtrit(count - 1, tail)) ** 2
    if variance == 0.0:  # every part has its exact share of hits
        return images * fewer
    return min(float(images), share * (1 - share) / variance * fewer)


def _interval(share: float, images: float, confidence: float) -> tuple[float, float]:
    """The two-sided interval for a share of so many images, which need not be a whole number."""
    one_sided, hits = (1 + confidence) / 2, share * images
    return 1 - miss_rate_upper(images - hits, images, one_sided), miss_rate_upper(hits, images, one_sided)
