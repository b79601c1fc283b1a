"""What an inspector takes as an image - a path, the bytes of a file, an array, or an `ImageRef` to one of these."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tool_side.bundle.load import Preprocessing
from wafer_data.image_ref import ImageRef
from wafer_data.imaging.arrays import ChannelOrder, grey_from_array
from wafer_data.imaging.read import read_grey

ImageSource = str | Path | bytes | np.ndarray | ImageRef


def read_source(
    image: ImageSource,
    preprocessing: Preprocessing,
    reduce_to: int | None,
    channel_order: ChannelOrder = "rgb",
) -> np.ndarray:
    """The grey image, 2-D, of any size that `preprocessing` allows.

    Args:
        reduce_to: For `wafer_data.imaging.read.read_grey`; arrays are decoded already.
        channel_order: Of colour arrays.

    Raises:
        UnreadableImage: .
    """
    limits = {"max_pixels": preprocessing.max_pixels, "min_side": preprocessing.min_side}
    content = ImageRef.of(image).content
    if isinstance(content, np.ndarray):
        return grey_from_array(content, channel_order=channel_order, **limits)
    return read_grey(content, reduce_to=reduce_to, **limits)
