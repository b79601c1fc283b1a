"""The fab's arithmetic: tools needed, escapes, false rejects and their cost in a month."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

TODAY_AUROC, TODAY_FNR, TODAY_FPR = 0.82, 0.083, 0.05
"""What the fab reports of its present inspection (rules on Gabor and LBP features); not measured here."""

ASSUMED_RATES = (0.0001, 0.001, 0.01)
"""Shares of defective images to compute with where the user states none."""


@dataclass(frozen=True)
class Prices:
    """US dollars for each defective image passed, each good one rejected, each one that a person looks at."""

    escape_usd: float = 12_000.0
    false_reject_usd: float = 18_000.0
    review_usd: float = 5.0


@dataclass(frozen=True)
class System:
    """An inspection as shares.

    Defects that pass, defects that go to a person, normals that go to a person, normals that are rejected
    without one. The upper 95 % limits are None where nobody knows them.
    """

    name: str
    fnr: float
    defects_reviewed: float
    normals_reviewed: float
    normals_rejected: float
    fnr_upper95: float | None = None
    rejected_upper95: float | None = None


@dataclass(frozen=True)
class Month:
    """What a system does in a month. Assumes that a person who looks at an image decides right.

    The upper95 figures are those at the upper limits of the rates. Costs in US dollars.
    """

    system: str
    defect_rate: float
    images: int
    defects: float
    escapes: float
    escapes_upper95: float | None
    reviews: float
    false_rejects: float
    false_rejects_upper95: float | None
    escape_usd: float
    review_usd: float
    false_reject_usd: float
    total_usd: float


@dataclass(frozen=True)
class Tools:
    """How many inspection computers the month's images take.

    Attributes:
        images_per_second: Of one of them.
    """

    images_per_month: int
    hours_per_month: float
    images_per_second: float
    needed: int
    busy: float
    """Share of the hours in which they work."""


def month(system: System, images: int, defect_rate: float, prices: Prices) -> Month:
    """`system` on `images` images, of which the share `defect_rate` is defective."""
    defects = images * defect_rate
    normals = images - defects
    escapes = defects * system.fnr
    reviews = normals * system.normals_reviewed + defects * system.defects_reviewed
    rejects = normals * system.normals_rejected
    costs = escapes * prices.escape_usd, reviews * prices.review_usd, rejects * prices.false_reject_usd
    return Month(
        system=system.name,
        defect_rate=defect_rate,
        images=images,
        defects=defects,
        escapes=escapes,
        escapes_upper95=None if system.fnr_upper95 is None else defects * system.fnr_upper95,
        reviews=reviews,
        false_rejects=rejects,
        false_rejects_upper95=None if system.rejected_upper95 is None else normals * system.rejected_upper95,
        escape_usd=costs[0],
        review_usd=costs[1],
        false_reject_usd=costs[2],
        total_usd=sum(costs),
    )


def today() -> System:
    """The present inspection as the fab reports it, every alarm looked at by a person."""
    return System("today", TODAY_FNR, 1 - TODAY_FNR, TODAY_FPR, 0.0)


def months(systems: Sequence[System], images: int, rates: Sequence[float], prices: Prices) -> list[Month]:
    """Every system at every share of defects, in that order: by share first."""
    return [month(system, images, rate, prices) for rate in rates for system in systems]


def tools_needed(images_per_month: int, hours_per_month: float, images_per_second: float) -> Tools:
    """Whole computers that work through the month's images in its hours, evenly spread and without a pause."""
    load = images_per_month / (images_per_second * 3600 * hours_per_month)
    needed = max(1, math.ceil(load))
    return Tools(images_per_month, hours_per_month, images_per_second, needed, load / needed)
