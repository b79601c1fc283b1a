"""Synthetic anomalies: what a defect might look like, painted into a normal image with its exact mask.

Students imitate their teacher on normal images and on these; from normal images alone they do not learn what
the teacher's features do on a defect. Each generator is a function

    generator(image, rng, donor=None) -> (image, mask)

image: float32 (H, W) in [0, 1], both sides at least 16 pixels. donor: another image of the same shape, or
None: material for `cut_paste` and `perlin_texture`, which otherwise take it from `image` itself. The result
is a new float32 image in [0, 1] and a bool (H, W) mask that is never empty; outside the mask no bit changes.
Sizes follow the image's shorter side, contrasts its standard deviation, so any intensity range is served.
"""

import numpy as np

from wafer_data.synthetic.lines import crack, scratch
from wafer_data.synthetic.patches import cut_paste, perlin_texture
from wafer_data.synthetic.spots import particle, stain

GENERATORS = {
    "scratch": scratch,
    "particle": particle,
    "cut_paste": cut_paste,
    "perlin_texture": perlin_texture,
    "stain": stain,
    "crack": crack,
}

__all__ = [
    "GENERATORS",
    "add_random_anomaly",
    "crack",
    "cut_paste",
    "particle",
    "perlin_texture",
    "scratch",
    "stain",
]


def add_random_anomaly(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, str]:
    """One generator, drawn with equal chances: (image, mask, name of the generator). See the module."""
    name = list(GENERATORS)[rng.integers(len(GENERATORS))]
    changed, mask = GENERATORS[name](image, rng, donor)
    return changed, mask, name
