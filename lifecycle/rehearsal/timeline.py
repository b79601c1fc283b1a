"""What goes wrong in the year, and when: nothing of it is told to the service."""

from __future__ import annotations

from dataclasses import dataclass

SLOW_DRIFT, LAMP, RECIPE, NEW_TYPE, BLIND, NERVOUS, PROCESS, RETRAINING, CRASH = (
    "slow drift", "lamp change", "new recipe", "new defect type", "candidate that misses", "candidate that flags",
    "changed process", "retraining", "crashed worker",
)  # fmt: skip
NEW_RECIPE = "next-product"
DRIFT_A_MONTH, LAMP_GAIN = 0.05, 1.05
"""Loss of brightness of an ageing lamp in 30 days, and gain of a new one against the old one."""
PROCESS_GAIN = 0.94
"""Brightness of all images once the process was changed on purpose, against before: nothing to be mended."""
NEW_TYPE_RATE = 0.001
"""Share of all images that show the new type once it has begun."""
IMAGES_A_MONTH = 2_400_000
"""The case study's volume, of 30 days."""
CANARY_SHARE, CANARY_DAYS = 0.3, 14.0
"""Share of wafers that a canary decides, and its longest time."""
SHADOW_DAYS = 3.0
"""Longest time for which a retrained version scores beside production."""
TODAY_DAYS = 11.0
"""After so many days a new type is noticed today, as the fab reports."""


@dataclass(frozen=True)
class Timeline:
    """Days on which things begin.

    Attributes:
        days: Length of the rehearsal.
    """

    days: int

    @property
    def begins(self) -> dict[str, int]:
        """{event: day}; the first days are quiet, so that the service learns what is usual."""
        shares = {
            SLOW_DRIFT: 0.15, LAMP: 0.42, RECIPE: 0.5, NEW_TYPE: 0.53, BLIND: 0.55, NERVOUS: 0.57, PROCESS: 0.7,
            CRASH: 0.95,
        }  # fmt: skip
        return {name: max(1, round(share * self.days)) for name, share in shares.items()}
