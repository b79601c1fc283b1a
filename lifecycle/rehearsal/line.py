"""The line of the rehearsal: tools that photograph wafers and send them, over HTTP, at times of their own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lifecycle.rehearsal.images import GOOD, Camera, Library
from lifecycle.rehearsal.notices import Tally
from service.client import Client, NoDecision
from wafer_data.errors import InputError

IMAGES_A_WAFER, WAFERS_A_LOT = 4, 3
DEFECT_RATE = 0.01
_LOT_GAIN, _WAFER_GAIN = 0.004, 0.003
"""Relative standard deviations of the brightness between lots and between wafers of a lot."""
_TRIES, _PAUSE_S = 400, 0.1


@dataclass(frozen=True)
class Tool:
    """A tool of the line.

    Attributes:
        name: Its name. layer: What it inspects. camera: How it sees now.
    """

    name: str
    layer: str
    camera: Camera = field(default_factory=Camera)

    def with_gain(self, gain: float) -> Tool:
        """The same tool with another gain."""
        return replace(self, camera=replace(self.camera, gain=gain))


@dataclass(frozen=True)
class Sent:
    """An inspected image. truth: "good" or its defect's type; at: day on which it was taken."""

    wafer: str
    tool: str
    truth: str
    at: float
    answer: dict[str, Any]


class Line:
    """Sends images in turn to all workers, and remembers what each showed.

    Args:
        urls: Of the workers. key: Of the tools.
        library: What there is to be seen.
        recipe: Of the bundle; None where it has only one without a name.
        start: Unix time of day 0.
        seed: Of everything that is drawn.
    """

    def __init__(
        self, urls: Sequence[str], key: str, library: Library, recipe: str | None, start: float, seed: int
    ) -> None:
        self._clients = [Client(url, key, timeout=30) for url in urls]
        self._library, self._recipe, self._start = library, recipe, start
        self._rng = np.random.default_rng(seed)
        self._truth: dict[tuple[str, str], str] = {}
        self._turn = self._wafers = self._lots = 0
        self.whole, self.retries, self.failed = Tally(), 0, 0

    @property
    def sent(self) -> int:
        """Images that were answered."""
        return self.whole.images

    def truth(self, wafer: str, point: str) -> str:
        """What an image shows."""
        return self._truth[wafer, point]

    def lot(
        self, tool: Tool, day: float, wafers: int, hours: float = 1.0, types: Sequence[str] | None = None,
        recipe: str | None = None, points: int = IMAGES_A_WAFER,
    ) -> list[Sent]:  # fmt: skip
        """Inspect wafers of one lot, one after another.

        Args:
            tool: On which. day: When the first image is taken. wafers: How many. hours: How long that takes.
            types: What to draw each image's content from, evenly; default good images and known defects.
            recipe: Default the line's own.
            points: Images of each wafer.
        """
        self._lots += 1
        gain = 1 + _LOT_GAIN * self._rng.standard_normal()
        found = []
        for place in range(wafers):
            self._wafers += 1
            seen = tool.with_gain(tool.camera.gain * gain * (1 + _WAFER_GAIN * self._rng.standard_normal()))
            for point in range(points):
                at = day + hours / 24 * (place + point / points) / wafers
                truth = self._draw(types)
                found.append(
                    self._send(seen, f"W{self._wafers:06d}", point, truth, at, recipe or self._recipe)
                )
        return found

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()

    def _draw(self, types: Sequence[str] | None) -> str:
        if types is not None:
            return str(self._rng.choice(list(types)))
        known = self._library.known
        return str(self._rng.choice(known)) if known and self._rng.random() < DEFECT_RATE else GOOD

    def _send(self, tool: Tool, wafer: str, point: int, truth: str, at: float, recipe: str | None) -> Sent:
        shown = self._library.images[truth]
        image = tool.camera.photograph(shown[int(self._rng.integers(len(shown)))], self._rng)
        about = {
            "tool": tool.name, "layer": tool.layer, "lot": f"L{self._lots:05d}",
            "captured_at": repr(self._start + 86400 * at), **({"recipe": recipe} if recipe else {}),
        }  # fmt: skip
        self._truth[wafer, str(point)] = truth
        answer = self._ask(image, wafer, point, about)
        self.whole.add(truth, answer["decision"])
        return Sent(wafer, tool.name, truth, at, answer)

    def _ask(self, image: bytes, wafer: str, point: int, about: dict[str, str]) -> dict[str, Any]:
        """Ask the workers in turn, as a balancer does: one that is down is passed over."""
        key = f"rehearsal-{wafer}-{point}"
        for _ in range(_TRIES):
            self._turn += 1
            client = self._clients[self._turn % len(self._clients)]
            try:
                return client.inspect(
                    image, wafer_id=wafer, inspection_point=point, idempotency_key=key, **about
                )
            except NoDecision as error:
                if error.status is not None and error.status < 500:
                    self.failed += 1
                    raise InputError(f"the service refused an image: {error}") from error
                self.retries += 1
                if self._turn % len(self._clients) == 0:
                    time.sleep(_PAUSE_S)
        self.failed += 1
        raise InputError("no worker of the rehearsal answers")
