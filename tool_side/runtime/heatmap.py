"""Heat maps as pictures, on a fixed scale.

The colour of a map value depends on that value and the bundle's reference only, never on the other values
of the image: a picture of a normal wafer stays grey, and two pictures can be compared.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from wafer_data.files import write_bytes
from wafer_data.imaging.planes import as_picture

# In units of the reference (99.9 % quantile on normal images): nothing is shown below the first, full
# colour from the second on.
VISIBLE_FROM, FULL_AT = 0.5, 2.0
MAX_OPACITY = 0.75
# Yellow to red by way of orange; luminance falls all the way, so that it also reads in grey print.
_COLOURS = np.array([[255, 235, 60], [250, 140, 20], [200, 0, 30]], dtype=np.float32)
_STOPS = (0.0, 0.5, 1.0)


def strength(anomaly_map: np.ndarray, reference: float) -> np.ndarray:
    """Map values on the fixed scale, float32, same shape: 0 up to half the `reference`, 1 from twice it on.

    A value that is not a number shows at full strength: it is not evidence of a normal surface.
    """
    if not reference > 0:
        raise ValueError(f"reference must be positive, got {reference}")
    relative = np.asarray(anomaly_map, dtype=np.float32) / np.float32(reference)
    scaled = (relative - VISIBLE_FROM) / (FULL_AT - VISIBLE_FROM)
    return np.nan_to_num(np.clip(scaled, 0, 1), nan=1.0)


def overlay(image: np.ndarray, anomaly_map: np.ndarray, reference: float) -> np.ndarray:
    """Heat map over the image: uint8 (S, S, 3).

    Args:
        image: (S, S) in [0, 1], or colour planes (3, S, S).
        anomaly_map: (h, w), enlarged bilinearly.
        reference: The model's map_reference.
    """
    size = (image.shape[-1], image.shape[-2])
    below = image[..., np.newaxis] if image.ndim == 2 else as_picture(image)
    heat = Image.fromarray(strength(anomaly_map, reference)).resize(size, Image.Resampling.BILINEAR)
    amount = np.clip(np.asarray(heat), 0, 1)
    colour = np.stack([np.interp(amount, _STOPS, channel) for channel in _COLOURS.T], axis=-1)
    opacity = MAX_OPACITY * amount[..., np.newaxis]
    picture = (1 - opacity) * (255 * np.clip(below, 0, 1)) + opacity * colour
    return np.rint(picture).astype(np.uint8)


def write_heatmap(path: str | Path, image: np.ndarray, anomaly_map: np.ndarray, reference: float) -> None:
    """Write :func:`overlay` as PNG, whole or not at all.

    Raises:
        InputError: When that is not possible.
    """
    buffer = io.BytesIO()
    Image.fromarray(overlay(image, anomaly_map, reference)).save(buffer, format="PNG")
    write_bytes(path, buffer.getvalue())
