"""Pictures of single wafers: the image, and the image under its heat map, coloured as on the tool.

One scale serves the whole report, fixed by the calibration normals (`tool_side.runtime.heatmap`).
"""

import base64
import io

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from eval.results import Example
from tool_side.runtime.heatmap import FULL_AT, VISIBLE_FROM, overlay

HEAT_FROM, HEAT_TO = VISIBLE_FROM, FULL_AT
_OUTLINE = (64, 216, 242)


def grey_picture(example: Example) -> str:
    """The image itself as a data address, with the true defect outlined if a mask is known."""
    grey = np.rint(255 * np.clip(example.grey, 0, 1)).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    if example.mask is not None:
        rgb[example.mask & ~binary_erosion(example.mask, iterations=2)] = _OUTLINE
    return _data_address(rgb)


def heat_picture(example: Example) -> str | None:
    """The image under its heat map as a data address; None for an image that no model judged."""
    return None if example.heat is None else _data_address(overlay(example.grey, example.heat, 1.0))


def scale_stops() -> list[str]:
    """CSS colours along the heat scale over mid-grey, from where it starts to show to where it saturates."""
    ramp = np.tile(np.linspace(HEAT_FROM, HEAT_TO, 9, dtype=np.float32), (2, 1))
    return [f"rgb({r} {g} {b})" for r, g, b in overlay(np.full(ramp.shape, 0.55), ramp, 1.0)[0]]


def _data_address(rgb: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
