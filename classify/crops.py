"""What a defect looks like to a backbone that sees a crop around it, and its geometry on the heat map.

numpy only: this runs on the inspection tool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from classify.features import Cells, Seen, geometry

SIDE = 96
"""Of a crop, pixels of the models' input."""
_ACROSS, _FROM_TOP, _FROM_LEFT = 4, 6, 7  # of what `geometry` gives
VIEWS = 8
"""Mirrored and turned copies of a crop: a defect keeps its type in all of them."""


Look = Callable[[np.ndarray], np.ndarray]
"""Crops float32 (n, C, SIDE, SIDE) -> what the backbone makes of them, float32 (n, f)."""


def measure_crops(seen: Seen, defects: Sequence[Cells], reference: float, look: Look) -> np.ndarray:
    """The features of the defects of an image, float32 (n, f): the backbone's look at each, and its geometry.

    Args:
        seen: The image. Its latent and cells are not used.
        defects, reference: As of `classify.features.measure`.
        look: The backbone.
    """
    crops = np.stack([_crop(seen, defect) for defect in defects])
    shapes = [geometry(seen.heat, *defect, reference) for defect in defects]
    return np.hstack([look(crops), np.stack(shapes)])


def measure_views(seen: Seen, defect: Cells, reference: float, look: Look) -> np.ndarray:
    """The same of one defect and of its turned and mirrored copies, float32 (VIEWS, f); itself first."""
    return np.hstack([look(views(_crop(seen, defect))), _turned(geometry(seen.heat, *defect, reference))])


def crop_at(image: np.ndarray, row: float, column: float) -> np.ndarray:
    """The square of `SIDE` pixels around a place, float32 (C, SIDE, SIDE); beyond the border the image is mirrored.

    Args:
        image: (S, S) of grey or (C, S, S), S > SIDE / 2.
        row, column: The place, pixels.
    """
    planes = image if image.ndim == 3 else image[None]
    rows = _mirrored(int(row) - SIDE // 2, planes.shape[1])
    columns = _mirrored(int(column) - SIDE // 2, planes.shape[2])
    found: np.ndarray = planes[:, rows[:, None], columns]
    return found


def views(crop: np.ndarray) -> np.ndarray:
    """A crop (C, s, s) turned and mirrored, (VIEWS, C, s, s); the first is the crop itself."""
    turned = [np.rot90(crop, quarter, (1, 2)) for quarter in range(4)]
    return np.stack([*turned, *(one[..., ::-1] for one in turned)])


def _crop(seen: Seen, defect: Cells) -> np.ndarray:
    """The crop around a defect's highest cell."""
    cell = seen.image.shape[-1] / seen.heat.shape[-1]
    return crop_at(seen.image, (defect[0][0] + 0.5) * cell, (defect[1][0] + 0.5) * cell)


def _turned(shape: np.ndarray) -> np.ndarray:
    """The geometry in each view: a quarter turn makes rows of columns, a mirror changes nothing of it."""
    lying = shape.copy()
    lying[_ACROSS] *= -1
    lying[[_FROM_TOP, _FROM_LEFT]] = shape[[_FROM_LEFT, _FROM_TOP]]
    return np.stack([shape, lying] * (VIEWS // 2))


def _mirrored(start: int, length: int) -> np.ndarray:
    """Indices of `SIDE` pixels from `start` on, those outside 0..length-1 mirrored at the border pixel."""
    index = np.abs(np.arange(start, start + SIDE))
    return np.minimum(index, 2 * (length - 1) - index)
