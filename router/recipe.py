"""A further recipe from its normal images alone: which image serves what, and the policy that follows.

The students stay as they are. One half of the images fits the quality gate, the other, which it has not seen,
calibrates the thresholds and is what the certificate speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.gate import APPEARANCE_IMAGES, fit_gate_images
from router.monitor import Reference
from router.monitor_reference import reference_of
from router.policy import RoutingPolicy
from router.route_scores import look
from router.samples import require_enough
from router.standardise import log_share
from wafer_data.errors import InputError

MOST_PLANTED = 200
REMEDY = "Give twice that many images, as every second one fits the gate"
Scores = Callable[[np.ndarray], tuple[float, float]]


@dataclass(frozen=True)
class CalibratedRecipe:
    """What a recipe adds to a bundle."""

    policy: RoutingPolicy
    certificate: dict[str, Any]
    reference: Reference


def calibrate_recipe(
    images: Sequence[Callable[[], np.ndarray]], score: Scores, config: RouterConfig
) -> CalibratedRecipe:
    """Policy, certificate and monitor's reference of a recipe.

    Images at even places fit the gate, those at odd places calibrate.

    Args:
        images: One function for each normal image that gives it as the models get it, float32 (S, S) in [0,
            1]; read one at a time.
        score: Image -> raw scores of the low-resolution and the full student.

    Raises:
        InputError: For too few images, naming the number needed, for images that cannot be judged, and where
            the gate refuses most of them.
    """
    fitting, calibrating = images[0::2], images[1::2]
    if len(fitting) < APPEARANCE_IMAGES:
        raise InputError(
            f"{len(images)} images are too few to know another recipe by: {2 * APPEARANCE_IMAGES} are needed"
        )
    require_enough(len(calibrating), config, REMEDY)
    gate = fit_gate_images(
        (image() for image in fitting), plant_every=max(1, -(-len(fitting) // MOST_PLANTED))
    )
    lowres, full = [], []
    for image in calibrating:
        found = look(gate, image())
        if not found.reasons:
            low, high = score(found.seen)
            lowres.append(low)
            full.append(high)
    refused = len(calibrating) - len(lowres)
    if 2 * refused > len(calibrating):
        raise InputError(
            f"the quality gate fitted on one half of the images refuses {refused} of {len(calibrating)} of the other: "
            "they are not of one recipe; sort them first"
        )
    require_enough(len(lowres), config, REMEDY)
    policy, certificate = calibrate_policy(
        np.array(lowres), np.array(full), gate, config, gate_refused=refused
    )
    return CalibratedRecipe(policy, certificate, reference_of(np.array(lowres), policy, certificate))


def config_like(policy: RoutingPolicy, settings: dict[str, Any]) -> RouterConfig:
    """The default calibration with the blend of an existing policy, and `settings` (keys of RouterConfig) over it.

    Raises:
        InputError: For an unknown key or an impossible value.
    """
    from pydantic import ValidationError

    try:
        return RouterConfig(**{"full_weight": log_share(policy), **settings})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise InputError(f"router.{where}: {first['msg']}") from error
