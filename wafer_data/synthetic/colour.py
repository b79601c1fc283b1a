"""Painted defects in colour: what a generator draws in grey, laid along an axis of the colour space.

A generator that works out a change of grey needs no second version for colour. It is shown the image along one axis -
its brightness, a hue, the axis along which this image's own colours differ - and its change is put back along that
axis. So contrasts and noise are measured where the defect lies, and structures are filled with their own colours. Grey
images go to the generator as they are, with the same random numbers as ever.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wafer_data.imaging.planes import LUMA, luminance
from wafer_data.synthetic.blend import add

Paint = Callable[
    [np.ndarray, np.random.Generator, np.ndarray | None],
    tuple[np.ndarray, np.ndarray],
]
BRIGHTNESS_SHARE, OWN_SHARE = 0.4, 0.2
"""So often paint changes the brightness alone, and lies on the image's own axis; else it changes the hue alone."""
_EVERY = 4  # pixels from which an image's own axis is taken
_LEAST = 0.02


@dataclass(frozen=True)
class Axis:
    """An axis of the colour space.

    Attributes:
        direction: float32 (3,), its largest number is 1: what a step of 1 adds to red, green and blue.
        weights: float32 (3,), of the channels in the coordinate along it; a step of 1 counts 1.
        offset: added to the coordinate, so that it lies in [0, 1].
    """

    direction: np.ndarray
    weights: np.ndarray
    offset: float = 0.0

    @classmethod
    def along(cls, direction: np.ndarray) -> Axis:
        """The axis of a direction, (3,), of any length but 0."""
        direction = (direction / np.abs(direction).max()).astype(np.float32)
        weights = direction / np.float32(np.square(direction).sum())
        return cls(direction, weights, 0.5 - 0.5 * float(weights.sum()))

    def view(self, image: np.ndarray) -> np.ndarray:
        """The coordinate of each pixel of planes (3, H, W), float32 (H, W) in [0, 1]."""
        found = sum(plane * weight for plane, weight in zip(image, self.weights, strict=True))
        return np.clip(found + np.float32(self.offset), 0, 1).astype(np.float32)


BRIGHTNESS = Axis(np.ones(3, np.float32), LUMA)


def painted_in_colour(*, own: bool = False) -> Callable[[Paint], Paint]:
    """Make a generator of grey images take colour ones, planes (3, H, W), too.

    Args:
        own: Always along the image's own axis: for defects that are made of the image's own colours.
    """

    def take(paint: Paint) -> Paint:
        @functools.wraps(paint)
        def painted(
            image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
        ) -> tuple[np.ndarray, np.ndarray]:
            if image.ndim == 2:
                return paint(image, rng, donor)
            axis = own_axis(image) if own else draw_axis(image, rng)
            view = axis.view(image)
            changed, mask = paint(view, rng, None)
            strength = 1.0 if own else _strength(image, view, rng)
            change = (np.float32(strength) * (changed - view))[None] * axis.direction[:, None, None]
            return add(image, change, mask)

        return painted

    return take


def draw_axis(image: np.ndarray, rng: np.random.Generator) -> Axis:
    """Brightness alone, the image's own axis, or a hue that leaves the luminance as it is."""
    drawn = rng.random()
    if drawn < BRIGHTNESS_SHARE:
        return BRIGHTNESS
    if drawn < BRIGHTNESS_SHARE + OWN_SHARE:
        return own_axis(image)
    direction = rng.normal(size=3)
    return Axis.along(direction - (direction @ LUMA) / (LUMA @ LUMA) * LUMA)


def own_axis(image: np.ndarray) -> Axis:
    """The axis along which the colours of planes (3, H, W) differ most; brightness where they do not differ."""
    pixels = image[:, ::_EVERY, ::_EVERY].reshape(3, -1).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(pixels))
    if not values[-1] > 1e-8:
        return BRIGHTNESS
    direction = vectors[:, -1]
    return Axis.along(direction * np.sign(direction[np.abs(direction).argmax()]))


def _strength(image: np.ndarray, view: np.ndarray, rng: np.random.Generator) -> float:
    """A hue that hardly varies is hardly painted: up to what the image's brightness varies by, by chance."""
    most = float(luminance(image).std()) / max(float(view.std()), _LEAST)
    return math.exp(rng.uniform(0, math.log(most))) if most > 1 else 1.0
