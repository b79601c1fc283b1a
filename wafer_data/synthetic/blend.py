"""Put a change into an image so that mask and image agree exactly, whatever the image's intensities."""

import math

import numpy as np

SUBTLE, STRONG = 0.6, 4.0  # contrast of an anomaly, in standard deviations of its image
_LEAST_STD = 0.02  # a nearly uniform image still gets visible anomalies
VISIBLE = 1.5 / 255  # a change that 8 bits show


def contrast(
    image: np.ndarray, rng: np.random.Generator, subtle: float = SUBTLE, strong: float = STRONG
) -> float:
    """A contrast in units of grey (white is 1): log-uniform, `subtle` to `strong` standard deviations."""
    std = max(float(image.std()), _LEAST_STD)
    return std * math.exp(rng.uniform(math.log(subtle), math.log(strong)))


def add(
    image: np.ndarray, change: np.ndarray, footprint: np.ndarray, corner: tuple[int, int] = (0, 0)
) -> tuple[np.ndarray, np.ndarray]:
    """Add `change` where `footprint` is true: (new image, mask of exactly the pixels that changed).

    change (float32) and footprint (bool) cover a window of the image whose upper left pixel is `corner`. Of a colour
    image, planes (3, H, W), the change has three planes, too; footprint and mask have none.
    Where white or black swallow the change, its sign is turned; if even that leaves nothing to see (a pasted
    patch that equals what it covers), the footprint is shifted by a visible grey step instead.
    """
    height, width = footprint.shape
    place = (slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width))
    window = (..., *place)
    before = image[window]
    if not footprint.any():  # a shape thinner than the pixel grid
        footprint = np.zeros_like(footprint)
        footprint[np.unravel_index(_strongest(change).argmax(), footprint.shape)] = True
    step = np.float32(4 * VISIBLE)
    toward_middle = np.where(before < 0.5, step, -step)
    for attempt in (change, -change, toward_middle):
        after = np.clip(before + attempt, 0, 1)
        if _strongest(after - before)[footprint].max() >= VISIBLE:
            break
    result = image.astype(np.float32)  # a copy, also when it is float32 already
    result[window] = np.where(footprint, after, before)
    mask = np.zeros(image.shape[-2:], dtype=bool)
    mask[place] = footprint & (
        _strongest(after - before) != 0
    )  # black stays black where the change is darker
    return result, mask


def _strongest(change: np.ndarray) -> np.ndarray:
    """Size of a change at each pixel, (H, W): of colour that of the channel that changes most."""
    return np.abs(change) if change.ndim == 2 else np.abs(change).max(axis=0)
