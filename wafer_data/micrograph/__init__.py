"""Synthetic micrographs: cartoons of electron-microscope images of a patterned wafer, with known defects.

None of them shows a real wafer. They serve to try the program out, to test it and to measure its speed where
real images may not leave the fab; figures measured on them say nothing about real defects.

    from wafer_data.micrograph import MicrographConfig, defective_image, iterate_micrographs
    config = MicrographConfig(layout="contacts")
    image, mask = defective_image(config, seed=0, index=7, type="bridge")
    for micrograph in iterate_micrographs(config, seed=0, indices=range(1000)): ...

How an image comes about, in order: the layout (exact signed distances to its edges), displaced by the jitter
of the field of view; line-edge roughness and the image's own line width; grey with bright edges; defocus;
contrast, brightness and illumination of that image; shot-like noise. docs/synthetic.md has the models.
"""

from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.dataset import (
    Entry,
    default_counts,
    iterate_data_set,
    plan,
    write_micrographs,
)
from wafer_data.micrograph.defects import Severity
from wafer_data.micrograph.images import (
    GOOD,
    Micrograph,
    defective_image,
    draw_micrograph,
    iterate_micrographs,
    normal_image,
)
from wafer_data.micrograph.types import DEFECT_TYPES, KNOWN_TYPES, NOVEL_TYPES

__all__ = [
    "DEFECT_TYPES",
    "GOOD",
    "KNOWN_TYPES",
    "NOVEL_TYPES",
    "Entry",
    "Micrograph",
    "MicrographConfig",
    "Severity",
    "default_counts",
    "defective_image",
    "draw_micrograph",
    "iterate_data_set",
    "iterate_micrographs",
    "normal_image",
    "plan",
    "write_micrographs",
]
