"""Synthetic anomalies: what a defect might look like, painted into a normal image with its exact mask.

Students imitate their teacher on normal images and on these; from normal images alone they do not learn what
the teacher's features do on a defect. Each generator is a function

    generator(image, rng, donor=None) -> (image, mask)

image: float32 (H, W) in [0, 1], or colour planes (3, H, W) (`wafer_data.synthetic.colour`); both sides at least 16
pixels. donor: another image of the same shape, or
None: material for `cut_paste` and `perlin_texture`, which otherwise take it from `image` itself. The result
is a new float32 image in [0, 1] and a bool (H, W) mask of exactly the pixels that differ from `image`; it is
never empty, and at least one pixel changes by a step that 8 bits show. The same `rng` state gives the same
result. Sizes follow the image's shorter side, contrasts its standard deviation, so any intensity range is
served. docs/synthetic.md shows each generator and lists its ranges.
"""

from wafer_data.synthetic.films import residue
from wafer_data.synthetic.lines import crack, scratch
from wafer_data.synthetic.patches import cut_paste, pattern_shift, perlin_texture, swap
from wafer_data.synthetic.pattern import bridge, missing_feature
from wafer_data.synthetic.registry import ANOMALY_TYPES, GENERATORS, AnomalyType, add_random_anomaly
from wafer_data.synthetic.small import slip, speck
from wafer_data.synthetic.spots import particle, stain

__all__ = [
    "ANOMALY_TYPES",
    "GENERATORS",
    "AnomalyType",
    "add_random_anomaly",
    "bridge",
    "crack",
    "cut_paste",
    "missing_feature",
    "particle",
    "pattern_shift",
    "perlin_texture",
    "residue",
    "scratch",
    "slip",
    "speck",
    "stain",
    "swap",
]
