"""What a canary is compared on: counts of each wafer, with the arm that decided it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from router.canary import CANARY, Arm

RATES = ("reject", "flagged", "overridden")
"""What is compared: REJECT; REVIEW or REJECT; decisions that a reviewer overturned, of those reviewed."""


class WaferCounts(NamedTuple):
    """One wafer of a rollout.

    Attributes:
        wafer: Its id.
        arm: Who decided all of its images.
        images: How many were decided.
        reject: Of these, REJECT.
        flagged: Of these, REVIEW or REJECT.
        reviewed: Of these, seen by a person.
        overridden: Of those, overturned.
    """

    wafer: str
    arm: Arm
    images: int
    reject: int
    flagged: int
    reviewed: int = 0
    overridden: int = 0


@dataclass(frozen=True)
class Table:
    """Wafers as arrays, in the order in which they were completed.

    Attributes:
        canary: (N,) bool.
        trials: (N, 3) images, images, reviewed images: what the rates of `RATES` are taken of.
        events: (N, 3) counts of `RATES`.
    """

    canary: np.ndarray
    trials: np.ndarray
    events: np.ndarray

    @classmethod
    def of(cls, wafers: Iterable[WaferCounts]) -> Table:
        """The table of some wafers.

        Raises:
            ValueError: A wafer counts more events than trials, or appears in both arms.
        """
        rows = list(wafers)
        arms: dict[str, Arm] = {}
        for row in rows:
            if arms.setdefault(row.wafer, row.arm) != row.arm:
                raise ValueError(f"wafer {row.wafer} was decided by both arms: the comparison is void")
        trials = np.array([(r.images, r.images, r.reviewed) for r in rows], float).reshape(-1, 3)
        events = np.array([(r.reject, r.flagged, r.overridden) for r in rows], float).reshape(-1, 3)
        if (events > trials).any() or (events < 0).any():
            raise ValueError("a wafer counts more events than images")
        return cls(np.array([r.arm == CANARY for r in rows], bool), trials, events)

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """(production, canary), each (3,) pooled rates; NaN where there is no trial."""
        with np.errstate(invalid="ignore"):
            pairs = [self.events[arm].sum(0) / self.trials[arm].sum(0) for arm in (~self.canary, self.canary)]
        return pairs[0], pairs[1]
