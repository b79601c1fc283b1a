"""Area defects made of real texture in the wrong place: pasted, displaced and Perlin-shaped patches.

Of colour images, planes (3, H, W), the pieces keep their colours: what shifts a patch is brightness, alike in all
channels.
"""

import math

import numpy as np
from PIL import Image

from wafer_data.synthetic.blend import add
from wafer_data.synthetic.noise import smooth_noise
from wafer_data.synthetic.spots import uneven_distance

_SHIFT_SEEN = 0.5  # a shifted patch that changes the image by this many of its standard deviations is taken
_SHIFT_ATTEMPTS = 4
_SWAP_SEEN, _SWAP_STEP = 0.3, 0.08  # of a swap as a whole, and of a pixel that belongs to it; likewise
_INSIDE = 0.12  # a pixel belongs to a blended patch from this share of its opacity on


def cut_paste(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of the donor (or of the image itself) pasted elsewhere, turned and lightly recoloured.

    After Li et al., "CutPaste: Self-supervised learning for anomaly detection and localization" (CVPR 2021):
    half of the time a patch of 0.5-10 % of the area and aspect ratio 0.3-3.3, else a "scar", thin and turned.
    """
    height, width = image.shape[-2:]
    side = min(height, width)
    if rng.random() < 0.5:
        area = height * width * math.exp(rng.uniform(math.log(0.005), math.log(0.10)))
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        tall, wide = math.sqrt(area / aspect), math.sqrt(area * aspect)
        turn = rng.choice([0, 90, 180, 270])
    else:
        tall, wide = rng.uniform(0.01, 0.06) * side, rng.uniform(0.05, 0.3) * side
        turn = rng.uniform(0, 360)
    tall, wide = int(np.clip(tall, 2, height - 1)), int(np.clip(wide, 2, width - 1))
    source = image if donor is None else donor
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    patch = _turned(source[..., top : top + tall, left : left + wide], float(turn))
    shape = Image.new("L", (wide, tall), 255)
    if turn:
        shape = shape.rotate(turn, expand=True)
    values, footprint = patch[..., :height, :width], np.asarray(shape)[:height, :width] > 0
    tall, wide = footprint.shape
    top = int(rng.integers(0, height - tall + 1))
    left = int(rng.integers(0, width - wide + 1))
    before = image[..., top : top + tall, left : left + wide]
    mean = _mean(values)
    values = (values - mean) * rng.uniform(0.8, 1.2) + mean + rng.normal(0, 0.5) * image.std()
    change = (rng.uniform(0.5, 1) * (values - before)).astype(np.float32)
    return add(image, change, footprint, (top, left))


def perlin_texture(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Blobs cut out by Perlin noise, filled with the donor's texture (or the image's own, shifted, turned).

    After Zavrtanik et al., "DRAEM: A discriminatively trained reconstruction embedding for surface anomaly
    detection" (ICCV 2021), where the texture comes from a photo collection: here a recoloured image of the
    same process, so that the anomaly is not told by its foreign look alone. Blobs cover 0.5-15 % of a window
    that is itself 25-100 % of the sides; opacity 0.2-1.
    """
    shape = np.array(image.shape[-2:])
    window = np.maximum(16, shape * rng.uniform(0.25, 1, 2)).astype(int)
    top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(shape, window, strict=True))
    noise = smooth_noise(tuple(window), max(4.0, min(window) * rng.uniform(0.08, 0.35)), rng)
    share = math.exp(rng.uniform(math.log(0.005), math.log(0.15)))
    sample = noise[::3, ::3]  # enough to place the threshold
    footprint = noise > np.quantile(sample, 1 - share)
    rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
    source = image if donor is None else donor
    source = np.roll(source, tuple(rng.integers(0, shape)), axis=(-2, -1))[..., rows, columns]
    source = source[..., :: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    gain, shift = rng.uniform(0.6, 1.6), rng.normal(0, 1.0) * image.std()
    mean = _mean(source)
    values = (source - mean) * np.float32(gain) + mean + np.float32(shift)
    change = (rng.uniform(0.2, 1) * (values - image[..., rows, columns])).astype(np.float32)
    return add(image, change, footprint, (top, left))


def pattern_shift(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of the image displaced by a few pixels and blended in, as where two exposures do not meet.

    Sides 8-35 % of the shorter one, displacement 0.6-5 % of it (at least a pixel), edges 1-3 pixels soft.
    Moved along its own lines a pattern would not change: of up to four draws the first is taken whose change
    is half a standard deviation strong (root mean square), or else the strongest.
    """
    shape = image.shape[-2:]
    side, least = min(shape), _SHIFT_SEEN * float(image.std())
    best: tuple[float, np.ndarray, np.ndarray, tuple[int, int]] | None = None
    for _ in range(_SHIFT_ATTEMPTS):
        patch = np.maximum(6, side * np.exp(rng.uniform(math.log(0.08), math.log(0.35), 2))).astype(int)
        distance = max(1.0, side * math.exp(rng.uniform(math.log(0.006), math.log(0.05))))
        angle = rng.uniform(0, math.tau)
        move = np.rint(distance * np.array([math.sin(angle), math.cos(angle)])).astype(int)
        if not move.any():
            move[rng.integers(2)] = 1
        # Where the patch goes, such that both it and the place it comes from lie inside the image.
        top, left = (
            int(rng.integers(max(0, m), n - p + min(0, m) + 1))
            for m, n, p in zip(move, shape, patch, strict=True)
        )
        before = image[..., top : top + patch[0], left : left + patch[1]]
        moved = image[..., top - move[0] :, left - move[1] :][..., : patch[0], : patch[1]]
        alpha = _soft_rectangle(before.shape[-2:], rng.uniform(1, 3))
        change = (alpha * (moved - before)).astype(np.float32)
        strength = math.sqrt(float(np.mean(np.square(change))))
        if best is None or strength > best[0]:
            best = (strength, change, alpha > _INSIDE, (top, left))
        if strength >= least:
            break
    assert best is not None
    return add(image, *best[1:])


def swap(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A small piece of the image, or of the donor, where another belongs: nothing foreign, only out of place.

    An uneven ellipse within sides of 2-12 % of the shorter one, with a soft or a sharp edge. Of up to four draws the
    first is taken that changes the image by 0.3 of its standard deviations (root mean square), or else the last.
    """
    side = min(image.shape[-2:])
    shape = np.maximum(4, side * np.exp(rng.uniform(math.log(0.02), math.log(0.12), 2))).astype(int)
    source = image if donor is None or rng.random() < 0.5 else donor
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in shape)
    for _ in range(_SHIFT_ATTEMPTS):
        (top, left), (from_top, from_left) = (
            tuple(
                int(rng.integers(0, whole - part + 1))
                for whole, part in zip(image.shape[-2:], shape, strict=True)
            )
            for _ in range(2)
        )
        before = image[..., top : top + shape[0], left : left + shape[1]]
        patch = source[..., from_top : from_top + shape[0], from_left : from_left + shape[1]]
        distance = uneven_distance(x[None], y[:, None], rng)
        alpha = np.clip((1 - distance) * np.float32(rng.uniform(2, 8)), 0, 1)
        change = (alpha * (patch - before)).astype(np.float32)
        if math.sqrt(float(np.mean(np.square(change)))) > _SWAP_SEEN * float(image.std()):
            break
    strong = np.abs(change) if change.ndim == 2 else np.abs(change).max(axis=0)
    return add(image, change, (alpha > _INSIDE) & (strong > _SWAP_STEP * float(image.std())), (top, left))


def _turned(patch: np.ndarray, degrees: float) -> np.ndarray:
    """A patch (h, w) or (3, h, w), turned by an angle, float32; what comes in at its corners is black."""
    if patch.ndim == 3:
        return np.stack([_turned(plane, degrees) for plane in patch])
    picture = Image.fromarray(np.ascontiguousarray(patch, dtype=np.float32))
    return np.asarray(picture.rotate(degrees, Image.Resampling.BILINEAR, expand=True) if degrees else picture)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of a patch: a number of (h, w), one a channel, (3, 1, 1), of (3, h, w)."""
    return values.mean() if values.ndim == 2 else values.mean(axis=(1, 2), keepdims=True)


def _soft_rectangle(shape: tuple[int, ...], softness: float) -> np.ndarray:
    """1 inside, falling to 0 at the border over `softness` pixels; float32 (h, w)."""
    rows, columns = (np.minimum(np.arange(n), np.arange(n)[::-1]) + np.float32(0.5) for n in shape)
    nearest = np.minimum(rows[:, None], columns[None])
    return np.clip(nearest / np.float32(softness), 0, 1).astype(np.float32)
