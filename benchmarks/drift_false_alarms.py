"""How often does drift page a fab of 200 tools in which nothing drifts, and how soon does it see planted shifts?

Simulated wafers with lot and wafer effects, not images (`benchmarks/planted_shifts.py` has scores of a bundle). The
fab is looked at an hour after each wafer of its tools, for the looks between see nothing new; where more than 24 come
a day, every hour. An alarm that goes on is one page; one that comes again within a week is the same. Progress goes to
standard error, Markdown to standard output.

    python benchmarks/drift_false_alarms.py --days 365
    python benchmarks/drift_false_alarms.py --tools 4 --lots-a-day 16 --wafers-a-lot 25 --days 60
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lifecycle.drift.fab import DAY_S, DAYS_A_MONTH, LONGEST_S, Budget, look_at_fab
from lifecycle.drift.first_wafers import REFERENCE_LOTS, REFERENCE_WAFERS
from lifecycle.drift.wafer_summary import Stream, WaferSummary

IMAGES, LOTS_A_DAY, WAFERS_A_LOT, QUIET_DAYS, SAME_DAYS = 200, 1, 2, 30, 7
HOURS = 24
DIFFER = 0.01 * 1.5**0.5
Plant = dict[str, float]
PLANTS: dict[str, Plant] = {
    "brightness and contrast + 5 %": {"gain": 1.05},
    "brightness and contrast + 3 %": {"gain": 1.03},
    "brightness and contrast - 2 % in 14 days, and so on": {"loss": 0.02 / 14},
    "sharpness - 10 % (slight blur)": {"sharpness": 0.9},
    "scores + 1 robust standard deviation": {"shift": 1.0},
    "scores + 0.5 robust standard deviations": {"shift": 0.5},
}
"""`days` since the beginning is added on the way."""


class Fab:
    """Tools with one stream each: lots one after the other through the day, 200 images a wafer.

    Args:
        rng: Of everything.
        tools: How many.
        tails: Degrees of freedom of the lot and wafer effects (Student's t); 0: Gaussian.
        differ: Standard deviation of the mean brightness (and contrast, sharpness) of one lot's wafers, as a share of
            it. Half of the variance of one wafer is its lot's, half its own.
        lots: Lots a day on each tool.
        wafers: Wafers of a lot.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        tools: int,
        tails: float = 0.0,
        differ: float = DIFFER,
        lots: int = LOTS_A_DAY,
        wafers: int = WAFERS_A_LOT,
    ) -> None:
        self.rng, self.tails, self._made = rng, tails, 0
        self.lots_a_day, self.wafers_a_lot, self.a_day = lots, wafers, lots * wafers
        self.look = differ / np.sqrt(1 + 1 / wafers)
        self.streams = [Stream(f"T{i:03d}", f"M{i % 4}", "r") for i in range(tools)]
        self.wafers: dict[Stream, list[tuple[float, WaferSummary]]] = {s: [] for s in self.streams}

    def effect(self, spread: float, size: int | None = None) -> np.ndarray:
        """Of a lot or a wafer, with this standard deviation."""
        if not self.tails:
            return spread * self.rng.standard_normal(size)
        return spread * self.rng.standard_t(self.tails, size) / np.sqrt(self.tails / (self.tails - 2))

    def day(self, day: int, planted: dict[Stream, Plant]) -> None:
        """Inspect a day's wafers."""
        first = max(REFERENCE_WAFERS, REFERENCE_LOTS * self.wafers_a_lot)
        for stream in self.streams:
            for lot in range(self.lots_a_day):
                self._lot(stream, day, lot * self.wafers_a_lot, planted.get(stream, {}))
            kept = self.wafers[stream]
            old = [at < (day + 1) * DAY_S - LONGEST_S for at, _ in kept]
            self.wafers[stream] = [w for i, w in enumerate(kept) if i < first or not old[i]]

    def _lot(self, stream: Stream, day: int, before: int, plant: Plant) -> None:
        """Inspect one lot; so many wafers of the day came before."""
        of_lot, of_look = self.effect(0.25), self.effect(self.look, 3)
        self._made += 1
        for place in range(self.wafers_a_lot):
            own = of_lot + self.effect(0.35) + plant.get("shift", 0.0)
            look = np.log([0.4, 0.1, 0.5]) + of_look + self.effect(self.look, 3)
            look[:2] += np.log(plant.get("gain", 1.0) - plant.get("loss", 0.0) * plant.get("days", 0.0))
            look[2] += np.log(plant.get("sharpness", 1.0))
            figures = dict(zip(("mean", "std", "sharpness"), np.exp(look).tolist(), strict=True))
            # what a wafer's images have in common is what matters here: latents vary around their wafer's
            latents = self.rng.standard_normal((12, 8)) + self.effect(0.4, 8) + 0.3 * of_lot
            wafer = WaferSummary.of(
                f"w{self._made}-{place}", f"l{self._made}", self.rng.normal(own, 1, IMAGES), latents, [figures],
                images=IMAGES, flagged=int(self.rng.poisson(3.0)), unjudged=int(self.rng.poisson(0.3)),
            )  # fmt: skip
            self.wafers[stream].append((self.taken(day, before + place) * DAY_S, wafer))

    def taken(self, day: int, place: int) -> float:
        """When a wafer of a day is taken, in days."""
        return day + (place + 0.5) / self.a_day

    def looks(self, day: int) -> list[tuple[float, int]]:
        """When the fab is looked at, in days, and how many of the day's wafers each tool has had by then."""
        if self.a_day <= HOURS:
            return [(self.taken(day, place) + 1 / HOURS, place + 1) for place in range(self.a_day)]
        return [
            (day + hour / HOURS, sum(self.taken(day, i) <= day + hour / HOURS for i in range(self.a_day)))
            for hour in range(1, HOURS + 1)
        ]


