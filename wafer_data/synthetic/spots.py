"""Spot defects: particles (small, sharp, often many) and stains (large, soft, irregular)."""

import math

import numpy as np

from wafer_data.synthetic.blend import add, contrast
from wafer_data.synthetic.colour import painted_in_colour
from wafer_data.synthetic.noise import smooth_noise

_INSIDE = 0.15  # a pixel belongs to the spot from this share of its contrast on


@painted_in_colour()
def particle(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """One to six specks, each 0.5-5 % of the shorter side in radius, uneven in outline, near one another.

    Bright or dark; one in three carries a faint rim of the other sign, as diffraction and shadows give.
    """
    side = min(image.shape)
    change = np.zeros(image.shape, dtype=np.float32)
    footprint = np.zeros(image.shape, dtype=bool)
    centre = rng.uniform(0.08, 0.92, 2) * image.shape
    height = rng.choice([-1.0, 1.0]) * contrast(image, rng, 1.0)
    hardness = rng.uniform(1.5, 6)
    has_rim = rng.random() < 1 / 3
    for count in range(1 + int(rng.integers(0, 6)) * int(rng.random() < 0.5)):
        radius = side * math.exp(rng.uniform(math.log(0.005), math.log(0.05)))
        place = centre if count == 0 else centre + rng.normal(0, 0.08 * side, 2)
        place = np.clip(place, 0, np.array(image.shape) - 1)
        reach = 2.5 * max(radius, 1)
        top, left = np.maximum(0, np.floor(place - reach)).astype(int)
        bottom, right = np.minimum(image.shape, np.ceil(place + reach) + 1).astype(int)
        y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(place[0])
        x = np.arange(left, right, dtype=np.float32)[None] - np.float32(place[1])
        distance = uneven_distance(x, y, rng) / np.float32(max(radius, 0.7))
        profile = np.exp(-(distance ** np.float32(hardness)))
        inside = profile > _INSIDE
        if has_rim:
            inside = distance < 1.9
            profile -= 0.35 * np.exp(-(((distance - 1.5) / 0.3) ** 2))
        window = change[top:bottom, left:right]
        footprint[top:bottom, left:right] |= inside
        np.copyto(window, height * profile, where=np.abs(height * profile) > np.abs(window))
    return add(image, change, footprint)


@painted_in_colour()
def stain(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A cloudy patch, 5-35 % of the shorter side in radius, with a soft or a sharper edge."""
    side = min(image.shape)
    radius = side * math.exp(rng.uniform(math.log(0.05), math.log(0.35)))
    centre = rng.uniform(0, 1, 2) * (np.array(image.shape) - 1)
    reach = 1.7 * radius
    top, left = np.maximum(0, np.floor(centre - reach)).astype(int)
    bottom, right = np.minimum(image.shape, np.ceil(centre + reach) + 1).astype(int)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(left, right, dtype=np.float32)[None] - np.float32(centre[1])
    distance = uneven_distance(x, y, rng) / np.float32(radius)
    distance += np.float32(0.25) * smooth_noise(distance.shape, max(4.0, radius / 2), rng)
    softness = np.float32(rng.uniform(0.05, 0.3))
    profile = np.clip((1 - distance) / softness + np.float32(0.5), 0, 1)
    profile *= 1 + np.float32(0.35) * smooth_noise(distance.shape, max(3.0, radius / 3), rng)
    sign = rng.choice([-1.0, 1.0])
    change = np.float32(sign * contrast(image, rng, 0.4, 2.5)) * np.maximum(profile, 0)
    return add(image, change, profile > _INSIDE, (int(top), int(left)))


def uneven_distance(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distance from the origin on the grid x (1, w), y (h, 1), bent by an ellipse and two angular waves."""
    turn, stretch = rng.uniform(0, math.pi), rng.uniform(1, 2)
    u = np.float32(math.cos(turn)) * x + np.float32(math.sin(turn)) * y
    v = np.float32(math.cos(turn) * stretch) * y - np.float32(math.sin(turn) * stretch) * x
    distance = np.sqrt(u * u + v * v)
    angle = np.arctan2(v, u)
    for waves in (2, 5):
        depth, phase = rng.uniform(0, 0.15), rng.uniform(0, math.tau)
        distance *= 1 + np.float32(depth) * np.cos(waves * angle + np.float32(phase))
    return distance
