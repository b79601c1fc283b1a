"""Pictures of images and maps: the same pixels as PNG files and inside a page.

One heat scale serves every page, fixed by the calibration normals (`tool_side.runtime.heatmap`).
"""

import base64
import io

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation

from tool_side.runtime.heatmap import FULL_AT, VISIBLE_FROM, overlay
from wafer_data.imaging.depth import three_equal
from wafer_data.imaging.planes import as_picture

HEAT_FROM, HEAT_TO = VISIBLE_FROM, FULL_AT
OUTLINE = (64, 216, 242)
_GAP = 6  # pixels between the pictures of a sheet


def to_picture(image: np.ndarray, window: tuple[float, float], mask: np.ndarray | None = None) -> np.ndarray:
    """uint8 (S, S, 3) of an image (S, S) or (3, S, S); `window` are the values shown as black and white.

    With a mask, bool (S, S), a line runs round the defect, outside it, so that thin defects stay visible.
    """
    low, high = window
    scaled = np.clip((as_picture(image) - low) / max(high - low, 1e-12), 0, 1)
    picture = three_equal(np.rint(255 * scaled).astype(np.uint8))
    if mask is not None:
        width = max(1, round(len(picture) / 128))
        near = binary_dilation(mask, iterations=width)
        picture[binary_dilation(near, iterations=width) & ~near] = OUTLINE
    return picture


def grey_address(image: np.ndarray, mask: np.ndarray | None = None, longest: int = 512) -> str:
    """An image (S, S) or (3, S, S) in [0, 1] for use inside a page, the true defect outlined if a mask is known."""
    return data_address(to_picture(image, (0.0, 1.0), mask), longest)


def heat_address(image: np.ndarray, heat: np.ndarray | None, longest: int = 512) -> str | None:
    """The image under its heat map, in units of the model's reference; None for an image that no model judged."""
    return None if heat is None else data_address(overlay(image, heat, 1.0), longest)


def scale_stops() -> list[str]:
    """CSS colours along the heat scale over mid-grey, from where it starts to show to where it saturates."""
    ramp = np.tile(np.linspace(HEAT_FROM, HEAT_TO, 9, dtype=np.float32), (2, 1))
    return [f"rgb({r} {g} {b})" for r, g, b in overlay(np.full(ramp.shape, 0.55), ramp, 1.0)[0]]


def sheet(pictures: list[np.ndarray], columns: int = 4) -> np.ndarray:
    """Pictures of one size side by side on white, row by row."""
    side = len(pictures[0])
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step = side + _GAP
    whole = np.full((rows * step - _GAP, columns * step - _GAP, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        whole[row * step : row * step + side, column * step : column * step + side] = picture
    return whole


def spectrum_picture(spectrum: np.ndarray) -> np.ndarray:
    """A centred power spectrum on a logarithmic scale, its own 1st to 99.9th percentile from black to white."""
    power = np.log10(np.maximum(spectrum, 1e-12))
    low, high = np.percentile(power, [1, 99.9])
    return to_picture(power, (float(low), float(high)))


def to_png(picture: np.ndarray) -> bytes:
    """The picture as a PNG file's content."""
    return _encode(picture, "PNG")


def data_address(picture: np.ndarray, longest: int = 512) -> str:
    """The picture for use inside a page, no side longer than `longest` pixels."""
    image = Image.fromarray(picture)
    if max(image.size) > longest:
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    content = _encode(np.asarray(image), "WEBP", quality=82, method=4)
    return "data:image/webp;base64," + base64.b64encode(content).decode("ascii")


def _encode(picture: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()