def training_sample(rng: np.random.Generator) -> np.ndarray:
    """Calibration scores: 100 wafers' worth, out of sample."""
    return np.concatenate([rng.normal(rng.normal(0, 0.43), 1, 20) for _ in range(100)])


def looks_of(fab: Fab, day: int, planted: dict[Stream, Plant]) -> Iterator[tuple[float, dict]]:
    """Inspect a day's wafers: (time in days, what is known) at each look."""
    fab.day(day, planted)
    for now, seen in fab.looks(day):
        left = fab.a_day - seen
        yield now, {s: w[: len(w) - left] for s, w in fab.wafers.items()}


class Quiet(NamedTuple):
    """What was said while nothing drifted.

    Attributes:
        paged: The pages.
        naive: Streams whose uncorrected weekly KS says p < 0.01.
        sounding: Looks at which some alarm was on. One that never ends is a single page.
        looks: All looks.
    """

    paged: list[str]
    naive: int
    sounding: int
    looks: int


def pages(fab: Fab, training: np.ndarray, days: int, budget: Budget, quiet_days: int) -> Quiet:
    """What is said in so many days after the first quiet ones."""
    last: dict[tuple[str, str], float] = {}
    paged, naive, sounding, looks = [], 0, 0, 0
    for day in range(quiet_days + days):
        if day < quiet_days:
            fab.day(day, {})
            continue
        for now, known in looks_of(fab, day, {}):
            look = look_at_fab(known, now * DAY_S, lambda recipe: training, budget)
            looks, sounding = looks + 1, sounding + bool(look.alarms)
            for alarm in look.alarms:
                if now - last.get((alarm.cause, alarm.where), -np.inf) > SAME_DAYS:
                    paged.append(f"day {now - quiet_days:.1f}: {alarm.text}")
                    print(paged[-1], file=sys.stderr)
                last[alarm.cause, alarm.where] = now
        if day % 7 == 0:
            naive += sum(
                f.p < 0.01 for found in look.findings.values() for f in found if f.watch == "distribution"
            )
            print(f"{day - quiet_days} of {days} days, {len(paged)} pages", file=sys.stderr, flush=True)
    return Quiet(paged, naive, sounding, looks)


