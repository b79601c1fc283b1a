"""What the monitor compares with, from a calibration: made once, at the export; needs scipy as the certificate does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from router.bounds import exceedance_interval, miss_rate_upper
from router.monitor import Reference
from router.policy import RoutingPolicy
from wafer_data.errors import InputError

MOST_SCORES = 2000
SURE = 0.999


def reference_of(lowres: np.ndarray, policy: RoutingPolicy, certificate: Mapping[str, Any]) -> Reference:
    """Reference from raw low-resolution scores of calibration normals, (n,), their policy and certificate.

    Of more than 2 000 scores evenly spaced ones by place, not by size: a part chosen so is as exchangeable as
    all. Limits: where the share of escalated normals lies, at a confidence of 99.9 % on either side, widened
    to the budget that was asked for; and the upper limit, at 99.9 %, of the share that the gate refuses.
    Wider than the certificate's own intervals, so that a monitor does not sound for the sample's own scatter.

    Raises:
        InputError: If the certificate lacks what they follow from.
    """
    values = np.asarray(lowres, dtype=float)
    chosen = np.unique(np.linspace(0, len(values) - 1, min(len(values), MOST_SCORES)).round().astype(int))
    try:
        budget, gate = certificate["escalation"]["budget"], certificate["gate"]
        order = min(int(policy.escalate(values).sum()) + 1, len(values))
        ends = [*exceedance_interval(order, len(values), 2 * SURE - 1), *(float(end) for end in budget)]
        unjudged = miss_rate_upper(int(gate["refused"]), int(gate["of"]), SURE)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"certificate: no limits for the monitor in it ({error}); calibrate again"
        ) from error
    return Reference(tuple(values[chosen].tolist()), (min(ends), max(ends)), unjudged)
