"""Synthetic micrographs, one by one. Image i depends on the configuration, the seed and i alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from wafer_data.micrograph.config import MicrographConfig
from wafer_data.micrograph.defects import Severity, add_defect
from wafer_data.micrograph.scene import Scene, draw_scene
from wafer_data.micrograph.types import DEFECT_TYPES

GOOD = "good"
_SCENE, _DEFECT = 0, 1  # independent streams of random numbers for an image and for what happens to it


@dataclass(frozen=True)
class Micrograph:
    """A synthetic image, float32 (S, S) in [0, 1]. mask (bool) and severity are None for type "good"."""

    image: np.ndarray
    type: str
    index: int
    mask: np.ndarray | None = None
    severity: Severity | None = None


def normal_image(config: MicrographConfig, seed: int, index: int) -> np.ndarray:
    """Synthetic image `index` without defect, float32 (S, S) in [0, 1]. seed and index: 0 or more."""
    scene = _scene(config, seed, index)
    return scene.expose(scene.signal(scene.layout.tone.grey(scene.pattern())))


def defective_image(
    config: MicrographConfig, seed: int, index: int, type: str
) -> tuple[np.ndarray, np.ndarray]:
    """Synthetic image `index` with one defect: (image, mask), float32 in [0, 1] and bool, both (S, S).

    Outside the mask the image equals `normal_image(config, seed, index)` to the last bit; inside, every pixel
    differs from it by more than one step of 8 bits.

    Raises:
        ValueError: For a type that is not one of DEFECT_TYPES.
    """
    micrograph = draw_micrograph(config, seed, index, type)
    assert micrograph.mask is not None
    return micrograph.image, micrograph.mask


def draw_micrograph(config: MicrographConfig, seed: int, index: int, type: str = GOOD) -> Micrograph:
    """Synthetic image `index`, "good" or with a defect of `type`, together with the defect's severity."""
    if type == GOOD:
        return Micrograph(normal_image(config, seed, index), type, index)
    if type not in DEFECT_TYPES:
        raise ValueError(f"no such defect type: {type}; there are {', '.join(DEFECT_TYPES)}")
    rng = np.random.default_rng((seed, index, _DEFECT, DEFECT_TYPES.index(type)))
    image, mask, severity = add_defect(_scene(config, seed, index), type, rng)
    return Micrograph(image, type, index, mask, severity)


def iterate_micrographs(
    config: MicrographConfig, seed: int, indices: Iterable[int], type: str = GOOD
) -> Iterator[Micrograph]:
    """The images of `indices`, one after another, without any file. Ranges may be divided among processes."""
    for index in indices:
        yield draw_micrograph(config, seed, index, type)


def _scene(config: MicrographConfig, seed: int, index: int) -> Scene:
    return draw_scene(config, np.random.default_rng((seed, index, _SCENE)))
