"""Ground-truth masks: which pixels of a defective image belong to the defect."""

from pathlib import Path

import numpy as np
from PIL import Image

from wafer_data.imaging.read import UnreadableImage, read_grey


def read_mask(path: Path, shape: tuple[int, ...] | None, *, max_pixels: int) -> np.ndarray:
    """The mask in `path` as bool (height, width); every pixel that is not zero belongs to the defect.

    Both habits, 0/255 and 0/class number, read the same. Raises UnreadableImage if it cannot be decoded or if
    its size differs from `shape`, that of its image (None: not compared).
    """
    mask = read_grey(path, max_pixels=max_pixels, min_side=1) > 0
    if shape is not None and mask.shape != shape:
        raise UnreadableImage(
            str(path),
            f"mask of {mask.shape[1]} x {mask.shape[0]} pixels for an image of {shape[1]} x {shape[0]}",
        )
    return mask


def mask_to_square(mask: np.ndarray, size: int) -> np.ndarray:
    """Resize a bool mask to bool (size, size), over the same area as `to_square` does with its image.

    A pixel belongs to the defect when at least half of its area does. A defect so thin that this would lose
    it altogether keeps every pixel that it touches: a mask that was not empty never becomes empty.
    """
    if mask.shape == (size, size):
        return mask
    image = Image.fromarray(mask.astype(np.uint8) * 255).convert("F")
    covered = np.asarray(image.resize((size, size), Image.Resampling.BOX))
    half = covered >= 127.5
    return half if half.any() else covered > 0
