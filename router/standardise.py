"""One unit for both students' scores, and how they are blended."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from router.config import RouterConfig
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.samples import picking_mask
from wafer_data.errors import InputError

CANDIDATE_WEIGHTS = (1.0, 0.75, 0.5, 0.25, 0.0)


def standardisation(lowres: np.ndarray, full: np.ndarray, gate: QualityGate) -> RoutingPolicy:
    """A policy that standardises by these normals' scores, each (n,); its thresholds are still to be set.

    Raises:
        InputError: If a student gave all of them the same score.
    """
    lowres_location, lowres_scale = _location_scale(lowres)
    full_location, full_scale = _location_scale(full)
    return RoutingPolicy(
        lowres_location=lowres_location,
        lowres_scale=lowres_scale,
        full_location=full_location,
        full_scale=full_scale,
        escalate_above=0.0,
        review_above=0.0,
        reject_above=None,
        gate=gate,
    )


def _location_scale(scores: np.ndarray) -> tuple[float, float]:
    """Median of the log-scores and 1.4826 x their median absolute deviation (a normal law's sigma)."""
    logs = np.log(scores)
    location = float(np.median(logs))
    deviations = np.abs(logs - location)
    # With many ties the median deviation can be 0; the mean one is then still a spread.
    scale = 1.4826 * float(np.median(deviations)) or float(np.mean(deviations))
    if scale == 0:
        raise InputError(
            "all calibration normals have the same score: a student is blind to the image; train it again"
        )
    return location, scale


def z_weight(standard: RoutingPolicy, share: float) -> float:
    """The policy's full_weight that gives the full student's log-score the `share` in [0, 1].

    With scales s_full and s_low, w = share s_full / (share s_full + (1 - share) s_low): then w z_full + (1 - w) z_low
    is, up to a positive factor and a constant, share log(full) + (1 - share) log(low), so the order of images, and with
    it every decision, is the same whatever the scales were estimated on. Both students' scores are
    exp(0.1 standard deviations of training normals), so their logarithms have one unit already.
    """
    full, low = share * standard.full_scale, (1 - share) * standard.lowres_scale
    return full / (full + low)


def given_weight(standard: RoutingPolicy, config: RouterConfig) -> float:
    """The policy's full_weight for one that the configuration gives; none given: the full student alone."""
    return 1.0 if config.full_weight is None else z_weight(standard, float(config.full_weight))


def log_share(policy: RoutingPolicy) -> float:
    """The share that gave the policy its full_weight: the inverse of :func:`z_weight`."""
    full, low = policy.full_weight / policy.full_scale, (1 - policy.full_weight) / policy.lowres_scale
    return full / (full + low)


def best_weight(
    standard: RoutingPolicy,
    lowres: np.ndarray,
    full: np.ndarray,
    synthetic: tuple[np.ndarray, np.ndarray] | None,
) -> float:
    """The full_weight that best ranks synthetic anomalies above normals (AUROC); if equal, the larger.

    Args:
        synthetic: Both students' scores of anomalies, the i-th painted into the i-th of all calibration
            normals; only those painted into the third that estimates are looked at.

    Raises:
        InputError: Without any.
    """
    if synthetic is None or not synthetic[0].size:
        raise InputError(
            'router.full_weight = "auto" needs synthetic anomalies; give a number instead, e.g. 1.0'
        )
    # Only what was painted into the images that estimate: the others shall calibrate untouched.
    low_anomalies, full_anomalies = (scores[picking_mask(scores.size, True)] for scores in synthetic)
    z_low = standard.standardise_lowres(np.concatenate([lowres, low_anomalies]))
    z_full = standard.standardise_full(np.concatenate([full, full_anomalies]))

    def auroc(weight: float) -> float:
        ranks = rankdata(weight * z_full + (1 - weight) * z_low)
        anomalies = low_anomalies.size
        wins = ranks[-anomalies:].sum() - anomalies * (anomalies + 1) / 2
        return float(wins / (anomalies * lowres.size))

    return max(CANDIDATE_WEIGHTS, key=auroc)
