"""Area defects made of real texture in the wrong place: pasted patches and Perlin-shaped textures."""

import math

import numpy as np
from PIL import Image

from wafer_data.synthetic.blend import add
from wafer_data.synthetic.noise import smooth_noise


def cut_paste(
    image: np.ndarray, rng: np.random.Generator, donor: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A rectangle of the donor (or of the image itself) pasted elsewhere, turned and lightly recoloured.

    After Li et al., "CutPaste: Self-supervised learning for anomaly detection and localization" (CVPR 2021):
    half of the time a patch of 0.5-10 % of the area and aspect ratio 0.3-3.3, else a "scar", thin and turned.
    """
    height, width = image.shape
    side = min(image.shape)
    if rng.random() < 0.5:
        area = image.size * math.exp(rng.uniform(math.log(0.005), math.log(0.10)))
        aspect = math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        tall, wide = math.sqrt(area / aspect), math.sqrt(area * aspect)
        turn = rng.choice([0, 90, 180, 270])
    else:
        tall, wide = rng.uniform(0.01, 0.06) * side, rng.uniform(0.05, 0.3) * side
        turn = rng.uniform(0, 360)
    tall, wide = int(np.clip(tall, 2, height - 1)), int(np.clip(wide, 2, width - 1))
    source = image if donor is None else donor
    top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
    patch = Image.fromarray(
        np.ascontiguousarray(source[top : top + tall, left : left + wide], dtype=np.float32)
    )
    shape = Image.new("L", patch.size, 255)
    if turn:
        patch = patch.rotate(turn, Image.Resampling.BILINEAR, expand=True)
        shape = shape.rotate(turn, expand=True)
    values, footprint = np.asarray(patch)[:height, :width], np.asarray(shape)[:height, :width] > 0
    top = int(rng.integers(0, height - values.shape[0] + 1))
    left = int(rng.integers(0, width - values.shape[1] + 1))
    before = image[top : top + values.shape[0], left : left + values.shape[1]]
    values = (
        (values - values.mean()) * rng.uniform(0.8, 1.2) + values.mean() + rng.normal(0, 0.5) * image.std()
    )
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
    shape = np.array(image.shape)
    window = np.maximum(16, shape * rng.uniform(0.25, 1, 2)).astype(int)
    top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(shape, window, strict=True))
    noise = smooth_noise(tuple(window), max(4.0, min(window) * rng.uniform(0.08, 0.35)), rng)
    share = math.exp(rng.uniform(math.log(0.005), math.log(0.15)))
    sample = noise[::3, ::3]  # enough to place the threshold
    footprint = noise > np.quantile(sample, 1 - share)
    rows, columns = slice(top, top + window[0]), slice(left, left + window[1])
    source = image if donor is None else donor
    source = np.roll(source, tuple(rng.integers(0, shape)), axis=(0, 1))[rows, columns]
    source = source[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    gain, shift = rng.uniform(0.6, 1.6), rng.normal(0, 1.0) * image.std()
    values = (source - source.mean()) * np.float32(gain) + source.mean() + np.float32(shift)
    change = (rng.uniform(0.2, 1) * (values - image[rows, columns])).astype(np.float32)
    return add(image, change, footprint, (top, left))
