"""Layout logic: wires on a grid of tracks between wide rails, as in the lowest metal of a logic block."""

import itertools
import math

import numpy as np

from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.geometry import Box, Gap, Tone
from wafer_data.micrograph.wiring import Wiring, draw_wiring, runs

_RAIL_WIDTH = 1.5  # of the wire width

Place = tuple[int, int, bool]  # row and column of a node; whether the next node lies below, not to the right


class Logic:
    """Nodes lie at (r * pitch, c * pitch) of a canvas that is larger than the image by `margin` on each side.

    The wiring is drawn once, by `pattern_seed`: every image of a data set shows the same block.
    """

    def __init__(self, config: MicrographConfig) -> None:
        self.size, self.pitch = config.size, config.pitch_px
        self.width = config.fill * self.pitch
        self.tone = Tone(0.45, 0.21, 0.28, 0.09 * self.pitch, 0.05 * self.pitch)
        self.margin = math.ceil(config.jitter + 0.5 * self.pitch) + 2  # the jitter and a shifted block
        canvas = config.size + 2 * self.margin
        count = math.ceil(canvas / self.pitch) + 1
        for attempt in itertools.count():  # a small image may happen to show no gap, or no wire
            self.wiring = draw_wiring(np.random.default_rng((config.pattern_seed, attempt)), count)
            self._gaps, self._wires = self._find_gaps(self.wiring), self._find_wires(self.wiring)
            if self._gaps and self._wires:
                break
        self._canvas = self._draw(canvas)

    def distance(self, offset: tuple[float, float]) -> np.ndarray:
        # The canvas is linear between its pixels, except on the ridges midway between two edges.
        (top, down), (left, right) = (divmod(self.margin - shift, 1) for shift in offset)
        part = self._canvas[int(top) : int(top) + self.size + 1, int(left) : int(left) + self.size + 1]
        rows = part[:-1] + np.float32(down) * (part[1:] - part[:-1])
        return np.asarray(rows[:, :-1] + np.float32(right) * (rows[:, 1:] - rows[:, :-1]))

    def gap(self, rng: np.random.Generator, offset: tuple[float, float]) -> Gap:
        place = self._gaps[int(rng.integers(len(self._gaps)))]
        half = self.width / 2 * rng.uniform(0.45, 1.0)
        return Gap(self._between(place, half, 0.0).moved(offset), upright=place[2], depth=self.width / 2)

    def feature(self, rng: np.random.Generator, offset: tuple[float, float]) -> Box:
        place = self._wires[int(rng.integers(len(self._wires)))]
        half = self.width / 2 + 0.4 * (self.pitch - self.width)
        longer = rng.uniform(-0.1, 0.2) * self.width  # the break may begin inside a node
        return self._between(place, half, longer).moved(offset)

    def shift(self, rng: np.random.Generator) -> tuple[float, float]:
        angle, length = rng.uniform(0, math.tau), rng.uniform(0.25, 0.45) * self.pitch
        return length * math.sin(angle), length * math.cos(angle)

    def _find_gaps(self, wiring: Wiring) -> list[Place]:
        """Neighbouring nodes that are not joined: a bridge can join them."""
        metal, plain = wiring.metal, ~wiring.rails[:, None]
        return [
            *self._in_view(metal[:, :-1] & metal[:, 1:] & ~wiring.lying & plain, upright=False),
            *self._in_view(metal[:-1] & metal[1:] & ~wiring.upright, upright=True),
        ]

    def _find_wires(self, wiring: Wiring) -> list[Place]:
        """Neighbouring nodes that are joined: the wire between them can be missing."""
        plain = ~wiring.rails[:, None]
        return [
            *self._in_view(wiring.lying & plain, upright=False),
            *self._in_view(wiring.upright, upright=True),
        ]

    def _in_view(self, chosen: np.ndarray, upright: bool) -> list[Place]:
        """The chosen places whose middle is half a pitch or more inside an image that is not displaced."""
        rows, columns = np.nonzero(chosen)
        low, high = self.margin + 0.5 * self.pitch, self.margin + self.size - 1 - 0.5 * self.pitch
        y = (rows + (0.5 if upright else 0)) * self.pitch
        x = (columns + (0 if upright else 0.5)) * self.pitch
        seen = (y >= low) & (y <= high) & (x >= low) & (x <= high)
        return [(int(r), int(c), upright) for r, c in zip(rows[seen], columns[seen], strict=True)]

    def _between(self, place: Place, half: float, longer: float) -> Box:
        """The rectangle from edge to edge of two nodes (and `longer` into either), `half` to both sides."""
        row, column, upright = place
        y, x = row * self.pitch - self.margin, column * self.pitch - self.margin
        if upright:
            start, stop = self._half_width(row), self.pitch - self._half_width(row + 1)
            return Box(y + start - longer, x - half, y + stop + longer, x + half)
        start, stop = self.width / 2, self.pitch - self.width / 2
        return Box(y - half, x + start - longer, y + half, x + stop + longer)

    def _half_width(self, row: int) -> float:
        return self.width / 2 * (_RAIL_WIDTH if self.wiring.rails[row] else 1)

    def _draw(self, canvas: int) -> np.ndarray:
        """Signed distance, float32 (canvas, canvas), to the union of all metal: the largest of all distances.

        Where two wires cross this is less than the true distance, but far from 0: no edge appears there.
        """
        distance = np.full((canvas, canvas), -np.float32(self.pitch), dtype=np.float32)
        reach = math.ceil(self.pitch) + 1
        for box in self._metal():
            top, left = max(0, math.floor(box.top) - reach), max(0, math.floor(box.left) - reach)
            part = distance[top : math.ceil(box.bottom) + reach, left : math.ceil(box.right) + reach]
            np.maximum(part, _euclidean(box.moved((-top, -left)), part.shape), out=part)
        return distance

    def _metal(self) -> list[Box]:
        """One rectangle for every straight run of wire and every pad, in the canvas."""
        half, pitch = self.width / 2, self.pitch
        boxes = []
        for row, wires in enumerate(self.wiring.lying):
            y, thick = row * pitch, self._half_width(row)
            boxes += [Box(y - thick, a * pitch - half, y + thick, b * pitch + half) for a, b in runs(wires)]
        for column, wires in enumerate(self.wiring.upright.T):
            x = column * pitch
            boxes += [Box(a * pitch - half, x - half, b * pitch + half, x + half) for a, b in runs(wires)]
        for row, column in np.argwhere(self.wiring.pads):
            y, x = row * pitch, column * pitch
            boxes.append(Box(y - half, x - half, y + half, x + half))
        return boxes


def _euclidean(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    """Euclidean signed distance to a rectangle, float32 of `shape`."""
    y, x = (np.arange(n, dtype=np.float32) for n in shape)
    down = np.minimum(y - np.float32(box.top), np.float32(box.bottom) - y)[:, None]
    across = np.minimum(x - np.float32(box.left), np.float32(box.right) - x)[None]
    outside = np.hypot(np.minimum(down, 0), np.minimum(across, 0))
    return np.asarray(np.where(outside > 0, -outside, np.minimum(down, across)), dtype=np.float32)
