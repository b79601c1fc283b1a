"""A labelled defect on another surface: its masked region put into a normal image."""

import numpy as np
from scipy import ndimage

from wafer_data.augment import AugmentConfig, mirror_and_turn

_JITTER = 0.03  # of the shorter side: how far a defect is moved, up, down, left or right
_FEATHER = 0.012  # of the shorter side: how wide the border is over which it fades into its new surroundings
_AS_IT_IS = AugmentConfig()


def transplant(
    normal: np.ndarray,
    defect: np.ndarray,
    mask: np.ndarray,
    rng: np.random.Generator,
    symmetries: AugmentConfig = _AS_IT_IS,
) -> tuple[np.ndarray, np.ndarray]:
    """`normal` with the defect of `defect`, and where that now is: float32 (H, W) in [0, 1] and bool (H, W).

    The masked pixels are mirrored and turned as `symmetries` allows and moved by at most 3 % of the shorter side,
    because many defects belong to a place in the pattern; the whole mask stays inside the image. Each connected part
    is shifted by one grey value (of colour one a channel), so that what surrounds it has the mean of what it comes to
    lie on, and over a narrow border outside the mask (1.2 % of the shorter side) the old surroundings fade into the new
    ones: otherwise the patch's outline would be the most anomalous thing in the image. Pixels beyond that border are
    those of `normal` to the bit. The same state of `rng` gives the same result.

    Args:
        normal, defect: float32 (H, W) or (3, H, W) in [0, 1], of one shape; neither is changed.
        mask: bool (H, W), the pixels of `defect` that are defective, at least one.
        rng: draws symmetry and displacement.
        symmetries: its brightness, contrast and noise are not used.

    Raises:
        ValueError: shapes that differ, an empty mask, or `rotate90` for images that are not square.
    """
    if not (normal.shape == defect.shape and mask.shape == normal.shape[-2:]):
        raise ValueError(f"shapes differ: normal {normal.shape}, defect {defect.shape}, mask {mask.shape}")
    if not mask.any():
        raise ValueError("an empty mask marks no defect to transplant")
    *planes, region = mirror_and_turn(np.stack([*defect.reshape(-1, *mask.shape), mask]), rng, symmetries)
    placed, mask = _displaced(np.stack(planes).reshape(normal.shape), region > 0.5, rng)
    border = max(1.0, _FEATHER * min(mask.shape))
    distance, nearest = ndimage.distance_transform_edt(~mask, return_indices=True)
    alpha = np.clip(1 - distance / (border + 1), 0, 1).astype(np.float32)
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    part = parts[nearest[0], nearest[1]]  # of each pixel the nearest one
    around = (distance > 0) & (distance <= 2 * border)
    if around.any():  # there is none when the mask covers everything
        difference = (normal - placed)[..., around].reshape(-1, np.count_nonzero(around))
        steps = np.stack([_steps(channel, part[around], count)[part] for channel in difference])
        placed = placed + steps.reshape(normal.shape)
    result = (1 - alpha) * normal + alpha * np.clip(placed, 0, 1)
    return result.astype(np.float32), mask


def _steps(differences: np.ndarray, part: np.ndarray, count: int) -> np.ndarray:
    """Mean difference around each part, float32 (count + 1,); a part without surroundings gets that of all."""
    pixels = np.bincount(part, minlength=count + 1)
    sums = np.bincount(part, weights=differences, minlength=count + 1)
    means = np.where(pixels > 0, sums / np.maximum(pixels, 1), differences.mean(dtype=np.float64))
    return means.astype(np.float32)


def _displaced(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Both moved alike by a few pixels; what comes in at an edge repeats it in the image and is 0 in the mask."""
    most = round(_JITTER * min(mask.shape))
    window = []
    for axis, side in enumerate(mask.shape):
        inside = np.flatnonzero(mask.any(axis=1 - axis))
        least = max(-most, -int(inside[0]))  # the mask is not pushed out of the image
        largest = min(most, side - 1 - int(inside[-1]))
        start = most - int(rng.integers(least, largest + 1))
        window.append(slice(start, start + side))
    place = (window[0], window[1])
    planes = [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, [*planes, (most, most), (most, most)], mode="edge")
    return padded[(..., *place)], np.pad(mask, most)[place]
