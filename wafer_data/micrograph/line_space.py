"""Layout line_space: upright lines at equal distances."""

import math

import numpy as np

from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.geometry import Box, Gap, Tone, lattice_point, place_in_view


class LineSpace:
    """Line k is centred on x = (k + 1/2) * pitch and `fill` * pitch wide."""

    def __init__(self, config: MicrographConfig) -> None:
        self.size, self.pitch = config.size, config.pitch_px
        self.width = config.fill * self.pitch
        self.tone = Tone(0.44, 0.20, 0.32, 0.10 * self.pitch, 0.05 * self.pitch)

    def distance(self, offset: tuple[float, float]) -> np.ndarray:
        x = np.arange(self.size) - offset[1]
        across = np.abs(x % self.pitch - self.pitch / 2)
        row = (self.width / 2 - across).astype(np.float32)
        return np.repeat(row[None], self.size, axis=0)

    def gap(self, rng: np.random.Generator, offset: tuple[float, float]) -> Gap:
        length = self.pitch - self.width
        middle = lattice_point(rng, offset[1], self.pitch, self.pitch, self.size)
        y = place_in_view(rng, 0, self.size - 1, 0.5 * self.pitch, self.size)
        half = 0.5 * self.pitch * math.exp(rng.uniform(math.log(0.4), math.log(1.4)))
        box = Box(y - half, middle - length / 2, y + half, middle + length / 2)
        return Gap(box, upright=False, depth=self.width / 2)

    def feature(self, rng: np.random.Generator, offset: tuple[float, float]) -> Box:
        middle = lattice_point(rng, self.pitch / 2 + offset[1], self.pitch, self.width / 2, self.size)
        half = 0.5 * self.pitch * math.exp(rng.uniform(math.log(0.5), math.log(2.2)))
        y = place_in_view(rng, 0, self.size - 1, half, self.size)
        reach = self.width / 2 + 0.4 * (self.pitch - self.width)
        return Box(y - half, middle - reach, y + half, middle + reach)

    def shift(self, rng: np.random.Generator) -> tuple[float, float]:
        across = rng.choice([-1, 1]) * rng.uniform(0.2, 0.45) * self.pitch
        return float(rng.uniform(-0.1, 0.1) * self.pitch), float(across)
