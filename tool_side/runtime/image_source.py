"""What an inspector takes as an image - a path, the bytes of a file, an array - and what it is called in a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tool_side.bundle.load import Preprocessing
from tool_side.runtime import arrays
from wafer_data.imaging.read import read_grey

ImageSource = str | Path | bytes | np.ndarray


def read_source(image: ImageSource, preprocessing: Preprocessing, reduce_to: int | None) -> np.ndarray:
    """The grey image, 2-D, of any size that `preprocessing` allows. Raises UnreadableImage.

    reduce_to: for `wafer_data.imaging.read.read_grey`; arrays are decoded already.
    """
    limits = {"max_pixels": preprocessing.max_pixels, "min_side": preprocessing.min_side}
    if isinstance(image, np.ndarray):
        return arrays.grey_from_array(image, **limits)
    return read_grey(image, reduce_to=reduce_to, **limits)


def source_name(image: Any) -> str:
    """How a result names the image. Raises TypeError for an object that is none."""
    if isinstance(image, np.ndarray):
        return arrays.SOURCE
    if isinstance(image, bytes):
        return "<bytes>"
    if isinstance(image, str | Path):
        return str(image)
    raise TypeError(f"an image is a path, bytes or a numpy array, not {type(image).__name__}")
