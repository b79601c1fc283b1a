"""What an inspector takes as an image - a path, the bytes of a file, an array, or an `ImageRef` to one of these."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tool_side.bundle.load import Preprocessing
from tool_side.runtime import arrays
from wafer_data.image_ref import ImageRef
from wafer_data.imaging.read import read_grey

ImageSource = str | Path | bytes | np.ndarray | ImageRef


def read_source(image: ImageSource, preprocessing: Preprocessing, reduce_to: int | None) -> np.ndarray:
    """The grey image, 2-D, of any size that `preprocessing` allows. Raises UnreadableImage.

    reduce_to: for `wafer_data.imaging.read.read_grey`; arrays are decoded already.
    """
    limits = {"max_pixels": preprocessing.max_pixels, "min_side": preprocessing.min_side}
    content = ImageRef.of(image).content
    if isinstance(content, np.ndarray):
        return arrays.grey_from_array(content, **limits)
    return read_grey(content, reduce_to=reduce_to, **limits)
