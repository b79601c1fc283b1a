"""The fab's month with this run's figures: which systems are compared, and where their rates come from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from eval.metrics import clopper_pearson_upper
from eval.results import Evaluation
from eval.tradeoff.budget import product_point
from eval.tradeoff.config import FabConfig
from eval.tradeoff.fab import (
    ASSUMED_RATES,
    TODAY_AUROC,
    TODAY_FNR,
    TODAY_FPR,
    Month,
    Prices,
    System,
    Tools,
    months,
    today,
    tools_needed,
)
from eval.tradeoff.points import Point
from wafer_data.errors import InputError


@dataclass(frozen=True)
class MonthlyFigures:
    """prices: used.

    Attributes:
        assumed: Whether the shares of defects are assumptions, because none was stated.
        systems: The inspections compared, with their rates.
        months: One a share and system.
        tools: None without a timed route.
    """

    prices: Prices
    assumed: bool
    systems: list[System]
    months: list[Month]
    tools: Tools | None
    today_auroc: float = TODAY_AUROC
    today_fnr: float = TODAY_FNR
    today_fpr: float = TODAY_FPR


def prices_of(certificate: Mapping[str, Any] | None, own: Mapping[str, float]) -> Prices:
    """`own` prices over those that the calibration was given (`router.costs`, kept in the certificate).

    Raises `InputError` for a negative price.
    """
    costs = (certificate or {}).get("costs")
    given = costs.get("assumed", {}) if isinstance(costs, Mapping) else {}
    known = asdict(Prices())
    prices = {name: float({**given, **own}.get(name, default)) for name, default in known.items()}
    for name, value in prices.items():
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} must be a price of 0 or more, not {value:g}")
    return Prices(**prices)


def compute_month(
    evaluation: Evaluation, points: Sequence[Point], fab: FabConfig, prices: Prices
) -> MonthlyFigures | None:
    """The month of today's inspection and of the routed system; None if the run has no route or lacks a class."""
    systems = routed_systems(evaluation)
    if not systems:
        return None
    rates = ASSUMED_RATES if fab.defect_rate is None else (fab.defect_rate,)
    product = product_point(list(points))
    return MonthlyFigures(
        prices=prices,
        assumed=fab.defect_rate is None,
        systems=[today(), *systems],
        months=months([today(), *systems], fab.images_per_month, rates, prices),
        tools=None
        if product is None
        else tools_needed(fab.images_per_month, fab.hours_per_month, product.images_per_second),
    )


def routed_systems(evaluation: Evaluation) -> list[System]:
    """The routed system as it was measured.

    With every alarm looked at by a person, and as calibrated, where what lies above the reject threshold is
    stopped without one (left out if the policy rejects nothing).
    """
    routing, labels = evaluation.routing, evaluation.labels
    normal, defect = labels == 0, labels == 1
    if routing is None or routing.fnr is None or not normal.any() or not defect.any():
        return []
    stopped = routing.decisions != "PASS"
    rejected = routing.decisions == "REJECT"

    def share(flags: np.ndarray, among: np.ndarray) -> float:
        return float(flags[among].mean())

    systems = [
        System(
            "routed, every alarm reviewed",
            routing.fnr,
            share(stopped, defect),
            share(stopped, normal),
            0.0,
            routing.fnr_upper95,
        )
    ]
    if routing.reject_above is not None:
        systems.append(
            System(
                "routed, as calibrated",
                routing.fnr,
                share(stopped & ~rejected, defect),
                share(stopped & ~rejected, normal),
                share(rejected, normal),
                routing.fnr_upper95,
                clopper_pearson_upper(int(rejected[normal].sum()), int(normal.sum())),
            )
        )
    return systems
