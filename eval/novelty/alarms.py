"""The tool's own monitor (`router.monitor`) on a stream that holds a new type: how likely, and how soon, is its alarm?

The monitor starts anew with every epoch of images, so epochs are independent and alike: a few simulated ones give the
chance of an alarm in one, and the images until the first alarm follow - a geometric number of epochs, and the place of
the alarm in its own. An epoch's images are drawn from those of the test set, with the scores and routes that they have
under the fit in question.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eval.metrics import clopper_pearson
from router.monitor import EPOCH, Monitor, Reference
from router.policy import RoutingPolicy
from router.route_scores import Routed, RouteScores

WATCHED = ("escalation high", "escalation low", "unjudged", "scores")


@dataclass(frozen=True)
class _Result:
    """What the monitor reads of an inspection."""

    route: str
    lowres_score: float | None


@dataclass(frozen=True)
class Stream:
    """What the monitor would see of each test image.

    Attributes:
        reference: what the monitor compares with, from the calibration normals.
        scores: of the test images under `policy`.
        normal: places of the normals.
        types: places of each defect type's images.
    """

    policy: RoutingPolicy
    reference: Reference
    scores: RouteScores
    routed: Routed
    normal: np.ndarray
    types: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Alarms:
    """Epochs of the monitor with a share of images of a new type.

    Attributes:
        epochs: simulated. places: image of the epoch, from 1, at which the alarm came, of those with one.
        expected_images: of the new type in an epoch.
        watched: in how many epochs each of the things watched was the first to sound.
    """

    epochs: int
    places: tuple[int, ...]
    expected_images: float
    watched: dict[str, int]

    @property
    def chance(self) -> float:
        """Share of epochs with an alarm."""
        return len(self.places) / self.epochs

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of that chance."""
        return clopper_pearson(len(self.places), self.epochs)


def simulate_epochs(
    stream: Stream, kind: str | None, rate: float, epochs: int, false_alarms: float, seed: int
) -> Alarms:
    """Run the monitor over `epochs` epochs in which the share `rate` of the images shows the type `kind`.

    None: normals only. The same seed gives the same normals whatever the type, so that alarms can be compared.
    """
    rng, other = (np.random.default_rng((seed, part)) for part in (0, 1))
    lowres = stream.scores.lowres.tolist()
    results = [
        _Result(str(route), None if route == "none" else lowres[row])
        for row, route in enumerate(stream.routed.routes)
    ]
    places, watched = [], dict.fromkeys(WATCHED, 0)
    for epoch in range(epochs):
        rows = rng.choice(stream.normal, EPOCH)
        if kind is not None:
            new = np.flatnonzero(other.random(EPOCH) < rate)
            rows[new] = other.choice(stream.types[kind], len(new))
        monitor = Monitor(stream.policy, stream.reference, false_alarms=false_alarms, seed=seed + epoch)
        for place, row in enumerate(rows.tolist(), 1):
            if alarms := monitor.update(results[row]):
                places.append(place)
                watched[alarms[0].what] += 1
                break
    return Alarms(epochs, tuple(places), 0.0 if kind is None else rate * EPOCH, watched)


def noticed(found: Alarms, without: Alarms, false_alarms: float) -> bool:
    """Whether alarms tell of the type: clearly more frequent than the monitor promises, and than without the type."""
    return found.interval[0] > max(false_alarms, without.interval[1])


def images_until(found: Alarms, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Images until the first alarm (M,); inf where no epoch had one."""
    if not found.places:
        return np.full(draws, math.inf)
    whole = rng.geometric(found.chance, draws) - 1
    return (whole * EPOCH + rng.choice(found.places, draws)).astype(float)
