"""How soon are a lamp, a blur, a new recipe and a new defect type found in a fab of 200 tools, and by what?

A bundle inspects SYNTHETIC micrographs (or a folder's images) as cameras of many gains would see them; a simulated
fab draws its wafers' images from those real results: scores, latents, decisions and how they look. Each wafer draws
from ten images, so that images of a wafer are alike, and has a brightness of its own around its lot's. Every tenth
tool is changed at one midnight; drift is looked for every six hours (the service: every hour). Progress goes to
standard error, Markdown to standard output.

    python benchmarks/planted_shifts.py runs/synthetic/bundle
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lifecycle.conductor.drift import training_sample
from lifecycle.drift.fab import DAY_S, DAYS_A_MONTH, LONGEST_S, look_at_fab
from lifecycle.drift.first_wafers import REFERENCE_WAFERS
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from lifecycle.rehearsal.images import GOOD, Camera, Library, micrographs, recorded
from lifecycle.rehearsal.timeline import IMAGES_A_MONTH, TODAY_DAYS
from tool_side import Inspection, Inspector
from wafer_data.micrograph import MicrographConfig, draw_micrograph
from wafer_data.progress import track

IMAGES, ALIKE, QUIET_DAYS, MOST_DAYS = 200, 10, 30, 14
LOT_SPREAD, WAFER_SPREAD = 0.01, 0.007
"""Relative standard deviations of the brightness between lots, and between wafers of a lot."""
STEP, POOL = 0.01, 40
BLUR, GAIN, PITCH = 0.8, 1.05, 26.0
HOURS = 24.0


@dataclass(frozen=True)
class Kind:
    """What a tool sees: pools of real results by the step of its gain."""

    pools: dict[int, list[Inspection]]
    gain: float = 1.0
    alike: int = ALIKE

    def wafer(self, rng: np.random.Generator, name: str, lot: str, gain: float) -> WaferSummary:
        """A wafer of `IMAGES` images, drawn from few of a pool, as one wafer's images are alike."""
        step = round((self.gain * gain - 1) / STEP)
        pool = self.pools[min(max(step, min(self.pools)), max(self.pools))]
        few = rng.choice(len(pool), min(self.alike, len(pool)), replace=False)
        counts = rng.multinomial(IMAGES, np.ones(len(few)) / len(few))
        seen = [pool[i] for i, n in zip(few, counts, strict=True) for _ in range(n)]
        passed = [one for one in seen if str(one.decision) == "PASS" and str(one.route) == "lowres"]
        latents = [one.latent for one in passed]
        figures = [replace_mean(one, self.gain * gain / (1 + step * STEP)) for one in seen]
        return WaferSummary.of(
            name, lot, np.array([one.score for one in passed], float),
            np.stack(latents) if latents else np.empty((0, 0)), figures,
            images=IMAGES, flagged=sum(str(one.decision) != "PASS" for one in seen),
            unjudged=sum(one.score is None for one in seen),
        )  # fmt: skip


def replace_mean(one: Inspection, gain: float) -> dict[str, float] | None:
    """An image's figures at a gain that differs a little from its pool's: brightness and contrast are proportional."""
    found = one.appearance
    return None if found is None else {**found, "mean": found["mean"] * gain, "std": found["std"] * gain}


def pools(
    inspector: Inspector, images: Sequence[np.ndarray], steps: Sequence[int], blur: float, name: str
) -> dict[int, list[Inspection]]:
    """Real results of images at each step of gain."""
    rng, recipe = np.random.default_rng(0), inspector.recipes[0]
    return {
        step: [
            inspector.inspect(Camera(1 + step * STEP, blur).photograph(image, rng), recipe=recipe)
            for image in images
        ]
        for step in track(steps, name)
    }


class Fab:
    """Tools with one stream each, two wafers of a lot a day on each."""

    def __init__(self, rng: np.random.Generator, tools: int, usual: Kind) -> None:
        self.rng, self._made = rng, 0
        self.streams = [Stream(f"T{i:03d}", f"M{i % 4}", "r") for i in range(tools)]
        self.kinds = dict.fromkeys(self.streams, usual)
        self.wafers: dict[Stream, list[tuple[float, WaferSummary]]] = {s: [] for s in self.streams}
        self._lots = dict.fromkeys(self.streams, (0.0, ""))

    def half_day(self, half: int) -> None:
        """One wafer on each tool, at a time of its own."""
        for stream, kind in self.kinds.items():
            self._made += 1
            if half % 2 == 0:
                self._lots[stream] = (self.rng.normal(0, LOT_SPREAD), f"l{self._made}")
            of_lot, lot = self._lots[stream]
            gain = 1 + of_lot + self.rng.normal(0, WAFER_SPREAD)
            at = (half / 2 + 0.5 * self.rng.random()) * DAY_S
            self.wafers[stream].append((at, kind.wafer(self.rng, f"w{self._made}", lot, gain)))
            kept = self.wafers[stream]
            if len(kept) > REFERENCE_WAFERS + 80:
                self.wafers[stream] = [
                    w for i, w in enumerate(kept) if i < REFERENCE_WAFERS or w[0] > at - LONGEST_S - DAY_S
                ]

    def look(self, now: float, training: np.ndarray):
        """What drift says of what has come until now."""
        known = {s: [w for w in wafers if w[0] <= now] for s, wafers in self.wafers.items()}
        return look_at_fab(known, now, lambda recipe: training)


