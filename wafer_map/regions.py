"""Connected regions of a grid, and their shapes. numpy only: scipy is not on the tool."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


def label_regions(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Label the 8-connected regions of a boolean grid.

    Args:
        mask: bool (h, w).

    Returns:
        int32 (h, w), 0 outside, regions 1 ... n in reading order of their first cell; and n.

    Runs of each row are joined to touching runs of the row above with a union-find over runs (two-pass labelling,
    Rosenfeld and Pfaltz 1966), so the time goes with the number of runs.
    """
    mask = np.asarray(mask, dtype=bool)
    labels = np.zeros(mask.shape, dtype=np.int32)
    if not mask.any():
        return labels, 0
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    steps = np.diff(padded, axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first_of = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for row in range(1, mask.shape[0]):
        above, run = int(first_of[row - 1]), int(first_of[row])
        while above < first_of[row] and run < first_of[row + 1]:
            if starts[above] <= ends[run] and starts[run] <= ends[above]:  # 8-connected: corners touch
                one, two = sorted((root(above), root(run)))
                parent[two] = one
            if ends[above] < ends[run]:
                above += 1
            else:
                run += 1
    number: dict[int, int] = {}
    for run, (row, start, end) in enumerate(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True)):
        labels[row, start:end] = number.setdefault(root(run), len(number) + 1)
    return labels, len(number)


class Shape(NamedTuple):
    """The shape of a region.

    Attributes:
        area: cells. row, column: centroid, in cells. box: (first row, first column, last row + 1, last column + 1).
        length, width: axes of the ellipse with the region's second moments, in the unit of the cells' sides.
        angle: of the long axis, radians from the column axis towards higher rows, in (-pi/2, pi/2].
    """

    area: int
    row: float
    column: float
    box: tuple[int, int, int, int]
    length: float
    width: float
    angle: float


def shape_of(rows: np.ndarray, columns: np.ndarray, height: float = 1.0, width: float = 1.0) -> Shape:
    """The shape of the region of these cells, int (n,) each, n >= 1. height, width: sides of a cell."""
    row, column = float(rows.mean()), float(columns.mean())
    # A rectangle has the variance side^2 / 12 along each axis.
    rr = (float(((rows - row) ** 2).mean()) + 1 / 12) * height**2
    cc = (float(((columns - column) ** 2).mean()) + 1 / 12) * width**2
    rc = float(((rows - row) * (columns - column)).mean()) * height * width
    middle, spread = (rr + cc) / 2, math.hypot((cc - rr) / 2, rc)
    box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    return Shape(
        len(rows), row, column, box, 4 * math.sqrt(middle + spread), 4 * math.sqrt(max(middle - spread, 0.0)),
        0.5 * math.atan2(2 * rc, cc - rr),
    )  # fmt: skip
