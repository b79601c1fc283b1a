"""Shapes as signed distances (pixels, positive inside), and the places of a layout where a defect fits.

Coordinates are (y, x) in pixels; the centre of the upper left pixel is (0, 0).
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Box:
    """A rectangle with its sides along the axes."""

    top: float
    left: float
    bottom: float
    right: float

    def moved(self, offset: tuple[float, float]) -> "Box":
        """The same rectangle, displaced by (dy, dx)."""
        dy, dx = offset
        return Box(self.top + dy, self.left + dx, self.bottom + dy, self.right + dx)

    def distance(self, size: int) -> np.ndarray:
        """Distance to the nearest side, float32 (size, size): exact inside, a lower bound (in size) outside."""
        at = np.arange(size, dtype=np.float32)
        down = np.minimum(at - np.float32(self.top), np.float32(self.bottom) - at)
        across = np.minimum(at - np.float32(self.left), np.float32(self.right) - at)
        return np.minimum(down[:, None], across[None])


@dataclass(frozen=True)
class Gap:
    """The free place between two structures that face each other: `box` reaches from edge to edge.

    Attributes:
        upright: The structures lie above and below the gap, not left and right of it.
        depth: How far, in pixels, a bridge may reach into either structure without leaving it on the other
            side.
    """

    box: Box
    upright: bool
    depth: float


@dataclass(frozen=True)
class Tone:
    """Grey of a layout as a function of the distance to the nearest edge.

    Attributes:
        inside, outside: Grey of the plateaus.
        edge: How much brighter an edge is, as secondary electrons leave a slope more easily than a plane.
        edge_inside, edge_outside: How far that reaches, in pixels.
    """

    inside: float
    outside: float
    edge: float
    edge_inside: float
    edge_outside: float

    def grey(self, distance: np.ndarray) -> np.ndarray:
        """Grey, float32, for signed distances in pixels; a pixel that an edge crosses takes its share."""
        cover = np.clip(distance + np.float32(0.5), 0, 1)
        reach = np.where(distance > 0, np.float32(1 / self.edge_inside), np.float32(-1 / self.edge_outside))
        grey = np.float32(self.outside) + np.float32(self.inside - self.outside) * cover
        return np.asarray(grey + np.float32(self.edge) * np.exp(-distance * reach), dtype=np.float32)


class Layout(Protocol):
    """A pattern without any variation, known exactly. `offset` (dy, dx) displaces it against the image."""

    tone: Tone

    def distance(self, offset: tuple[float, float]) -> np.ndarray:
        """Signed distance to the nearest edge of the ideal pattern, float32 (size, size)."""
        ...

    def gap(self, rng: np.random.Generator, offset: tuple[float, float]) -> Gap:
        """A gap between two neighbouring structures in the image; the box is as wide as a bridge may be."""
        ...

    def feature(self, rng: np.random.Generator, offset: tuple[float, float]) -> Box:
        """A rectangle around a structure, or a piece across one, that can go missing; it touches no other."""
        ...

    def shift(self, rng: np.random.Generator) -> tuple[float, float]:
        """A displacement (dy, dx), in pixels, that shows: not along the pattern's own lines."""
        ...


def lattice_point(rng: np.random.Generator, start: float, pitch: float, half: float, size: int) -> float:
    """One of start + k * pitch, chosen at random, that has `half` pixels of image to either side."""
    low = math.ceil((half - start) / pitch)
    high = math.floor((size - 1 - half - start) / pitch)
    return start + int(rng.integers(low, max(high, low) + 1)) * pitch


def place_in_view(rng: np.random.Generator, low: float, high: float, half: float, size: int) -> float:
    """A random centre in [low, high] such that `half` to either side lies inside the image, if that can be."""
    low, high = max(low, half), min(high, size - 1 - half)
    return float(rng.uniform(low, high)) if high > low else (low + high) / 2
