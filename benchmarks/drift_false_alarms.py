"""How often does drift page a fab of 200 tools in which nothing drifts, and how soon does it see planted shifts?

Simulated wafers with lot and wafer effects, not images (`benchmarks/planted_shifts.py` has scores of a bundle). A
year is looked at once a day, at the level of four looks a day; the same alarm at the next look is one page. Prints
Markdown.

    python benchmarks/drift_false_alarms.py --days 365
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from lifecycle.drift.fab import DAY_S, DAYS_A_MONTH, LONGEST_S, REFERENCE_WAFERS, Budget, look_at_fab
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from wafer_data.progress import track

IMAGES, A_DAY, QUIET_DAYS = 200, 2, 30
Plant = dict[str, float]


class Fab:
    """Tools with one stream each: `A_DAY` wafers of one lot a day, 200 images each.

    Args:
        rng: Of everything.
        tools: How many.
        tails: Degrees of freedom of the lot and wafer effects (Student's t); 0: Gaussian.
    """

    def __init__(self, rng: np.random.Generator, tools: int, tails: float = 0.0) -> None:
        self.rng, self.tails, self._made = rng, tails, 0
        self.references: dict = {}
        self.streams = [Stream(f"T{i:03d}", f"M{i % 4}", "r") for i in range(tools)]
        self.wafers: dict[Stream, list[tuple[float, WaferSummary]]] = {s: [] for s in self.streams}

    def effect(self, spread: float, size: int | None = None) -> np.ndarray:
        """Of a lot or a wafer, with this standard deviation."""
        if not self.tails:
            return spread * self.rng.standard_normal(size)
        return spread * self.rng.standard_t(self.tails, size) / np.sqrt(self.tails / (self.tails - 2))

    def day(self, day: int, planted: dict[Stream, Plant]) -> None:
        """Inspect a day's wafers."""
        for stream in self.streams:
            plant = planted.get(stream, {})
            of_lot, of_look = self.effect(0.25), self.effect(0.01, 3)
            self._made += 1
            for place in range(A_DAY):
                own = of_lot + self.effect(0.35) + plant.get("shift", 0.0)
                look = np.log([0.4, 0.1, 0.5]) + of_look + self.effect(0.01, 3)
                look[:2] += np.log(plant.get("gain", 1.0))
                look[2] += np.log(plant.get("sharpness", 1.0))
                figures = dict(zip(("mean", "std", "sharpness"), np.exp(look).tolist(), strict=True))
                # what a wafer's images have in common is what matters here: latents vary around their wafer's
                latents = self.rng.standard_normal((12, 8)) + self.effect(0.4, 8) + 0.3 * of_lot
                wafer = WaferSummary.of(
                    f"w{self._made}-{place}", f"l{self._made}", self.rng.normal(own, 1, IMAGES), latents, [figures],
                    images=IMAGES, flagged=int(self.rng.poisson(3.0)), unjudged=int(self.rng.poisson(0.3)),
                )  # fmt: skip
                self.wafers[stream].append(((day + (place + 0.5) / A_DAY) * DAY_S, wafer))
            kept = self.wafers[stream]
            old = [at < (day + 1) * DAY_S - LONGEST_S for at, _ in kept]
            self.wafers[stream] = [w for i, w in enumerate(kept) if i < REFERENCE_WAFERS or not old[i]]


def training_sample(rng: np.random.Generator) -> np.ndarray:
    """Calibration scores: 100 wafers' worth, out of sample."""
    return np.concatenate([rng.normal(rng.normal(0, 0.43), 1, 20) for _ in range(100)])


def pages(fab: Fab, training: np.ndarray, days: int, name: str) -> tuple[int, int]:
    """(pages, streams whose uncorrected weekly KS says p < 0.01) of so many days after the first `QUIET_DAYS`."""
    sounding: set[tuple[str, str]] = set()
    count = naive = 0
    for day in track(range(QUIET_DAYS + days), name):
        fab.day(day, {})
        if day < QUIET_DAYS:
            continue
        look = look_at_fab(fab.wafers, (day + 1) * DAY_S, lambda recipe: training, references=fab.references)
        now = {(alarm.cause, alarm.where) for alarm in look.alarms}
        count += len(now - sounding)
        sounding = now
        if day % 7 == 0:
            naive += sum(
                f.p < 0.01 for found in look.findings.values() for f in found if f.watch == "distribution"
            )
    return count, naive


def days_until(
    make: Callable[[], Fab], training: np.ndarray, plant: Plant, most: int
) -> tuple[int, list[int], set]:
    """Plant a shift on every tenth tool. Returns (planted, days until each was paged, what was named)."""
    fab = make()
    for day in range(QUIET_DAYS):
        fab.day(day, {})
    planted = dict.fromkeys(fab.streams[::10], plant)
    waited: dict[Stream, int] = {}
    named = set()
    for day in range(QUIET_DAYS, QUIET_DAYS + most):
        fab.day(day, planted)
        look = look_at_fab(fab.wafers, (day + 1) * DAY_S, lambda recipe: training, references=fab.references)
        for alarm in look.alarms:
            for stream in set(alarm.streams) & set(planted):
                if stream not in waited:
                    waited[stream] = day - QUIET_DAYS + 1
                    named.add(alarm.cause)
        if len(waited) == len(planted):
            break
    return len(planted), sorted(waited.values()), named


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
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    training = training_sample(np.random.default_rng(args.seed))

    def make() -> Fab:
        return Fab(np.random.default_rng(args.seed + 1), args.tools, args.tails)

    if args.days:
        count, naive = pages(make(), training, args.days, "quiet days")
        months = args.days / DAYS_A_MONTH
        print(
            f"{args.tools} tools, {args.days} days, nothing drifts (simulated, tails {args.tails or 'Gaussian'})\n"
        )
        print("| rule | pages a month, whole fab |\n|---|---|")
        print(f"| this budget ({Budget().false_alarms_a_month} asked for) | {count / months:.2f} |")
        print(f"| every weekly cluster-corrected KS p < 0.01 | {naive / months:.1f} |\n")
    print(
        "| planted on every tenth tool (simulated) | found within 28 days | days: median, longest | named |"
    )
    print("|---|---|---|---|")
    for text, plant in (
        ("brightness and contrast + 5 %", {"gain": 1.05}),
        ("brightness and contrast + 3 %", {"gain": 1.03}),
        ("sharpness - 10 % (slight blur)", {"sharpness": 0.9}),
        ("scores + 1 robust standard deviation", {"shift": 1.0}),
        ("scores + 0.5 robust standard deviations", {"shift": 0.5}),
    ):
        planted, waited, named = days_until(make, training, plant, 28)
        said = f"{waited[len(waited) // 2]}, {waited[-1]}" if waited else "-"
        print(f"| {text} | {len(waited)} of {planted} | {said} | {', '.join(sorted(named))} |", flush=True)


if __name__ == "__main__":
    main()
