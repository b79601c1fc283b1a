"""Simulated calibrations whose truth is known, for the tests of the guarantees, and their table.

    .venv/bin/python -m tests.router.simulated

prints in how many of 2 000 calibrations of each case a promise is broken. SYNTHETIC scores, of laws whose tails are
known: the true rates behind a pair of thresholds are computed, not estimated.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from router.bounds import exceedance_interval, exceedance_order, miss_rate_upper
from router.config import RouterConfig
from router.risk_control import certified_steps
from router.thresholds import ThresholdPath, fixed_path, single, target_order

CALIBRATIONS = 2000
DELTA = 0.05
CONFIG = RouterConfig()


@dataclass(frozen=True)
class Case:
    """scipy laws of both students' scores on normal images and on defects; how many of each calibrate."""

    normal: object
    defect: object
    normals: int
    defects: int
    max_fnr: float

    def missed(self, path: ThresholdPath) -> np.ndarray:
        """True miss rate of every step."""
        return 1 - self.defect.sf(path.escalate_above) * self.defect.sf(path.review_above)

    def escalated(self, path: ThresholdPath) -> np.ndarray:
        """True share of escalated normals of every step."""
        return np.asarray(self.normal.sf(path.escalate_above))

    def flagged(self, path: ThresholdPath) -> np.ndarray:
        """True share of flagged normals of every step."""
        return np.asarray(self.normal.sf(path.escalate_above) * self.normal.sf(path.review_above))


# In all but the last the path crosses max_fnr, so that the promise can be broken.
CASES = {
    "normal": Case(stats.norm(), stats.norm(3), 200, 100, 0.09),
    "heavy-tailed": Case(stats.t(2), stats.t(2, loc=5), 200, 100, 0.1),
    "ties": Case(stats.poisson(20), stats.poisson(38), 200, 100, 0.052),
    "tiny": Case(stats.norm(), stats.norm(2.5), 40, 30, 0.21),
    "all missed": Case(stats.norm(), stats.norm(-30), 100, 40, 0.1),
}
BREAKABLE = [name for name in CASES if name != "all missed"]


@dataclass(frozen=True)
class Calibration:
    """One simulated calibration: the path and the single pair, with the misses counted on its own defects."""

    path: ThresholdPath
    misses: np.ndarray
    pair: ThresholdPath
    pair_misses: int


@cache
def calibrations(name: str) -> list[Calibration]:
    case, rng = CASES[name], np.random.default_rng(20261122)
    normals = case.normal.rvs((CALIBRATIONS, 2, case.normals), random_state=rng).astype(float)
    defects = case.defect.rvs((CALIBRATIONS, 2, case.defects), random_state=rng).astype(float)
    found = []
    for normal, defect in zip(normals, defects, strict=True):
        path, pair = fixed_path(*normal, CONFIG), single(*normal, target_order(case.normals, CONFIG), CONFIG)
        found.append(Calibration(path, path.misses(*defect), pair, int(pair.misses(*defect)[0])))
    return found


def naive_steps(misses: np.ndarray, defects: int, max_fnr: float, confidence: float) -> int:
    """What one is tempted to do: take every pair whose misses on the sample keep the limit."""
    return int((misses <= max_fnr * defects).sum())


def broken(name: str, certify: Callable[[np.ndarray, int, float, float], int]) -> tuple[float, float]:
    """Shares of the calibrations that certify anything, and whose weakest certified pair breaks the promise."""
    case, certified, wrong = CASES[name], 0, 0
    for one in calibrations(name):
        steps = certify(one.misses, case.defects, case.max_fnr, 1 - DELTA)
        certified += steps > 0
        wrong += steps > 0 and bool(case.missed(one.path)[:steps].max() > case.max_fnr)
    return certified / CALIBRATIONS, wrong / CALIBRATIONS


def limit_broken(name: str) -> float:
    """Share of the calibrations whose true miss rate exceeds the limit stated without any choice by defects."""
    case = CASES[name]
    limits = [miss_rate_upper(one.pair_misses, case.defects, 1 - DELTA) for one in calibrations(name)]
    truths = [float(case.missed(one.pair)[0]) for one in calibrations(name)]
    return float(np.mean(np.array(truths) > limits))


def rates(name: str) -> tuple[np.ndarray, np.ndarray]:
    """True shares of escalated and of flagged normals, each (CALIBRATIONS,), where defects choose nothing."""
    case, pairs = CASES[name], [one.pair for one in calibrations(name)]
    escalated, flagged = (
        np.array([float(rate(pair)[0]) for pair in pairs]) for rate in (case.escalated, case.flagged)
    )
    return escalated, flagged


def orders(name: str) -> tuple[int, int]:
    """The orders that :func:`rates` is stated for: of n + 1 normals so many are escalated, and flagged at most."""
    normals = CASES[name].normals
    return target_order(normals, CONFIG), exceedance_order(normals, CONFIG.flag_rate)


def main() -> None:
    """Print the table."""
    print(
        "| scores | normals, defects | asked miss rate | certified | broken | broken by the naive threshold "
        "| stated miss limit broken | escalation above its interval | flag rate above its interval |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    for name, case in CASES.items():
        certified, wrong = broken(name, certified_steps)
        above = [
            float(np.mean(rate > exceedance_interval(order, case.normals, 1 - DELTA)[1]))
            for rate, order in zip(rates(name), orders(name), strict=True)
        ]
        cells = certified, wrong, broken(name, naive_steps)[1], limit_broken(name), *above
        print(
            f"| {name} | {case.normals}, {case.defects} | {case.max_fnr:.1%} | "
            + " | ".join(f"{cell:.1%}" for cell in cells)
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main()