def hours_until(fab: Fab, training: np.ndarray, kind: Kind, tools: int) -> tuple[list[float], Counter[str]]:
    """Change every tenth tool (all, if `tools` is 0); hours until each is paged, and the watches that said so."""
    for half in range(2 * QUIET_DAYS):
        fab.half_day(half)
    changed = fab.streams[:: tools or 1]
    fab.kinds |= dict.fromkeys(changed, kind)
    waited: dict[Stream, float] = {}
    said: Counter[str] = Counter()
    for half in range(2 * QUIET_DAYS, 2 * (QUIET_DAYS + MOST_DAYS)):
        fab.half_day(half)
        for now in (half / 2 + 0.25, half / 2 + 0.5):
            for alarm in fab.look(now * DAY_S, training).alarms:
                for stream in set(alarm.streams) & set(changed) - set(waited):
                    waited[stream] = (now - QUIET_DAYS) * HOURS
                    said.update(alarm.watches)
        print(f"day {half / 2 - QUIET_DAYS:g}: {len(waited)} of {len(changed)}", file=sys.stderr, flush=True)
        if len(waited) == len(changed):
            break
    return sorted(waited.values()) + [float("inf")] * (len(changed) - len(waited)), said


def quiet_pages(fab: Fab, training: np.ndarray, days: int) -> int:
    """Pages in so many days without any change, looked at once a day at the level of four looks."""
    count, sounding = 0, set()
    for half in track(range(2 * (QUIET_DAYS + days)), "quiet half-days"):
        fab.half_day(half)
        if half >= 2 * QUIET_DAYS and half % 2:
            now = {(a.cause, a.where) for a in fab.look((half + 1) / 2 * DAY_S, training).alarms}
            count, sounding = count + len(now - sounding), now
    return count


def new_type(inspector: Inspector, library: Library, rate: float, rng: np.random.Generator) -> str:
    """Hours until the first image of a new type is stopped, and until a person has seen three."""
    recipe = inspector.recipes[0]
    shown = [Camera().photograph(image, rng) for image in library.images[library.new_type]]
    stopped = sum(str(inspector.inspect(one, recipe=recipe).decision) != "PASS" for one in shown)
    if not stopped:
        return f"0 of {len(shown)} stopped: never by this | - | - |"
    an_hour = IMAGES_A_MONTH / 30 / HOURS * rate * stopped / len(shown)
    first, third = (rng.gamma(k, 1 / an_hour, 100_000) for k in (1, 3))
    return (
        f"people, who review what is stopped ({stopped} of {len(shown)} are) | {np.median(first):.1f}, "
        f"{np.quantile(first, 0.95):.1f} | third: {np.median(third):.1f}, {np.quantile(third, 0.95):.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, help="a folder's images instead of synthetic micrographs")
    parser.add_argument("--tools", type=int, default=200)
    parser.add_argument(
        "--alike", type=int, default=ALIKE, help="different patterns that a wafer's images show"
    )
    parser.add_argument("--quiet-days", type=int, default=0, help="also count pages while nothing changes")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    inspector = Inspector(args.bundle)
    library = recorded(args.images) if args.images else micrographs("line_space", 256, normals=POOL)
    goods = library.images[GOOD][:POOL]
    narrow = range(-3, 4)
    usual = Kind(pools(inspector, goods, range(-3, 9), 0.0, "as calibrated, and brighter"), alike=args.alike)
    kinds = {
        f"gain {GAIN - 1:+.0%}": replace(usual, gain=GAIN),
        f"blur, sigma {BLUR} pixels": Kind(
            pools(inspector, goods, narrow, BLUR, "blurred"), alike=args.alike
        ),
    }
    if library.synthetic:
        other = MicrographConfig.model_validate({"layout": "line_space", "pitch": PITCH})
        images = [draw_micrograph(other, 9, i).image for i in range(POOL)]
        kinds["another product under the same recipe's name"] = Kind(
            pools(inspector, images, narrow, 0.0, "another product"), alike=args.alike
        )
    training = training_sample(inspector, inspector.recipes[0])

    def fab() -> Fab:
        return Fab(np.random.default_rng(args.seed), args.tools, usual)

    print(f"{args.tools} tools, two wafers of {IMAGES} images a day on each; images: "
          f"{'SYNTHETIC micrographs' if library.synthetic else args.images}; today: {TODAY_DAYS:g} days\n")  # fmt: skip
    print("| planted | found by | hours until found: median, longest | within a day, two, 14 |")
    print("|---|---|---|---|")
    for text, kind in kinds.items():
        waited, said = hours_until(fab(), training, kind, 10)
        watches = ", ".join(name for name, _ in said.most_common(3))
        found = [one for one in waited if np.isfinite(one)]
        times = f"{np.median(waited):.0f}, {max(found):.0f}" if found else "-"
        within = ", ".join(str(sum(one <= 24 * days for one in waited)) for days in (1, 2, MOST_DAYS))
        print(
            f"| {text}, on every tenth tool | {watches} | {times} | {within} of {len(waited)} |", flush=True
        )
    said = new_type(inspector, library, 0.001, np.random.default_rng(args.seed))
    print(f"| new type ({library.new_type}) on 0.1 % of images: the first | {said}")
    if args.quiet_days:
        count = quiet_pages(fab(), training, args.quiet_days)
        print(f"\npages in {args.quiet_days} quiet days, whole fab: {count} "
              f"({count / args.quiet_days * DAYS_A_MONTH:.2f} a month)")  # fmt: skip


if __name__ == "__main__":
    main()
