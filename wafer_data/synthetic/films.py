"""Films left on the surface: residues of resist, polish or cleaning."""

import math

import numpy as np

from wafer_data.synthetic.blend import add, contrast
from wafer_data.synthetic.colour import painted_in_colour
from wafer_data.synthetic.noise import smooth_noise
from wafer_data.synthetic.spots import uneven_distance

_INSIDE = 0.15  # a pixel belongs to the film from this share of its opacity on


@painted_in_colour()
def residue(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """An irregular film with lobes, islands and holes, faint and smooth-edged, with a fine texture of its own.

    5-30 % of the shorter side in radius; 0.35-2 standard deviations brighter or darker; it veils 0-60 % of
    the pattern below. Its texture, 2-6 pixels coarse, is 20-60 % as strong as the film itself. `stain` is
    rounder, has no texture of its own and hides nothing.
    """
    side = min(image.shape)
    radius = max(4.0, side * math.exp(rng.uniform(math.log(0.05), math.log(0.3))))
    centre = rng.uniform(0.05, 0.95, 2) * (np.array(image.shape) - 1)
    reach = 1.6 * radius
    top, left = np.maximum(0, np.floor(centre - reach)).astype(int)
    bottom, right = np.minimum(image.shape, np.ceil(centre + reach) + 1).astype(int)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(left, right, dtype=np.float32)[None] - np.float32(centre[1])
    below = image[top:bottom, left:right]
    thickness = 1 - uneven_distance(x, y, rng) / np.float32(radius)
    thickness += np.float32(0.9) * smooth_noise(below.shape, max(4.0, 0.7 * radius), rng)
    thickness += np.float32(0.4) * smooth_noise(below.shape, max(3.0, 0.25 * radius), rng)
    ramp = np.clip(thickness / np.float32(rng.uniform(0.25, 0.7)), 0, 1)
    profile = ramp * ramp * (3 - 2 * ramp)  # no kink at either end
    texture = smooth_noise(below.shape, rng.uniform(2, 6), rng)
    height = np.float32(rng.choice([-1.0, 1.0]) * contrast(image, rng, 0.35, 2.0))
    film = height * (1 + np.float32(2 * rng.uniform(0.2, 0.6)) * texture)
    veil = np.float32(rng.uniform(0, 0.6)) * (below.mean(dtype=np.float64).astype(np.float32) - below)
    change = (profile * (film + veil)).astype(np.float32)
    return add(image, change, profile > _INSIDE, (int(top), int(left)))
