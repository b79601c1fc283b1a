"""The routed system at other escalation thresholds: accuracy from stored scores, time from two measured kinds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.metrics import fnr_at_fpr, image_auroc
from eval.tradeoff.points import ThresholdPoint
from router.bounds import exceedance_order, kth_largest
from router.policy import RoutingPolicy
from router.route_scores import RouteScores

SHARES = (0.0, 0.01, 0.02, 0.035, 0.05, 0.065, 0.08, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0)
# Beyond every standardised score, and finite as a policy's numbers must be.
_NOTHING, _EVERYTHING = 1e300, -1e300


@dataclass(frozen=True)
class RouteTimes:
    """Milliseconds of single images on one thread: `low` is of the low-resolution student, `escalated` of both."""

    low: np.ndarray
    escalated: np.ndarray

    def typical(self, share: float) -> float:
        """t_low + share t_full from the medians of both kinds; an overall median would never see the escalated."""
        return float((1 - share) * np.median(self.low) + share * np.median(self.escalated))

    def mean(self, share: float) -> float:
        """The same from the means."""
        return float((1 - share) * self.low.mean() + share * self.escalated.mean())

    def quantile(self, share: float, level: float) -> float:
        """Quantile of the mixture: the smallest time below which the share `level` of the images lies."""
        times = np.concatenate([self.low, self.escalated])
        weights = np.concatenate(
            [
                np.full(len(self.low), (1 - share) / len(self.low)),
                np.full(len(self.escalated), share / len(self.escalated)),
            ]
        )
        order = np.argsort(times, kind="stable")
        reached = np.cumsum(weights[order])
        place = min(int(np.searchsorted(reached, level - 1e-12)), len(times) - 1)
        return float(times[order[place]])


def threshold_points(
    policy: RoutingPolicy,
    labels: np.ndarray,
    scores: RouteScores,
    normal_lowres: np.ndarray,
    times: RouteTimes,
    shares: Sequence[float] = SHARES,
) -> list[ThresholdPoint]:
    """One point a share that `normal_lowres` (raw scores of calibration normals) can carry.

    labels (N,) and scores: of the test images. Metrics that need a class that is not
    there are None.
    """
    points = []
    for share in shares:
        threshold = share_threshold(policy, normal_lowres, share)
        if threshold is None:
            continue
        tried = replace(policy, escalate_above=threshold)
        routed = scores.under(tried)
        both = bool((labels == 0).any() and (labels == 1).any())
        points.append(
            ThresholdPoint(
                share=share,
                threshold=None if abs(threshold) == _NOTHING else threshold,
                share_measured=float(routed.escalated[labels == 0].mean()) if (labels == 0).any() else None,
                missed=float(routed.passed[labels == 1].mean()) if (labels == 1).any() else None,
                image_auroc=image_auroc(labels, routed.ranks) if both else None,
                fnr_at_fpr5=fnr_at_fpr(labels, routed.ranks) if both else None,
                typical_ms=times.typical(share),
                mean_ms=times.mean(share),
                p99_ms=times.quantile(share, 0.99),
            )
        )
    return points


def share_threshold(policy: RoutingPolicy, normal_lowres: np.ndarray, share: float) -> float | None:
    """Standardised threshold that sends `share` of unseen normals on, as calibration would choose it.

    None where the sample is too small for that share.
    """
    if share in (0.0, 1.0):
        return _EVERYTHING if share else _NOTHING
    order = exceedance_order(len(normal_lowres), share)
    if not 1 <= order <= len(normal_lowres):
        return None
    return kth_largest(policy.standardise_lowres(normal_lowres), order)
