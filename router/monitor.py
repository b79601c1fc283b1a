"""Watches whether the certificate's assumption still holds: are today's images like those it was calibrated on?

`Monitor.update` takes each result of the runtime, `status` says how it stands. Four things are watched: the share
of escalated images (too many, too few), the share that cannot be judged, and the low-resolution scores of the images
that were not escalated. Those scores, and not all, because defects are nearly all escalated: a day with many defects
is seen in the escalation, and is no drift of the scores. numpy only; runs on the tool.

False alarms: while all rates stay within their limits and the scores are exchangeable with the calibration's, the
chance of any alarm in one epoch of images is at most `false_alarms`, however often one looks. The limits on the
rates come from the calibration sample (`router.monitor_reference`), and one of them is wrong with a chance of 0.3 %.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from router.decision import Route
from router.monitor_tests import ExchangeabilityTest, RateTest
from router.policy import RoutingPolicy
from wafer_data.errors import InputError

SCHEMA = 1
EPOCH, FALSE_ALARMS = 5000, 0.01


class Judged(Protocol):
    """What the monitor reads of a result: see `tool_side.runtime.inspection.Inspection`."""

    @property
    def route(self) -> str:
        """A `router.decision.Route`."""

    @property
    def lowres_score(self) -> float | None:
        """Raw; None if that student did not run."""


@dataclass(frozen=True)
class Alarm:
    """What was noticed.

    Attributes:
        what: "escalation high", "escalation low", "unjudged" or "scores".
        image: Number of the image, from 1, at which it was.
        text: For a person.
    """

    what: str
    image: int
    text: str


@dataclass(frozen=True)
class Reference:
    """What the calibration saw.

    Attributes:
        scores: Raw low-resolution scores of calibration normals.
        escalation: Lowest and highest share of escalated images that is no alarm.
        unjudged: Highest share of images that cannot be judged.
    """

    scores: tuple[float, ...]
    escalation: tuple[float, float]
    unjudged: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form (`monitor.json`), read back by :meth:`from_dict`."""
        return {
            "schema": SCHEMA,
            "lowres": list(self.scores),
            "escalation": list(self.escalation),
            "unjudged": self.unjudged,
        }

    @classmethod
    def from_dict(cls, data: Any) -> Reference:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            InputError: Where it is malformed.
        """
        try:
            if data["schema"] != SCHEMA:
                raise InputError(f"monitor: schema {data['schema']!r} is not supported, only {SCHEMA}")
            scores = tuple(float(v) for v in data["lowres"])
            low, high = (float(v) for v in data["escalation"])
            unjudged = float(data["unjudged"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"monitor: its reference is damaged ({error})") from error
        if not all(0 < v < math.inf for v in scores) or not 0 <= low <= high <= 1 or not 0 <= unjudged <= 1:
            raise InputError("monitor: its reference holds impossible scores or rates")
        return cls(scores, (low, high), unjudged)


class Monitor:
    """Watches a stream of results. Not to be shared between threads.

    Attributes:
        policy: That of the recipe watched.
        reference: From the bundle.
        false_alarms: Chance of any alarm in an epoch, in (0, 1).
        epoch: Images after which all tests start again; the memory is bounded by it, and what lasts is found
            again in each.
        seed: Of the tie-breaking, so that the same stream gives the same alarms.
    """

    def __init__(
        self,
        policy: RoutingPolicy,
        reference: Reference,
        *,
        false_alarms: float = FALSE_ALARMS,
        epoch: int = EPOCH,
        seed: int = 0,
    ) -> None:
        if not 0 < false_alarms < 1 or epoch < 1:
            raise InputError("monitor: false_alarms must lie in (0, 1) and epoch be at least 1")
        self.alarms: list[Alarm] = []
        self._policy, self._reference = policy, reference
        self._epoch, self._false_alarms = epoch, false_alarms
        scores = np.array(reference.scores)
        kept = scores[~policy.escalate(scores)].tolist() if scores.size else []
        low, high = reference.escalation
        self._tests: dict[str, RateTest | ExchangeabilityTest] = {
            "scores": ExchangeabilityTest(kept, np.random.default_rng(seed))
        }
        for what, limit, above in (
            ("escalation high", high, True),
            ("escalation low", low, False),
            ("unjudged", reference.unjudged, True),
        ):
            if 0 < limit < 1:  # a rate of 1 cannot be exceeded
                self._tests[what] = RateTest(limit, above=above)
        self._threshold = math.log(len(self._tests) / false_alarms)
        self._images = self._escalated = self._unjudged = self._in_epoch = 0
        self._sounded: set[str] = set()

    def update(self, result: Judged) -> list[Alarm]:
        """Take one result in; the alarms that it sets off, each at most once an epoch."""
        if self._in_epoch == self._epoch:
            self._in_epoch, self._sounded = 0, set()
            for test in self._tests.values():
                test.reset()
        self._images += 1
        self._in_epoch += 1
        judged, escalated = result.route != Route.NONE, result.route == Route.FULL
        self._unjudged += not judged
        self._escalated += escalated
        self._bet("unjudged", not judged)
        if judged:
            self._bet("escalation high", escalated)
            self._bet("escalation low", escalated)
            if not escalated and result.lowres_score is not None:
                self._bet("scores", result.lowres_score)
        fresh = [
            Alarm(what, self._images, self._text(what))
            for what, test in self._tests.items()
            if what not in self._sounded and test.log_wealth >= self._threshold
        ]
        self._sounded.update(alarm.what for alarm in fresh)
        self.alarms = (self.alarms + fresh)[-100:]
        return fresh

    def status(self) -> dict[str, Any]:
        """JSON-ready: images so far, shares, limits, how near each test is to its alarm (1: alarm), alarms."""
        judged = self._images - self._unjudged
        low, high = self._reference.escalation
        return {
            "schema": SCHEMA,
            "images": self._images,
            "escalated": self._escalated / judged if judged else None,
            "unjudged": self._unjudged / self._images if self._images else None,
            "limits": {"escalation": [low, high], "unjudged": self._reference.unjudged},
            "towards_alarm": {
                what: round(max(0.0, test.log_wealth / self._threshold), 3)
                for what, test in self._tests.items()
            },
            "epoch": self._epoch,
            "false_alarms_per_epoch": self._false_alarms,
            "alarms": [asdict(alarm) for alarm in self.alarms],
        }

    def _bet(self, what: str, value: float) -> None:
        test = self._tests.get(what)
        if isinstance(test, RateTest):
            test.update(bool(value))
        elif test is not None:
            test.update(float(value))

    def _text(self, what: str) -> str:
        low, high = self._reference.escalation
        words = {
            "escalation high": f"more images are escalated than the {high:.2%} that the calibration allows for: many "
            "defects, or images unlike those it was calibrated on",
            "escalation low": f"fewer images are escalated than the {low:.2%} that the calibration allows for: "
            "images unlike those it was calibrated on, or a camera that shows less",
            "unjudged": f"more images cannot be judged than the {self._reference.unjudged:.2%} that the calibration "
            "allows for: focus, exposure, another recipe?",
            "scores": "the scores of images that pass are no longer distributed as in the calibration: the "
            "certificate may not hold; look for what changed, and calibrate again",
        }
        return words[what]
