"""Layout contacts: round holes in a square array. The holes are the structures: their inside is dark."""

import math

import numpy as np

from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.geometry import Box, Gap, Tone, lattice_point


class Contacts:
    """Hole (j, k) is centred on ((j + 1/2) * pitch, (k + 1/2) * pitch), `fill` * pitch across."""

    def __init__(self, config: MicrographConfig) -> None:
        self.size, self.pitch = config.size, config.pitch_px
        self.radius = config.fill * self.pitch / 2
        self.tone = Tone(0.13, 0.42, 0.34, 0.05 * self.pitch, 0.065 * self.pitch)

    def distance(self, offset: tuple[float, float]) -> np.ndarray:
        y, x = ((np.arange(self.size) - shift) % self.pitch - self.pitch / 2 for shift in offset)
        squares = np.square(y, dtype=np.float32)[:, None] + np.square(x, dtype=np.float32)[None]
        return np.float32(self.radius) - np.sqrt(squares)

    def gap(self, rng: np.random.Generator, offset: tuple[float, float]) -> Gap:
        upright = bool(rng.random() < 0.5)
        along, across = (offset[0], offset[1]) if upright else (offset[1], offset[0])
        length = self.pitch - 2 * self.radius
        u = lattice_point(rng, along, self.pitch, self.pitch, self.size)
        v = lattice_point(rng, self.pitch / 2 + across, self.pitch, self.radius, self.size)
        half = self.radius * rng.uniform(0.45, 1.0)
        if upright:
            box = Box(u - length / 2, v - half, u + length / 2, v + half)
        else:
            box = Box(v - half, u - length / 2, v + half, u + length / 2)
        return Gap(box, upright, depth=self.radius)

    def feature(self, rng: np.random.Generator, offset: tuple[float, float]) -> Box:
        y, x = (
            lattice_point(rng, self.pitch / 2 + shift, self.pitch, self.radius, self.size) for shift in offset
        )
        reach = self.radius + 0.4 * (self.pitch - 2 * self.radius)
        return Box(y - reach, x - reach, y + reach, x + reach)

    def shift(self, rng: np.random.Generator) -> tuple[float, float]:
        angle, length = rng.uniform(0, math.tau), rng.uniform(0.2, 0.45) * self.pitch
        return length * math.sin(angle), length * math.cos(angle)
