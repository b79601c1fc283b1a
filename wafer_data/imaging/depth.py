"""One picture, one array: the pixel type that a picture needs, whatever held it; and colour to grey.

A picture of 256 grey levels may come as an 8-bit file, as a 16-bit one (a * 257), as floats (a / 255) or as an array
of any of these. Each is brought to the smallest of three types that holds it without loss: uint8, uint16, float32. So
all that follows - luma, the resize and its rounding, the digest that finds copies - is the same for all of them.
"""

import numpy as np
from PIL import Image

# ITU-R BT.601 luma in 16-bit fixed point, as Pillow applies it to 8-bit colour (Convert.c, L24).
_LUMA = (19595, 38470, 7471)
_HALF = 0x8000
# Multiples of 1/65535 in single precision, also when computed in two steps, lie within this of whole counts.
_COUNT_TOLERANCE = 0.02
# Half precision resolves 1/2048 between 1/2 and 1: no picture of 16 bits, but every one of 8.
_HALF_TOLERANCE = 0.1
FLOAT_TOLERANCE = 1e-3
"""Rounding in the program that made a float image may overshoot [0, 1] a little."""


def smallest_type(values: np.ndarray) -> np.ndarray:
    """The same picture as uint8, uint16 or float32, whichever is the smallest that holds it.

    Args:
        values: any shape; uint8, uint16, or floating point in [0, 1].

    Returns:
        uint8 where every value is a multiple of 1/255 of white, else uint16 where it is one of 1/65535, else float32.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.float16:
        levels = _whole(values.astype(np.float32), 255, _HALF_TOLERANCE)
        return values.astype(np.float32) if levels is None else levels.astype(np.uint8)
    if values.dtype.kind == "f":
        levels = _whole(values, 255, _COUNT_TOLERANCE / 257)  # the frequent case, in one pass
        if levels is not None:
            return levels.astype(np.uint8)
        counts = _whole(values, 65535, _COUNT_TOLERANCE)
        if counts is None:
            return values.astype(np.float32, copy=False)
        values = counts.astype(np.uint16)
    # Most 16-bit pictures are told from a few pixels.
    if (_sample(values) % 257).any() or (values % np.uint16(257)).any():
        return values
    return (values // np.uint16(257)).astype(np.uint8)


def grey_of(colour: np.ndarray) -> np.ndarray:
    """Luma (ITU-R BT.601) of red, green and blue.

    Args:
        colour: (height, width, 3); uint8, uint16, or floating point in [0, 1].

    Returns:
        (height, width) in the smallest of uint8, uint16 and float32 that holds the colour picture.
    """
    colour = smallest_type(colour)
    if colour.dtype == np.uint8:
        return np.asarray(Image.fromarray(np.ascontiguousarray(colour)).convert("L"))
    if colour.dtype == np.uint16:
        counts = _weighted(colour.astype(np.uint32))
        return ((counts + np.uint32(_HALF)) >> np.uint32(16)).astype(np.uint16)
    return (_weighted(colour.astype(np.float64)) / 65536).astype(np.float32)


def in_colour(colour: np.ndarray) -> np.ndarray:
    """Red, green and blue as they are: `colour`, as `grey_of` takes it, in the smallest type that holds it."""
    return smallest_type(colour)


def three_equal(image: np.ndarray) -> np.ndarray:
    """A grey image (H, W) as colour (H, W, 3) of three equal channels; colour as it is."""
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)


def checked_floats(values: np.ndarray) -> str | None:
    """Why floating-point pixels are no picture in [0, 1]; None if they are one (within `FLOAT_TOLERANCE`)."""
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        return "non-finite values (NaN or infinity): pixels that are not finite numbers"
    if low < -FLOAT_TOLERANCE or high > 1 + FLOAT_TOLERANCE:
        return f"float values {low:g}..{high:g}: scale them to [0, 1]"
    return None


def _weighted(colour: np.ndarray) -> np.ndarray:
    weighted: np.ndarray = colour[:, :, 0] * _LUMA[0]
    for i in (1, 2):
        weighted = weighted + colour[:, :, i] * _LUMA[i]
    return weighted


def _sample(values: np.ndarray) -> np.ndarray:
    return values[len(values) // 2].ravel()[:64] if values.ndim else values


def _whole(values: np.ndarray, steps: int, tolerance: float) -> np.ndarray | None:
    """`values` times `steps` where all of that are whole numbers, else None."""
    for part in (_sample(values), values):
        scaled = part * np.float32(steps) if part.dtype != np.float64 else part * steps
        counts = np.rint(scaled)
        if (np.abs(scaled - counts) > tolerance).any():
            return None
    return counts
