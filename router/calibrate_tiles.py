"""Thresholds and certificate where each image is looked at in tiles (`router.route_scores`).

What computing costs is counted in tiles, what is promised in images. `escalate_above` is an order statistic of the
normal images' tiles. `review_above` is one of the normal images, each with the highest full score of all its tiles,
escalated or not: an image is flagged for an escalated tile above it, so what the route flags is a part of what that
would flag. Exchangeable images then give the flag rate without any assumption on how an image's tiles resemble each
other, or on the escalation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np

from router import certificate as statements
from router.bounds import exceedance_order, just_above, kth_largest, nearest_order
from router.calibrate import Choice, misses_of, outcome_of, rates, synthetic_evidence, with_reject
from router.certificate_text import THRESHOLDS
from router.config import RouterConfig
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from router.samples import checked_defects, checked_pair, require_enough
from router.standardise import given_weight, standardisation
from router.thresholds import ThresholdPath, scores_of
from wafer_data.errors import InputError


def calibrate_tiled_policy(
    normal: RouteScores,
    gate: QualityGate,
    config: RouterConfig,
    synthetic: RouteScores | None = None,
    *,
    defects: RouteScores | None = None,
    defect_types: Sequence[str] | None = None,
    defects_refused: int = 0,
    defects_trained: int = 0,
    gate_refused: int = 0,
    sample_fingerprint: str | None = None,
) -> tuple[RoutingPolicy, dict[str, Any]]:
    """Policy and certificate of tiled images; arguments and certificate as of `router.calibrate.calibrate_policy`.

    Before the sample is drawn, a tile of an unseen normal image is escalated with a probability of at most
    (k - 1 + T) / (M + m), with M tiles of n normals, m = M / n, at most T an image, k the order of the threshold: were
    every image the new one in turn, those above the k-th largest of the others would be among the k - 1 + T largest of
    all. An image is flagged with at most j / (n + 1).

    Args:
        normal, synthetic, defects: scores of all tiles of images that the gate admits.

    Raises:
        InputError: as `calibrate_policy`, and for settings that need one score an image (`router.max_fnr`,
            a weight that is chosen).
    """
    _require_possible(config)
    assert normal.tiles is not None
    count, tiles = len(normal), normal.tiles
    lowres, full = checked_pair("calibration normal tile", normal.lowres, normal.full)
    require_enough(count, config)
    standard = standardisation(lowres, full, gate)
    standard = replace(standard, full_weight=given_weight(standard, config))
    z_lowres, blend = scores_of(standard, lowres, full)
    order = _escalation_order(tiles, config)
    top = np.maximum.reduceat(blend, np.r_[0, np.cumsum(tiles)[:-1]])
    flag_order = exceedance_order(count, config.flag_rate)
    path = ThresholdPath(
        np.array([kth_largest(z_lowres, order)]),
        np.array([kth_largest(top, flag_order)]),
        np.array([order]),
        np.array([flag_order]),
    )
    chosen = Choice(path.policy(standard, 0), path, 0, None)
    known = _checked_defects(chosen.policy, defects, defect_types)
    images = (np.full(count, np.inf), top)  # as if each were escalated: see the module
    policy = with_reject(chosen, images, known, config)
    policy = _off_the_scores(policy, z_lowres, top, known.scores, defects)
    known = _checked_defects(policy, defects, defect_types)
    one_each = normal.per_image(policy)
    painted = None if synthetic is None else synthetic.per_image(policy)
    certificate = {
        "schema": statements.SCHEMA,
        "sample": {
            "normals": count,
            "normals_for_weight": 0,
            "tiles": int(tiles.sum()),
            "tiles_an_image": [int(tiles.min()), int(tiles.max())],
            "defects": known.count,
            "defects_by_type": {name: int(own.sum()) for name, own in known.by_type()},
            "scores_sha256": statements.sample_hash(one_each.lowres, one_each.full, *known.scores),
            "data_fingerprint": sample_fingerprint,
        },
        **rates(policy, chosen, images, known, config),
        "escalation": _escalation(policy, z_lowres, tiles, order, config),
        "gate": statements.gate_statement(gate_refused, count, config.confidence),
        "fnr": misses_of(policy, chosen, known, (defects_refused, defects_trained), config),
        "needs": statements.needs_statement(
            known.count, outcome_of(policy, *known.scores).missed, config.confidence
        ),
        "synthetic": None if painted is None else synthetic_evidence(policy, painted.lowres, painted.full),
        "assumptions": [
            *statements.assumptions(known.names),
            "Images are exchangeable, not their tiles: nothing is assumed about how tiles of one image depend on each "
            "other. An image is flagged for its most suspicious escalated tile; the share flagged is at most what is "
            "stated, whatever the escalation.",
        ],
    }
    for section, name in THRESHOLDS.items():
        if "threshold" in certificate[section]:
            certificate[section]["threshold"] = getattr(policy, name)
        if section != "escalation" and "interval" in certificate[section]:
            certificate[section]["interval"][0] = 0.0  # of a flagged set that holds the one that is flagged
            certificate[section]["tied"] = True
    return policy, certificate


def _require_possible(config: RouterConfig) -> None:
    if config.max_fnr is not None:
        raise InputError(
            "router.max_fnr needs one score an image, and these images are looked at in tiles: set router.max_fnr=null "
            "(misses are stated, not limited), or data.tiling=never"
        )
    if config.chooses_weight:
        raise InputError(
            "router.full_weight=auto needs one score an image, and these images are looked at in tiles: give a number, "
            "or set data.tiling=never"
        )


def _escalation_order(tiles: np.ndarray, config: RouterConfig) -> int:
    """The k of `calibrate_tiled_policy`: k / (M + m) as near the target as the budget allows on average and at most."""
    scale = float(tiles.sum() + tiles.mean())
    order = nearest_order(round(scale) - 1, config.escalation_target, *config.escalation_budget)
    most = math.floor(config.escalation_budget[1] * scale + 1e-9) + 1 - int(tiles.max())
    return max(1, min(order, most))


def _escalation(
    policy: RoutingPolicy, z_lowres: np.ndarray, tiles: np.ndarray, order: int, config: RouterConfig
) -> dict[str, Any]:
    """The certificate's section on escalated tiles; its interval takes the tiles of an image together."""
    scale = float(tiles.sum() + tiles.mean())
    above = np.add.reduceat((z_lowres > policy.escalate_above).astype(float), np.r_[0, np.cumsum(tiles)[:-1]])
    share = above.sum() / tiles.sum()
    # A ratio of two sums over images (Cochran, "Sampling Techniques", 1977, 6.4).
    error = float(np.std(above - share * tiles, ddof=1)) / tiles.mean() / math.sqrt(len(tiles))
    wide = NormalDist().inv_cdf((1 + config.confidence) / 2) * error
    return {
        "unit": "tiles",
        "target": config.escalation_target,
        "order": order,
        "threshold": policy.escalate_above,
        "expected": order / scale,
        "at_most": (order - 1 + int(tiles.max())) / scale,
        "interval": [max(0.0, share - wide), min(1.0, share + wide)],
        "interval_method": "approximate: normal law, images as clusters of tiles",
        "confidence": config.confidence,
        "tied": bool(np.count_nonzero(z_lowres == kth_largest(z_lowres, order)) > 1),
        "chosen_with_defects": False,
        "budget": list(config.escalation_budget),
        "probability_within_budget": None,
        "normals_needed_for_budget": None,
    }


def _checked_defects(policy: RoutingPolicy, defects: RouteScores | None, types: Sequence[str] | None) -> Any:
    """The labelled defects by their deciding tiles."""
    if defects is None or not len(defects):
        return checked_defects(None, None, None)
    one = defects.per_image(policy)
    return checked_defects(one.lowres, one.full, types)


def _off_the_scores(
    policy: RoutingPolicy,
    z_lowres: np.ndarray,
    top: np.ndarray,
    known: tuple[np.ndarray, np.ndarray],
    defects: RouteScores | None,
) -> RoutingPolicy:
    """The policy with each threshold a little above the score that set it; see `router.calibrate`."""
    tiles = (np.empty(0), np.empty(0)) if defects is None else (defects.lowres, defects.full)
    low, high = scores_of(policy, *tiles)
    decided = scores_of(policy, *known)[1]
    above = just_above(policy.escalate_above, np.r_[z_lowres, low])
    pool, reject = np.r_[top, high, decided], policy.reject_above
    return replace(
        policy,
        escalate_above=above,
        review_above=just_above(policy.review_above, pool),
        reject_above=None if reject is None else just_above(reject, pool),
    )
