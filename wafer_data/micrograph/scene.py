"""One view of the wafer: what varies from image to image, and how grey levels become an image."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.contacts import Contacts
from wafer_data.micrograph.fields import correlated_field, illumination
from wafer_data.micrograph.geometry import Layout
from wafer_data.micrograph.line_space import LineSpace
from wafer_data.micrograph.logic import Logic

_LAYOUTS: dict[str, type[LineSpace] | type[Contacts] | type[Logic]] = {
    "line_space": LineSpace,
    "contacts": Contacts,
    "logic": Logic,
}
_MIDDLE = 0.35  # grey that a change of contrast leaves alone


@lru_cache(maxsize=8)
def layout_of(config: MicrographConfig) -> Layout:
    """The ideal pattern of a configuration; kept, because layout logic takes a moment to draw."""
    return _LAYOUTS[config.layout](config)


@dataclass(frozen=True)
class Scene:
    """Everything that is drawn for one image, apart from its defect.

    Attributes:
        offset: Displacement (dy, dx) of the pattern, pixels.
        edge: Displacement of each edge along its normal, float32 (S, S), pixels: the image's own line width
            and the roughness.
        blur: Sigma, pixels.
        gain, shift: Contrast and brightness.
        light: Illumination, float32 (S, S), about 1.
        noise: Standard normal, (S, S).
        scan: Offset of each scan line, (S,).
    """

    config: MicrographConfig
    offset: tuple[float, float]
    edge: np.ndarray
    blur: float
    gain: float
    shift: float
    light: np.ndarray
    noise: np.ndarray
    scan: np.ndarray

    @property
    def layout(self) -> Layout:
        """The pattern that is shown."""
        return layout_of(self.config)

    def pattern(self, displaced: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """Signed distance to the nearest real (rough) edge, float32 (S, S), with the pattern `displaced`."""
        offset = (self.offset[0] + displaced[0], self.offset[1] + displaced[1])
        return self.layout.distance(offset) + self.edge

    def signal(self, grey: np.ndarray) -> np.ndarray:
        """Grey (S, S) as the detector would give it without noise: blurred, unevenly lit."""
        seen = ndimage.gaussian_filter(grey, self.blur, mode="nearest", truncate=3.5)
        return (
            np.float32(_MIDDLE + self.shift) + np.float32(self.gain) * (seen - np.float32(_MIDDLE))
        ) * self.light

    def noise_std(self, signal: np.ndarray) -> np.ndarray:
        """Standard deviation of the shot-like noise: its variance is proportional to the signal."""
        return np.float32(self.config.noise * math.sqrt(2)) * np.sqrt(np.maximum(signal, 0))

    def expose(self, signal: np.ndarray) -> np.ndarray:
        """The image: signal plus noise, float32 (S, S) in [0, 1]."""
        return np.clip(signal + self.noise_std(signal) * self.noise + self.scan[:, None], 0, 1)


def draw_scene(config: MicrographConfig, rng: np.random.Generator) -> Scene:
    """Draw what varies. The order of the draws is part of the format: another order makes other images."""
    size = config.size
    offset = tuple(float(rng.uniform(-config.jitter, config.jitter)) for _ in range(2))
    width, gain, shift = np.clip(rng.standard_normal(3), -3, 3) * [
        config.width_variation,
        config.contrast_variation,
        config.brightness_variation,
    ]
    blur = float(rng.uniform(config.blur_low, config.blur_high))
    light = illumination(size, config.drift, rng)
    edge = np.full((size, size), np.float32(width / 2), dtype=np.float32)
    if config.roughness:
        edge += np.float32(config.roughness) * correlated_field(size, config.roughness_length, rng)
    noise = rng.standard_normal((size, size), dtype=np.float32)
    scan = np.float32(config.line_noise) * rng.standard_normal(size, dtype=np.float32)
    return Scene(
        config, (offset[0], offset[1]), edge, blur, 1 + float(gain), float(shift), light, noise, scan
    )
