"""Images that come as numpy arrays: the same checks that a file gets, and the same grey array out."""

from __future__ import annotations

import numpy as np

from wafer_data.imaging.read import UnreadableImage

# ITU-R BT.601 luma, as Pillow applies it to colour files.
_LUMA = np.array([0.299, 0.587, 0.114])
SOURCE = "<array>"
# Rounding in the program that made the array may overshoot [0, 1] a little; float files get the same
# allowance.
FLOAT_TOLERANCE = 1e-3


def grey_from_array(array: np.ndarray, *, max_pixels: int, min_side: int) -> np.ndarray:
    """2-D uint8, uint16 or float32 image from `array`, which is not changed.

    array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) (alpha is dropped); uint8, uint16, or floating point in
    [0, 1]. Raises UnreadableImage for another shape or type, a size out of range, pixels that are not
    finite or outside [0, 1].
    """
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype.kind != "f" and array.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(SOURCE, f"pixel type {array.dtype}: use uint8, uint16 or float in [0, 1]")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise UnreadableImage(SOURCE, f"shape {array.shape}: use (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)")
    height, width = array.shape[:2]
    if height * width > max_pixels:
        raise UnreadableImage(
            SOURCE, f"too large: {width} x {height}, at most {max_pixels / 1e6:g} megapixels"
        )
    if min(height, width) < min_side:
        raise UnreadableImage(SOURCE, f"too small: {width} x {height}, at least {min_side} pixels a side")
    if array.dtype.kind == "f":
        low, high = float(array.min()), float(array.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise UnreadableImage(SOURCE, "it holds pixels that are not finite numbers")
        if low < -FLOAT_TOLERANCE or high > 1 + FLOAT_TOLERANCE:
            raise UnreadableImage(SOURCE, f"float pixels from {low:g} to {high:g}: scale them to [0, 1]")
        array = array.astype(np.float32, copy=False) if low >= 0 and high <= 1 else _clipped(array)
    if array.ndim == 3:
        array = _luma(array) if array.shape[2] > 1 else array[:, :, 0]
    return array


def _clipped(array: np.ndarray) -> np.ndarray:
    return np.clip(array, 0, 1).astype(np.float32)


def _luma(colour: np.ndarray) -> np.ndarray:
    grey = colour[:, :, :3] @ _LUMA
    return (np.rint(grey) if colour.dtype.kind == "u" else np.minimum(grey, 1)).astype(colour.dtype)
