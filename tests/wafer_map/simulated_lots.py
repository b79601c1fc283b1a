"""Simulated lots (synthetic counts) run through the real decisions, and what a plan promised about them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from wafer_map.decide.evidence import Evidence
from wafer_map.decide.plan import LotPlan

Draw = Callable[[np.random.Generator, float, int], int]


def independent(rng: np.random.Generator, rate: float, sites: int) -> int:
    """Sites are independent."""
    return int(rng.binomial(sites, rate))


def correlated(rho: float) -> Draw:
    """Wafers differ in their rate: the correlation of two sites of a wafer is `rho`."""
    size = (1 - rho) / rho

    def draw(rng: np.random.Generator, rate: float, sites: int) -> int:
        return int(rng.binomial(sites, rng.beta(rate * size, (1 - rate) * size)))

    return draw


def ruined(share: float) -> Draw:
    """Now and then a wafer is ruined altogether, the others have no defect at all; the mean is `rate`."""

    def draw(rng: np.random.Generator, rate: float, sites: int) -> int:
        return int(sites * share) if rng.random() < rate / share else 0

    return draw


@dataclass(frozen=True)
class Case:
    """Lots of one kind.

    Attributes:
        name: what they are. plan: what decides. draw: defects of a wafer. good, bad: rates before and from wafer
            `turns` on (counted from 0; the lot's length: never). sites: least and most sites of a wafer.
    """

    name: str
    plan: LotPlan
    draw: Draw
    good: float
    bad: float
    turns: int
    sites: tuple[int, int]


@dataclass(frozen=True)
class Outcome:
    """What happened to many lots of a case.

    Attributes:
        lots: how many. early: stopped while good. within: of those that turned bad and were not stopped before,
            how many were stopped within the promised wafers; turned: how many there were.
    """

    lots: int
    early: int
    within: int
    turned: int

    def good_kept(self, plan: LotPlan) -> bool:
        """Whether the stopped good lots do not contradict the promise, at the level 0.001."""
        promised = 1 / plan.good_lot_stopped_once_in
        return bool(binomtest(self.early, self.lots, promised, alternative="greater").pvalue >= 1e-3)

    def bad_kept(self, plan: LotPlan) -> bool:
        """Whether the bad lots stopped in time do not contradict the promise, at the level 0.001."""
        if not self.turned:
            return True
        promised = 1 - plan.missed_at_most
        return bool(binomtest(self.within, self.turned, promised, alternative="less").pvalue >= 1e-3)


def simulate(case: Case, lots: int, seed: int) -> Outcome:
    """Run `lots` lots of a case to their ends, or until they are stopped."""
    rng = np.random.default_rng(seed)
    plan, limit = case.plan, math.log(case.plan.good_lot_stopped_once_in)
    early = within = turned = 0
    for _ in range(lots):
        evidence = Evidence(plan)
        turned += 1
        for wafer in range(plan.wafers_per_lot):
            sites = int(rng.integers(case.sites[0], case.sites[1] + 1))
            rate = case.good if wafer < case.turns else case.bad
            evidence.add(sites, case.draw(rng, rate, sites))
            if evidence.log_peak >= limit:
                if wafer < case.turns:
                    early += 1
                    turned -= 1
                elif wafer - case.turns < plan.bad_lot_runs_at_most:
                    within += 1
                break
        else:
            if case.turns >= plan.wafers_per_lot:
                turned -= 1
    return Outcome(lots, early, within, turned)


def cases() -> list[Case]:
    """Every kind of plan, with good lots at and below the limit, and lots that are bad from the start or turn."""
    rates = {"good_rate": 0.01, "bad_rate": 0.05, "good_lot_stopped_once_in": 100}
    found = []
    plans: dict[str, tuple[LotPlan, Draw]] = {
        "independent": (LotPlan(**rates, sites_per_wafer=200), independent),
        "correlated": (
            LotPlan(**rates, sites_per_wafer=200, bad_lot_runs_at_most=11, clustering=0.02),
            correlated(0.02),
        ),
        "any": (
            LotPlan(**rates, sites_per_wafer=400, bad_lot_runs_at_most=10, clustering="any"),
            independent,
        ),
    }
    for name, (plan, draw) in plans.items():
        end, n = plan.wafers_per_lot, plan.sites_per_wafer
        found += [
            Case(f"{name}: good at its limit", plan, draw, 0.01, 0.01, end, (n, n)),
            Case(f"{name}: good, half the limit", plan, draw, 0.005, 0.005, end, (n, n)),
            Case(f"{name}: good at its limit, 20 to {2 * n} sites", plan, draw, 0.01, 0.01, end, (20, 2 * n)),
            Case(f"{name}: bad from the first wafer", plan, draw, 0.01, 0.05, 0, (n, n)),
            Case(f"{name}: bad from the tenth wafer", plan, draw, 0.01, 0.05, 9, (n, n)),
            Case(f"{name}: twice as bad", plan, draw, 0.01, 0.1, 5, (n, n)),
        ]
    any_plan = plans["any"][0]
    end = any_plan.wafers_per_lot
    found += [
        Case(
            "any: good lots with correlated sites (0.1)",
            any_plan,
            correlated(0.1),
            0.01,
            0.01,
            end,
            (400, 400),
        ),
        Case("any: good lots with ruined wafers", any_plan, ruined(0.5), 0.01, 0.01, end, (400, 400)),
    ]
    return found


def naive() -> Case:
    """The control that must fail: sites taken for independent where wafers differ."""
    plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200, good_lot_stopped_once_in=100)
    return Case(
        "control: correlated sites taken for independent", plan, correlated(0.1), 0.01, 0.01, 25, (200, 200)
    )
