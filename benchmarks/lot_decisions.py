"""Sequential lot decisions in simulated lots, against what their plans promise; and how long a verdict takes.

    .venv/bin/python benchmarks/lot_decisions.py [--lots 10000] [--seeds 0 1 2]

The counts are synthetic. For every case: the share of lots that were stopped while good (promised: at most one in N),
and of those that turned bad the share that was stopped within M wafers (promised: 1 - missed_at_most; beside it what
`wafer_map.decide.design` computes for independent or correlated sites). A case fails where a binomial test contradicts
the promise at the level 0.001; exit status 1 then. The last case is a control that must fail: sites taken for
independent where wafers differ. Last, the time from the 5 000th image of a lot to its verdict.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.wafer_map.simulated_lots import Case, cases, naive, simulate
from wafer_data.progress import track
from wafer_map.decide import LotMonitor, LotPlan, design

_ROW = "{:<56} {:>5} {:>9} {:>9} {:>9} {:>9} {:>9}  {}"


def main() -> int:
    """Run and print; 1 if a promise was broken or the control kept its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lots", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = [
        _row(case, args.lots, seed) for case in track([*cases(), naive()], "cases") for seed in args.seeds
    ]
    times = _verdict_times()
    if args.json:
        print(json.dumps({"rows": rows, "verdict_ms": times}, indent=2))
    else:
        print(_ROW.format("case", "seed", "stopped", "promised", "in time", "promised", "computed", ""))
        for row in rows:
            numbers = [f"{row[key]:.4f}" if row[key] is not None else "-" for key in list(row)[2:7]]
            print(_ROW.format(row["case"], row["seed"], *numbers, "kept" if row["kept"] else "BROKEN"))
        print(
            f"verdict after the last of 5 000 images: median {times[0]:.3f} ms, slowest of 200 {times[1]:.3f} ms"
        )
    honest = all(row["kept"] for row in rows if not row["case"].startswith("control"))
    return int(not honest or any(row["kept"] for row in rows if row["case"].startswith("control")))


def _row(case: Case, lots: int, seed: int) -> dict:
    outcome, plan = simulate(case, lots, seed), case.plan
    computed = design(plan).bad_lot_stopped[plan.bad_lot_runs_at_most - 1]
    bad = outcome.turned > 0
    return {
        "case": case.name,
        "seed": seed,
        "stopped": outcome.early / outcome.lots,
        "promised": 1 / plan.good_lot_stopped_once_in,
        "in_time": outcome.within / outcome.turned if bad else None,
        "promised_in_time": 1 - plan.missed_at_most if bad else None,
        "computed": computed if bad else None,
        "kept": outcome.good_kept(plan) and outcome.bad_kept(plan),
    }


def _verdict_times() -> tuple[float, float]:
    plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200)
    rng, times = np.random.default_rng(0), []
    for _ in range(200):
        monitor = LotMonitor(plan)
        for image in range(5000):
            if image and image % 200 == 0:
                monitor.end_wafer()
            if image == 4999:
                started = perf_counter()
            monitor.add(bool(rng.random() < 0.01))
        monitor.end_wafer()
        monitor.lot()
        times.append(1000 * (perf_counter() - started))
    return median(times), max(times)


if __name__ == "__main__":
    raise SystemExit(main())
