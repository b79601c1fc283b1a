"""Ground-truth masks: which pixels of a defective image belong to the defect."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from wafer_data.imaging.read import UnreadableImage, read_grey
from wafer_data.imaging.tiff import stored_channels
from wafer_data.imaging.tiff_structure import TIFF_SIGNATURES
from wafer_data.listing import IMAGE_SUFFIXES, is_system_file

MOST_COVERED = 0.5
"""A mask that covers more of its image than this is taken for an inverted or empty one."""


def read_mask(source: Path | bytes, shape: tuple[int, ...] | None, *, max_pixels: int) -> np.ndarray:
    """The mask in a file (or its bytes) as bool (height, width).

    Every pixel that is not zero in some channel belongs to the defect: both habits, 0/255 and 0/class number, read the
    same, and so does a class that is blue. Of a palette picture the index counts, whatever colour the drawing program
    gave to 0; where all pixels have one colour, the alpha channel; of a JPEG, whose zeros are not quite zero, the
    brighter half. A folder holds a mask for each of several defects (MVTec LOCO); together they are the mask.

    Raises:
        UnreadableImage: it cannot be decoded, or its size differs from `shape`, that of its image (None: not compared).
    """
    name = str(source) if isinstance(source, Path) else "mask"
    if isinstance(source, Path) and source.is_dir():
        parts = [
            part
            for part in sorted(source.iterdir())
            if part.suffix.lower() in IMAGE_SUFFIXES and not is_system_file(part.name)
        ]
        masks = [read_mask(part, shape, max_pixels=max_pixels) for part in parts]
        if not masks or len({mask.shape for mask in masks}) > 1:
            raise UnreadableImage(name, "masks of different sizes in one folder")
        together: np.ndarray = np.logical_or.reduce(masks)
        return together
    mask = _marked(source, name, max_pixels)
    if shape is not None and mask.shape != shape:
        raise UnreadableImage(
            name,
            f"mask of {mask.shape[1]} x {mask.shape[0]} pixels for an image of {shape[1]} x {shape[0]}",
        )
    return mask


def _marked(source: Path | bytes, name: str, max_pixels: int) -> np.ndarray:
    grey = read_grey(source, max_pixels=max_pixels, min_side=1)  # also: is it whole, and of an allowed size?
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise UnreadableImage(name, f"cannot be read ({error.strerror})") from error
    if data.startswith(b"\xff\xd8"):
        half = grey.max() / 2
        return grey > half if half else grey > 0
    if data.startswith(TIFF_SIGNATURES):  # of which Pillow may read another picture than read_grey
        stored = stored_channels(data)
        return grey > 0 if stored is None else _shown(*stored)
    with Image.open(io.BytesIO(data), formats=("PNG", "BMP")) as image:
        if image.mode not in ("P", "RGB", "RGBA", "LA"):
            return grey > 0
        planes = np.asarray(image).reshape(image.height, image.width, -1)
        has_alpha = image.mode in ("RGBA", "LA")
        return _shown(planes[:, :, :-1], planes[:, :, -1]) if has_alpha else _shown(planes, None)


def _shown(colour: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """What is not zero in some channel; where all has one colour, what is not transparent."""
    if alpha is not None and (colour == colour[0, 0]).all():
        return np.asarray(alpha > 0)
    return np.asarray((colour > 0).any(axis=2))


def mask_to_square(mask: np.ndarray, size: int) -> np.ndarray:
    """`mask_to_size` for the square that an image becomes in `to_square`."""
    return mask_to_size(mask, size, size)


def mask_to_size(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a bool mask to bool (height, width), over the same area as its image.

    A pixel belongs to the defect when at least half of its area does. A defect so thin that this would lose
    it altogether keeps every pixel that it touches: a mask that was not empty never becomes empty.
    """
    if mask.shape == (height, width):
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255).convert("F")
    covered = np.asarray(image.resize((width, height), Image.Resampling.BOX))
    half = covered >= 127.5
    return half if half.any() else covered > 0
