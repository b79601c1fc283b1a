"""A stated time budget: what it asks, and which measured settings meet it."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from eval.tradeoff.points import Point
from wafer_data.errors import InputError

LOT = 25
"""Wafers in a standard carrier, one image each."""

_NUMBER = r"(?P<number>\d[\d\s,.'\u00a0\u2009\u202f]*?)\s*(?P<million>million)?"
_TIMES = {
    "ms": 1.0,
    "millisecond": 1.0,
    "s": 1e3,
    "sec": 1e3,
    "second": 1e3,
    "min": 6e4,
    "minute": 6e4,
    "h": 3.6e6,
}
_TIMES |= {"hour": 3.6e6}
_RATES = {"s": 1.0, "second": 1.0, "minute": 60.0, "min": 60.0, "hour": 3600.0, "h": 3600.0, "day": 86400.0}
_TIME = re.compile(
    rf"^{_NUMBER}\s*(?P<unit>[a-z]+)(?P<lot>\s+(?:for|a|an|per|each)\b.*|/.*)?$", re.IGNORECASE
)
_RATE = re.compile(
    rf"^{_NUMBER}\s*(?:images?|wafers?|pictures?)\s*(?:an|a|per|each|every|/)\s*(?P<unit>[a-z]+)$",
    re.IGNORECASE,
)
_ONE = re.compile(r"^(?:(?:for|a|an|per|each|one|single|every|/)\s*)+(?:image|wafer|picture)$", re.IGNORECASE)
_LOT = re.compile(
    r"^(?:(?:for|a|per|the|each)\s+)*(?:lot(?:\s+of\s+(?P<of>[\d\s,]+?))?|(?P<count>[\d\s,]+?))"
    r"(?:\s*(?:images?|wafers?))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Budget:
    """kind "image": each image's decision within `milliseconds`, 99 times in 100. "lot": `images` one after another
    or in batches within `milliseconds`, by the mean. "rate": `per_second` images, by the mean. What a kind does not
    ask for is None.
    """

    text: str
    kind: Literal["image", "lot", "rate"]
    milliseconds: float | None = None
    images: int = 1
    per_second: float | None = None

    def figure(self, point: Point) -> float:
        """What of `point` is compared with the budget: milliseconds, or images a second for a rate."""
        if self.kind == "image":
            return point.p99_ms  # an image waits for the batch that it is part of
        if self.kind == "lot":
            # The last batch takes its full time, also if the lot does not fill it.
            return math.ceil(self.images / point.batch) * point.batch * point.milliseconds_an_image
        return point.images_per_second

    def met_by(self, point: Point) -> bool:
        """Whether the setting keeps the budget."""
        if self.per_second is not None:
            return self.figure(point) >= self.per_second
        return self.milliseconds is not None and self.figure(point) <= self.milliseconds


@dataclass(frozen=True)
class Answer:
    """Which settings meet a budget. best: the most accurate of them; fastest: ...; product: the routed system as
    calibrated, one image and one thread at a time; nearest: the one that comes nearest when none meets it.
    """

    budget: Budget
    considered: int
    meeting: int
    best: Point | None
    fastest: Point | None
    product: Point | None
    nearest: Point | None


def parse_budget(text: str, lot: int = LOT) -> Budget:
    """Read "50 ms", "150 ms for the lot", "150 ms for the lot of 200", "2 s for 64 images" or "10 000 images an
    hour". A lot without a number has `lot` images. Raises `InputError` naming these forms.
    """
    said = " ".join(text.split())
    rate = _RATE.match(said)
    if rate and rate["unit"].lower() in {*_RATES, "month"}:
        seconds = _RATES.get(rate["unit"].lower(), 30 * 86400.0)
        return Budget(said, "rate", per_second=_positive(rate, text) / seconds)
    time = _TIME.match(said)
    unit = time["unit"].lower() if time else ""
    unit = unit if unit in _TIMES else unit.removesuffix("s")
    if time and unit in _TIMES:
        milliseconds = _positive(time, text) * _TIMES[unit]
        whom = (time["lot"] or "").strip()
        if not whom or _ONE.match(whom):
            return Budget(said, "image", milliseconds)
        found = _LOT.match(whom)
        if found:
            count = found["of"] or found["count"]
            images = int(re.sub(r"\D", "", count)) if count else lot
            if images >= 1:
                return Budget(said, "lot", milliseconds, images)
    raise InputError(
        f"budget {text!r} is not understood; write a time for an image (50 ms), for a lot (150 ms for the lot of "
        "200) or a rate (10 000 images an hour)"
    )


def answer(budget: Budget, points: list[Point]) -> Answer:
    """The settings of `points` against `budget`. Most accurate: highest image AUROC, the faster of equals."""
    meeting = [point for point in points if budget.met_by(point)]
    judged = [point for point in meeting if point.image_auroc is not None]
    sign = -1.0 if budget.kind == "rate" else 1.0

    def speed(point: Point) -> float:
        return sign * budget.figure(point)

    return Answer(
        budget=budget,
        considered=len(points),
        meeting=len(meeting),
        best=min(judged, key=lambda p: (-(p.image_auroc or 0.0), speed(p)), default=None),
        fastest=min(meeting, key=speed, default=None),
        product=product_point(points),
        nearest=None if meeting else min(points, key=speed, default=None),
    )


def product_point(points: list[Point]) -> Point | None:
    """The routed system of this run as it is delivered: one image at a time, one thread, on the CPU."""
    for point in points:
        own = point.model == "routed" and not point.run and point.delivered
        if own and (point.batch, point.threads, point.device) == (1, 1, "cpu"):
            return point
    return None


def _positive(found: re.Match[str], text: str) -> float:
    digits = re.sub(r"[\s'\u00a0\u2009\u202f]", "", found["number"])
    digits = re.sub(r",(?=\d{3}(?:\D|$))", "", digits)
    try:
        value = float(digits) * (1e6 if found["million"] else 1.0)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise InputError(f"budget {text!r}: {found['number']!r} is not a positive number")
    return value
