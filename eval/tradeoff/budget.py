"""A stated time budget: what it asks, and which measured settings meet it."""

import math
from dataclasses import dataclass
from typing import Literal

from eval.tradeoff.points import Point


@dataclass(frozen=True)
class Budget:
    """kind "image": each image's decision within `milliseconds`, 99 times in 100. "lot".

    `images` one after another or in batches within `milliseconds`, by the mean. "rate": `per_second` images,
    by the mean. What a kind does not ask for is None.
    """

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
    """Which settings meet a budget.

    Attributes:
        best: The most accurate of them.
        fastest: ...
        product: The routed system as calibrated, one image and one thread at a time.
        nearest: The one that comes nearest when none meets it.
    """

    budget: Budget
    considered: int
    meeting: int
    best: Point | None
    fastest: Point | None
    product: Point | None
    nearest: Point | None


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
