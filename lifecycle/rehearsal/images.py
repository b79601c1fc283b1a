"""What the cameras of the rehearsal see: a library of images, and how a tool photographs them on a day."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from lifecycle.gate.scored import labelled_images
from wafer_data.errors import InputError
from wafer_data.imaging.read import UnreadableImage, read_grey
from wafer_data.micrograph import DEFECT_TYPES, NOVEL_TYPES, MicrographConfig, draw_micrograph
from wafer_data.progress import track

GOOD = "good"
NORMALS, OF_A_TYPE = 160, 16
_FROZEN_NORMALS, _FROZEN_OF_A_TYPE = 40, 6
_SEED = 7_001
"""Of the synthetic micrographs: none that `waferroute micrographs` writes by default."""
_NOISE = 0.4 / 255  # no two photographs are the same bytes; far below what a camera's own noise does


@dataclass(frozen=True)
class Library:
    """Images by type, float32 (H, W) in [0, 1].

    Attributes:
        images: "good" and at least one defect type.
        new_type: The type that nobody knows when the year begins.
        synthetic: Whether they are synthetic micrographs.
    """

    images: Mapping[str, list[np.ndarray]]
    new_type: str
    synthetic: bool

    @property
    def known(self) -> list[str]:
        """Defect types that occur all the time."""
        return [name for name in self.images if name not in (GOOD, self.new_type)]


@dataclass(frozen=True)
class Camera:
    """How a tool sees.

    Attributes:
        gain: Of its lamp and amplifier; 1 as calibrated.
        blur: Sigma of its defocus beyond the usual, pixels.
    """

    gain: float = 1.0
    blur: float = 0.0

    def photograph(self, image: np.ndarray, rng: np.random.Generator) -> bytes:
        """A PNG file of an image, float32 (H, W) in [0, 1]."""
        seen = image if self.blur <= 0 else ndimage.gaussian_filter(image, self.blur, mode="nearest")
        seen = seen * self.gain + rng.normal(0, _NOISE, image.shape)
        file = io.BytesIO()
        _as_picture(seen).save(file, "PNG", compress_level=1)
        return file.getvalue()


def micrographs(layout: str, size: int, normals: int = NORMALS, of_a_type: int = OF_A_TYPE) -> Library:
    """A library of synthetic micrographs.

    Args:
        layout: Of `MicrographConfig`.
        size: Side of the images, pixels.
        normals: Without a defect.
        of_a_type: Of each defect type.
    """
    config = MicrographConfig.model_validate({"layout": layout, "size": size})
    wanted = [(GOOD, i) for i in range(normals)]
    new = NOVEL_TYPES[-1]
    wanted += [
        (name, i) for name in DEFECT_TYPES if name == new or name not in NOVEL_TYPES for i in range(of_a_type)
    ]
    images: dict[str, list[np.ndarray]] = {}
    for name, index in track(wanted, "synthetic micrographs"):
        images.setdefault(name, []).append(draw_micrograph(config, _SEED, index, name).image)
    return Library(images, new, True)


def recorded(folder: Path, new_type: str | None = None) -> Library:
    """A library of images in a folder: good/, and a folder for each defect type.

    Args:
        folder: As `waferroute model gate` takes it.
        new_type: The type to keep back as new; default the last one.

    Raises:
        InputError: No good images, no second type, an image that cannot be read, or no such type.
    """
    images: dict[str, list[np.ndarray]] = {}
    for one in labelled_images(folder):
        try:
            images.setdefault(one.type, []).append(read_grey(one.path))
        except UnreadableImage as error:
            raise InputError(f"{one.path} cannot be read: {error.reason}") from error
    types = sorted(name for name in images if name != GOOD)
    if GOOD not in images or not types:
        raise InputError(f"{folder} needs a folder good/ and one for each defect type")
    new = types[-1] if new_type is None else new_type
    if new not in types:
        raise InputError(f"{folder} has no defect type {new!r}; it has {', '.join(types)}")
    return Library(images, new, False)


def frozen_set(library: Library, root: Path) -> Path:
    """The folder `root` with some images of the defect types that are known, as `waferroute model gate` takes it."""
    if root.is_dir():
        return root
    for name in (GOOD, *(library.known or [library.new_type])):
        (root / name).mkdir(parents=True)
        most = _FROZEN_NORMALS if name == GOOD else _FROZEN_OF_A_TYPE
        for index, image in enumerate(library.images[name][:most]):
            _as_picture(image).save(root / name / f"{index:03d}.png")
    return root


def _as_picture(image: np.ndarray) -> Image.Image:
    """8 bits of an image, float32 (H, W), around [0, 1]."""
    return Image.fromarray(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8))
