"""How often does drift page a fab of 200 tools in which nothing drifts, and how soon does it see planted shifts?

Simulated wafers with lot and wafer effects, not images: `waferroute rehearse` plays images. Prints Markdown.

    python benchmarks/drift_false_alarms.py --weeks 52
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np

from lifecycle.drift.fab import Budget, alarms
from lifecycle.drift.wafer_summary import Stream, WaferSummary
from lifecycle.drift.watches import watch_stream
from wafer_data.progress import track

FIGURES = ("brightness", "contrast", "sharpness")
IMAGES, REFERENCE_WAFERS = 200, 60


def wafers(
    rng: np.random.Generator, count: int, *, shift: float = 0.0, gain: float = 0.0, start: int = 0
) -> list[WaferSummary]:
    """Wafers of one tool, in lots of 5 as a tool of many meets them.

    shift: of the scores, in spreads. gain: of the brightness, in standard deviations between wafers.
    """
    found = []
    for lot, index in itertools.groupby(range(start, start + count), lambda i: i // 5):
        of_lot, of_look = rng.normal(0, 0.25), rng.normal(0, 0.5, 3)
        for wafer in index:
            own = of_lot + rng.normal(0, 0.35) + shift
            latent = rng.normal(0, 1, (IMAGES, 8)) + rng.normal(0, 0.4, 8) + 0.3 * of_lot
            look = of_look + rng.normal([gain, 0.0, 0.0], 0.8)
            found.append(WaferSummary(f"w{wafer}", f"l{lot}", rng.normal(own, 1, IMAGES), latent, look))
    return found


def training_sample(rng: np.random.Generator) -> np.ndarray:
    """Calibration scores: 100 wafers' worth, out of sample."""
    return np.concatenate([rng.normal(rng.normal(0, 0.43), 1, 20) for _ in range(100)])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", type=int, default=200)
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    streams = [Stream(f"T{i:03d}", f"M{i % 4}", "r") for i in range(args.tools)]
    references = {s: wafers(rng, REFERENCE_WAFERS) for s in streams}
    training = training_sample(rng)
    budget = Budget()
    paged, naive = 0, 0
    for week in track(range(args.weeks), "quiet weeks"):
        looked = {
            s: watch_stream(references[s], wafers(rng, 14, start=1000 * week), training, appearance=FIGURES)
            for s in streams
        }
        paged += len(alarms(looked, budget.level(len(streams))))
        naive += sum(f.p < 0.01 for found in looked.values() for f in found if f.watch == "distribution")
    months = args.weeks * 7 / 30.44
    print(f"{args.tools} tools, {args.weeks} weekly looks, nothing drifts (simulated)\n")
    print("| rule | pages a month, whole fab |\n|---|---|")
    print(f"| this budget ({budget.false_alarms_a_month} asked for) | {paged / months:.2f} |")
    print(f"| every cluster-corrected KS p < 0.01 | {naive / months:.1f} |\n")
    print("| planted on one tool (simulated) | found in the first week | of |\n|---|---|---|")
    for text, plant in (
        ("scores + 0.5 robust standard deviations", {"shift": 0.5}),
        ("scores + 1 robust standard deviation", {"shift": 1.0}),
        ("brightness + 3 wafer deviations", {"gain": 3.0}),
        ("brightness + 5 wafer deviations", {"gain": 5.0}),
    ):
        hits = 0
        for s in streams:
            found = watch_stream(references[s], wafers(rng, 14, **plant), training, appearance=FIGURES)
            hits += any(f.is_drift(budget.level(len(streams))) for f in found)
        print(f"| {text} | {hits} | {len(streams)} |")


if __name__ == "__main__":
    main()
