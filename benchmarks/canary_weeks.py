"""Weeks of canaries, simulated: how often is an equal version called different, and how soon is a worse one found?

2 800 wafers a week of 200 images (12 000 a month), lots and wafers with defect rates of their own, looked at hourly:
at every look the always-valid test of the arms, at the planned end the one comparison. Beside it the test that takes
images for independent. Prints Markdown; wafers are simulated, no image is.

    python benchmarks/canary_weeks.py --weeks 2000
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np

from lifecycle.canary.final import compare
from lifecycle.canary.guardrail import ArmsTest
from lifecycle.canary.rollout import FINAL_LEVEL, GUARD_LEVEL
from lifecycle.canary.wafers import Table
from router.canary import CANARY, arm_of
from wafer_data.progress import track

WAFERS, IMAGES, HOURS = 2800, 200, 168


class Week(NamedTuple):
    """guard: hour at which the always-valid test spoke, or None. final, naive: whether those said "different"."""

    guard: int | None
    final: bool
    naive: bool


def simulate(rng: np.random.Generator, number: int, factor: float, share: float) -> Week:
    """One week; the canary rejects `factor` times as often."""
    canary = np.array([arm_of(f"week-{number}", f"wafer-{i}", share) == CANARY for i in range(WAFERS)])
    log_rate = np.repeat(rng.normal(0, 0.5, WAFERS // 25), 25) + rng.normal(0, 0.6, WAFERS)
    rate = np.clip(0.008 * np.exp(log_rate) * np.where(canary, factor, 1.0), 0, 1)
    reject = rng.binomial(IMAGES, rate)
    flagged = reject + rng.binomial(IMAGES - reject, 0.02)
    overridden = rng.binomial(flagged, 0.3)
    test, guard = ArmsTest(share), None
    for index in range(WAFERS):
        test.update(reject[index] / IMAGES, bool(canary[index]))
        if guard is None and (index + 1) % (WAFERS // HOURS) == 0 and test.differs(GUARD_LEVEL):
            guard = (index + 1) * HOURS // WAFERS
    trials = np.c_[np.full(WAFERS, IMAGES), np.full(WAFERS, IMAGES), flagged].astype(float)
    table = Table(canary, trials, np.c_[reject, flagged, overridden].astype(float))
    final = compare(table, level=FINAL_LEVEL, permutations=1999, seed=number).verdict == "different"
    n, k = (
        [table.trials[arm, 0].sum() for arm in (~canary, canary)],
        [reject[arm].sum() for arm in (~canary, canary)],
    )
    pooled = sum(k) / sum(n)
    z = (k[1] / n[1] - k[0] / n[0]) / np.sqrt(pooled * (1 - pooled) * (1 / n[0] + 1 / n[1]))
    return Week(guard, final, bool(abs(z) > 2.5758))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weeks", type=int, default=2000)
    parser.add_argument("--worse-weeks", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    equal = [simulate(rng, i, 1.0, args.share) for i in track(range(args.weeks), "equal versions")]
    worse = [simulate(rng, i, 2.0, args.share) for i in track(range(args.worse_weeks), "twice the rejects")]
    ours = sum(w.guard is not None or w.final for w in equal)
    hours = [w.guard for w in worse if w.guard is not None]
    print(f"| simulated weeks of {WAFERS} wafers, {args.share:.0%} in the canary | |\n|---|---|")
    print(f"| equal version called different, hourly looks and final test | {ours} of {len(equal)} |")
    print(f"| of these by the hourly looks alone | {sum(w.guard is not None for w in equal)} |")
    print(f"| the same with images taken for independent, one look | {sum(w.naive for w in equal)} |")
    print(f"| twice the REJECT rate: found by the hourly looks | {len(hours)} of {len(worse)} |")
    if hours:
        print(
            f"| hours until then: median, 95th percentile | {np.median(hours):.0f}, {np.quantile(hours, 0.95):.0f} |"
        )
    print(
        f"| twice the REJECT rate: found by the final test | {sum(w.final for w in worse)} of {len(worse)} |"
    )


if __name__ == "__main__":
    main()
