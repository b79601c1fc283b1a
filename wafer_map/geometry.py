"""Defects in a heat map: several in one image, each with its position, box, area and length."""

from __future__ import annotations

import math

import numpy as np

from wafer_data.defect import DefectFinding
from wafer_data.errors import DataError
from wafer_map.regions import label_regions, shape_of

SEED_AT, GROW_TO = 1.0, 0.5
"""A defect has a cell of at least the first, and reaches as far as the second, in units of the map's reference."""
MOST = 100
Region = tuple[DefectFinding, np.ndarray, np.ndarray]
"""A defect, and row and column of each of its cells on the heat map, the highest first."""


def find_regions(
    anomaly_map: np.ndarray,
    reference: float,
    image_size: tuple[int, int],
    *,
    pixel_um: tuple[float, float] | None = None,
    seed_at: float = SEED_AT,
    grow_to: float = GROW_TO,
    most: int = MOST,
    at_least_one: bool = False,
) -> list[Region]:
    """The defects that a heat map shows, each with its cells on the map.

    Connected regions (8 neighbours) of cells above `grow_to` that hold one of `seed_at` (hysteresis thresholding, Canny
    1986). Areas and lengths are multiples of the map's cells: a defect smaller than a cell has the size of one.

    Args:
        anomaly_map: (h, w), >= 0, of `Inspection.map`. A value that is not a number counts as very high.
        reference: the model's `map_reference`, > 0.
        image_size: (width, height) of the image in pixels; the map covers all of it.
        pixel_um: width and height of a pixel in micrometres, where known.
        seed_at, grow_to: in units of `reference`, 0 < grow_to <= seed_at.
        most: keep this many, those with the highest peaks.
        at_least_one: for an image that was flagged: where no cell reaches `seed_at`, the highest one alone, `faint`.

    Returns:
        The defects, the highest peak first.

    Raises:
        DataError: a map of another shape, or impossible numbers.
    """
    values = np.asarray(anomaly_map, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise DataError(f"a heat map has two dimensions, got the shape {values.shape}")
    if not reference > 0 or not 0 < grow_to <= seed_at:
        raise DataError(
            f"reference {reference}, seed_at {seed_at} and grow_to {grow_to} must be above 0 and in order"
        )
    if min(image_size) < 1 or (pixel_um is not None and not all(0 < side < math.inf for side in pixel_um)):
        raise DataError(f"image size {image_size} and pixel size {pixel_um} must be positive")
    relative = np.nan_to_num(values / reference, nan=1e6, posinf=1e6)
    labels, count = label_regions(relative >= grow_to)
    peaks = np.zeros(count + 1)
    np.maximum.at(peaks, labels, relative)
    strong = [label for label in np.argsort(-peaks[1:], kind="stable") + 1 if peaks[label] >= seed_at][:most]
    cells = (np.nonzero(labels == label) for label in strong)
    found = [_region(rows, columns, relative, image_size, pixel_um) for rows, columns in cells]
    if not found and at_least_one:
        row, column = np.unravel_index(np.argmax(relative), values.shape)
        found = [_one_cell(int(row), int(column), relative, image_size, pixel_um)]
    return found


def faint_region(
    anomaly_map: np.ndarray,
    reference: float,
    image_size: tuple[int, int],
    place: tuple[int, int],
    *,
    pixel_um: tuple[float, float] | None = None,
) -> Region:
    """The defect that one cell (row, column) of a heat map is taken for by something else than its height, `faint`."""
    relative = np.nan_to_num(np.asarray(anomaly_map, dtype=np.float64) / reference, nan=1e6, posinf=1e6)
    return _one_cell(*place, relative, image_size, pixel_um)


def _one_cell(
    row: int,
    column: int,
    relative: np.ndarray,
    image_size: tuple[int, int],
    pixel_um: tuple[float, float] | None,
) -> Region:
    finding, rows, columns = _region(np.array([row]), np.array([column]), relative, image_size, pixel_um)
    return finding.with_(faint=True), rows, columns


def _region(
    rows: np.ndarray,
    columns: np.ndarray,
    relative: np.ndarray,
    image_size: tuple[int, int],
    pixel_um: tuple[float, float] | None,
) -> Region:
    heights = relative[rows, columns]
    order = np.argsort(-heights, kind="stable")
    rows, columns = rows[order], columns[order]
    finding = _finding(rows, columns, float(heights[order[0]]), relative.shape, image_size, pixel_um)
    return finding, rows, columns


def _finding(
    rows: np.ndarray,
    columns: np.ndarray,
    peak: float,
    cells: tuple[int, ...],
    image_size: tuple[int, int],
    pixel_um: tuple[float, float] | None,
) -> DefectFinding:
    dx, dy = image_size[0] / cells[1], image_size[1] / cells[0]
    shape = shape_of(rows, columns, dy, dx)
    top, left, bottom, right = shape.box
    finding = DefectFinding(
        box=(left * dx, top * dy, right * dx, bottom * dy),
        center=((shape.column + 0.5) * dx, (shape.row + 0.5) * dy),
        area=shape.area * dx * dy,
        length=shape.length,
        width=shape.width,
        angle=-math.degrees(shape.angle) if shape.angle != math.pi / 2 else 90.0,
        peak=peak,
    )
    if pixel_um is None:
        return finding
    real = shape_of(rows, columns, dy * pixel_um[1], dx * pixel_um[0])
    return finding.with_(
        area_um2=finding.area * pixel_um[0] * pixel_um[1], length_um=real.length, width_um=real.width
    )
