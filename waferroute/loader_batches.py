"""What a loader's batch holds: images and labels, checked, in whatever form torch or numpy have them."""

import math
import numbers
import sys
from typing import Any

import numpy as np

from wafer_data.errors import InputError

_FORMS = "a batch is images, (images, labels), or a dictionary with `image` and `label`"


def read_batch(batch: Any) -> tuple[list[np.ndarray], list[bool]]:
    """The images of a batch and which of them are defective.

    Args:
        batch: Images (B, C, H, W) or (B, H, W) alone, as `(images, labels)`, or as a dictionary with `image` and
            `label`; in the last two forms also a list of images (C, H, W) or (H, W) of different sizes. C is 1, or 3
            for red, green, blue. Tensors may lie on a GPU or need a gradient.

    Returns:
        Each image, (H, W) or (C, H, W) in the byte order of this computer, and whether its label is another than 0;
        without labels none is.

    Raises:
        InputError: Shapes that are no images, labels that are no whole numbers, or not one for each image.
    """
    if isinstance(batch, dict):
        if "image" not in batch:
            raise InputError(f"a batch has no `image`, only {', '.join(map(str, batch))}")
        images, labels = batch["image"], batch.get("label")
    elif isinstance(batch, list | tuple) and len(batch) in (1, 2):
        images, labels = (*batch, None)[:2]
    else:
        images, labels = batch, None
    found = _images(images)
    if images is batch and len({image.shape for image in found}) > 1:
        # such a list of one or two would be read as a whole batch, or as images and labels
        raise InputError(
            "a batch is a list of images of different sizes: give it as ([image, ...], labels) or as a dictionary "
            "with `image`"
        )
    if labels is None:
        return found, [False] * len(found)
    given = _values(labels)
    if len(given) != len(found):
        raise InputError(f"a batch of {len(found)} images has {len(given)} labels")
    return found, [_defective(label, place) for place, label in enumerate(given)]


def _images(images: Any) -> list[np.ndarray]:
    if isinstance(images, list | tuple):
        found = [_array(image) for image in images]
        for place, image in enumerate(found):
            if not _is_image(image.shape):
                raise InputError(
                    f"image {place} of a batch has shape {image.shape}; expected (H, W), (1, H, W) or (3, H, W): "
                    f"{_FORMS}"
                )
        return found
    array = _array(images)
    if array.ndim not in (3, 4) or not _is_image(array.shape[1:]):
        raise InputError(
            f"a batch has shape {array.shape}; expected (B, H, W), (B, 1, H, W) or (B, 3, H, W): {_FORMS}"
        )
    return list(array)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) in (2, 3) and (len(shape) == 2 or shape[0] in (1, 3)) and 0 not in shape


def _values(labels: Any) -> list[Any]:
    """Every label as Python has it."""
    parts = labels if isinstance(labels, list | tuple) else [labels]
    return [one for part in parts for one in _array(part).reshape(-1).tolist()]


def _defective(label: Any, place: int) -> bool:
    # NaN, None and text are no 0 either, and a defective image too many in the set is noticed late if ever
    if not isinstance(label, numbers.Real) or not math.isfinite(label) or label % 1:
        raise InputError(
            f"label {place} of a batch is {label!r}; allowed are whole numbers and bools: 0 or False is normal, any "
            "other a type of defect"
        )
    return label != 0


def _array(given: Any) -> np.ndarray:
    """As numpy has it, in the byte order of this computer."""
    torch = sys.modules.get("torch")  # who gives tensors has imported it
    try:
        if torch is not None and isinstance(given, torch.Tensor):
            given = given.detach().cpu()
            if given.dtype == torch.bfloat16:  # numpy has no such type; every value of it is one of float32
                given = given.float()
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"a batch holds a {type(given).__name__} that is no array ({error}): {_FORMS}"
        ) from error
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
