"""Which wafers a canary decides: a pure function of the wafer's id, the same in every process and after a restart.

A whole wafer goes to one arm, so that no wafer is ever decided by two versions. Standard library only; runs in the
request path.
"""

from __future__ import annotations

import hashlib
from typing import Literal

Arm = Literal["production", "canary"]

PRODUCTION: Arm = "production"
CANARY: Arm = "canary"


def position(salt: str, wafer: str) -> float:
    """Where a wafer lies in [0, 1), uniformly over wafers and independent of anything seen on them.

    Args:
        salt: Identity of the rollout; another salt draws other wafers.
        wafer: The wafer's id.
    """
    digest = hashlib.sha256(f"{salt}\x00{wafer}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def arm_of(salt: str, wafer: str | None, share: float) -> Arm:
    """The arm that decides a wafer.

    Raising `share` keeps every wafer that was in the canary there. An image without a wafer's id stays with
    production: nothing else would keep its wafer from being decided twice.

    Args:
        salt: Identity of the rollout.
        wafer: The wafer's id, or None where the tool named none.
        share: Share of wafers that the canary decides, in [0, 1].

    Raises:
        ValueError: `share` lies outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"a canary's share lies in [0, 1], not at {share}")
    if wafer is None or wafer == "":
        return PRODUCTION
    return CANARY if position(salt, wafer) < share else PRODUCTION