def hours_until(
    make: Callable[[], Fab], training: np.ndarray, plant: Plant, most: int, budget: Budget, quiet_days: int
) -> tuple[list[float], Counter[str]]:
    """Plant a shift on every tenth tool: hours until each was paged (inf: never), and what was named."""
    fab = make()
    for day in range(quiet_days):
        fab.day(day, {})
    planted = dict.fromkeys(fab.streams[::10], plant)
    waited = dict.fromkeys(planted, np.inf)
    named: Counter[str] = Counter()
    for day in range(quiet_days, quiet_days + most):
        growing = {s: {**p, "days": float(day - quiet_days)} for s, p in planted.items()}
        for now, known in looks_of(fab, day, growing):
            for alarm in look_at_fab(known, now * DAY_S, lambda recipe: training, budget).alarms:
                for stream in set(alarm.streams) & set(planted):
                    if np.isinf(waited[stream]):
                        waited[stream] = 24 * (now - quiet_days)
                        named[alarm.cause] += 1
        if np.isfinite(list(waited.values())).all():
            break
    return sorted(waited.values()), named


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", type=int, default=200)
    parser.add_argument("--days", type=int, default=365, help="without drift; 0: only the planted shifts")
    parser.add_argument(
        "--tails", type=float, default=0.0, help="degrees of freedom of lot and wafer effects"
    )
    parser.add_argument(
        "--differ", type=float, default=DIFFER, help="spread of the brightness of a lot's mean"
    )
    parser.add_argument("--lots-a-day", type=int, default=LOTS_A_DAY, help="on each tool")
    parser.add_argument("--wafers-a-lot", type=int, default=WAFERS_A_LOT)
    parser.add_argument(
        "--quiet-days", type=int, default=QUIET_DAYS, help="days before the first look, or before the shift"
    )
    parser.add_argument("--only", default="", help="only the shifts whose name holds this")
    parser.add_argument("--budget", type=float, default=Budget().false_alarms_a_month)
    parser.add_argument("--no-shifts", action="store_true", help="only the quiet days")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    training = training_sample(np.random.default_rng(args.seed))

    def make() -> Fab:
        rng = np.random.default_rng(args.seed + 1)
        return Fab(rng, args.tools, args.tails, args.differ, args.lots_a_day, args.wafers_a_lot)

    budget = replace(Budget(), false_alarms_a_month=args.budget)
    if args.days:
        quiet = pages(make(), training, args.days, budget, args.quiet_days)
        months = args.days / DAYS_A_MONTH
        print(
            f"{args.tools} tools, {args.days} days, nothing drifts (simulated, tails {args.tails or 'Gaussian'})\n"
        )
        print("| rule | pages a month, whole fab |\n|---|---|")
        print(
            f"| this budget (at most {budget.false_alarms_a_month:g} asked for) | {len(quiet.paged) / months:.2f} |"
        )
        print(f"| every weekly cluster-corrected KS p < 0.01 | {quiet.naive / months:.1f} |\n")
        print(f"An alarm is on at {quiet.sounding} of {quiet.looks} looks.\n")
        print("\n".join(quiet.paged), flush=True)
    if args.no_shifts:
        return
    print("| planted on every tenth tool (simulated) | found within 6 h, a day, two, 28 days "
          "| hours: median, longest | named |")  # fmt: skip
    print("|---|---|---|---|")
    for text, plant in PLANTS.items():
        if args.only not in text:
            continue
        waited, named = hours_until(make, training, plant, 28, budget, args.quiet_days)
        within = ", ".join(str(sum(one <= 24 * days + 1.01 for one in waited)) for days in (0.25, 1, 2, 28))
        found = [one for one in waited if np.isfinite(one)]
        said = f"{np.median(waited):.0f}, {found[-1]:.0f}" if found else "-"
        print(f"| {text} | {within} of {len(waited)} | {said} | {', '.join(sorted(named))} |", flush=True)


if __name__ == "__main__":
    main()
