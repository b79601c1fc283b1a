"""The figures of an answer that the case study names: `anomaly_score` and `confidence`.

The routed score is in robust standard deviations of normal log-scores and may be negative; `anomaly_score` is the
same on the scale of the full student's raw score, which is positive, monotone in the routed score and comparable
between routes. The thresholds are given on the same scale, so that a reader can check the decision.
"""

from __future__ import annotations

import math

from router.policy import RoutingPolicy

_LARGEST_EXPONENT = 700.0


def anomaly_score(routed: float | None, policy: RoutingPolicy) -> float | None:
    """exp(full_location + full_scale * routed), > 0; None for an image that was not scored."""
    if routed is None or not math.isfinite(routed):
        return None
    exponent = policy.full_location + policy.full_scale * routed
    return math.exp(min(max(exponent, -_LARGEST_EXPONENT), _LARGEST_EXPONENT))


def confidence(routed: float | None, policy: RoutingPolicy) -> float | None:
    """Phi(|routed - nearest threshold|), in [0.5, 1]; None for an image that was not scored.

    How far the score lies from where the decision would change, and no chance of being right: only the
    certificate says something about that.
    """
    if routed is None or not math.isfinite(routed):
        return None
    thresholds = [policy.review_above] + ([] if policy.reject_above is None else [policy.reject_above])
    nearest = min(abs(routed - threshold) for threshold in thresholds)
    return 0.5 * (1 + math.erf(nearest / math.sqrt(2)))


def thresholds(policy: RoutingPolicy) -> dict[str, float | None]:
    """The policy's thresholds on the scale of :func:`anomaly_score`."""
    return {
        "review": anomaly_score(policy.review_above, policy),
        "reject": anomaly_score(policy.reject_above, policy),
    }
