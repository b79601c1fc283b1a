"""How often does the monitor cry wolf, and how soon does it notice? Simulated streams, no images.

    .venv/bin/python benchmarks/monitor.py [--streams 200] [--images 5000]

Each stream has its own calibration: normal images' log-scores from a known law, a threshold taken from them as the
calibration does. False alarms: the stream follows the same law. Delays: the law changes at image 1 000, so that the
tests have to come back from what they lost before. SIMULATED numbers: they say what the tests do, not what a tool
will show.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from router.bounds import exceedance_order
from router.gate import FIGURES, QualityGate
from router.monitor import Monitor
from router.monitor_reference import reference_of
from router.policy import RoutingPolicy

Law = Callable[[np.random.Generator, int], np.ndarray]
LAWS: dict[str, Law] = {
    "normal": lambda rng, n: rng.normal(0, 1, n),
    "heavy tails": lambda rng, n: rng.standard_t(3, n),
    "ties": lambda rng, n: np.round(rng.normal(0, 1, n), 1),
}
REFUSED, CHANGE_AT, TARGET = 0.005, 1000, 0.065


def stream(
    rng: np.random.Generator,
    law: Law,
    calibration: int,
    images: int,
    change: Callable[[np.ndarray], np.ndarray] | None = None,
    refused: float = REFUSED,
) -> list[int]:
    """Images at which an alarm sounded, in a fresh calibration and stream."""
    scores = law(rng, calibration)
    order = exceedance_order(calibration, TARGET)
    threshold = float(np.sort(scores)[-order])
    policy = RoutingPolicy(
        lowres_location=0.0,
        lowres_scale=1.0,
        full_location=0.0,
        full_scale=1.0,
        escalate_above=threshold,
        review_above=threshold,
        reject_above=None,
        gate=QualityGate(dict.fromkeys(FIGURES, (0.0, 1.0)), 0),
    )
    refusals = int(rng.binomial(calibration, REFUSED))
    certificate = {"escalation": {"budget": [0.05, 0.08]}, "gate": {"refused": refusals, "of": calibration}}
    reference = reference_of(np.exp(scores), policy, certificate)
    monitor = Monitor(policy, reference, epoch=images)
    values = law(rng, images)
    shares = np.full(images, REFUSED)
    if change is not None:
        values[CHANGE_AT:] = change(values[CHANGE_AT:])
        shares[CHANGE_AT:] = refused
    unjudged = rng.random(images) < shares
    alarms: list[int] = []
    for value, out in zip(values, unjudged, strict=True):
        route = "none" if out else "full" if value > threshold else "lowres"
        alarms += [
            a.image for a in monitor.update(SimpleNamespace(route=route, lowres_score=float(np.exp(value))))
        ]
    return alarms


def main() -> None:
    """Print both tables as Markdown."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--images", type=int, default=5000)
    args = parser.parse_args()
    seeds = np.random.SeedSequence(0)

    print(f"False alarms: at most 1.3 % of streams of {args.images} images each should have any.\n")
    print("| scores | calibration normals | streams | with an alarm |\n|---|---|---|---|")
    for name, law in LAWS.items():
        for count in (150, 1000):
            rngs = [np.random.default_rng(s) for s in seeds.spawn(args.streams)]
            alarmed = sum(bool(stream(rng, law, count, args.images)) for rng in rngs)
            print(f"| {name} | {count} | {args.streams} | {alarmed} ({alarmed / args.streams:.1%}) |")
            sys.stdout.flush()

    print(f"\nDelay: images from the change (at image {CHANGE_AT}) to the first alarm, normal scores.\n")
    print("| change | calibration normals | noticed | median delay | 90 % |\n|---|---|---|---|---|")
    changes: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
        "log-scores up by 0.25 robust standard deviations": (lambda v: v + 0.25, REFUSED),
        "up by 0.5 robust standard deviations": (lambda v: v + 0.5, REFUSED),
        "up by 1 robust standard deviation": (lambda v: v + 1, REFUSED),
        "down by 0.5 robust standard deviations": (lambda v: v - 0.5, REFUSED),
        "standard deviation x 1.5": (lambda v: 1.5 * v, REFUSED),
        "every 10th image a strong defect": (lambda v: np.where(np.arange(len(v)) % 10, v, 9.0), REFUSED),
        "5 % of images cannot be judged": (lambda v: v, 0.05),
    }
    few = max(args.streams // 5, 1)
    for title, (change, refused) in changes.items():
        for count in (150, 1000):
            rngs = [np.random.default_rng(s) for s in seeds.spawn(few)]
            found = [stream(rng, LAWS["normal"], count, args.images, change, refused) for rng in rngs]
            delays = np.array(
                [min((a for a in f if a > CHANGE_AT), default=10**9) - CHANGE_AT for f in found]
            )
            noticed = delays < 10**8
            middle, late = (np.quantile(delays, q, method="higher") for q in (0.5, 0.9))
            words = [f"{v:.0f}" if v < 10**8 else "not noticed" for v in (middle, late)]
            print(f"| {title} | {count} | {noticed.sum()} of {few} | {words[0]} | {words[1]} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
