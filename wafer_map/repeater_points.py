"""The defects of several KLARF files as points to find repeaters among."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from wafer_data.errors import DataError
from wafer_map.klarf import read_klarf
from wafer_map.repeaters import Point

_PITCH_TOLERANCE = 1e-5  # tools write lengths with six digits or more


class NamedDefect(NamedTuple):
    """Which defect a point is: the name of its wafer (lot/wafer), and its DEFECTID."""

    wafer: str
    defect: int


def read_points(paths: Sequence[Path]) -> tuple[dict[Point, NamedDefect], tuple[float, float]]:
    """The defects of files of one product, and its die pitch in micrometres.

    Returns:
        The points in the files' order, each once: a file that is given twice shows no place twice.

    Raises:
        InputError: a file cannot be read. DataError: pitches are unknown or differ, or there is no wafer.
    """
    points: dict[Point, NamedDefect] = {}
    pitch: tuple[float, float] | None = None
    for path in paths:
        for wafer in read_klarf(path).wafers:
            pitch = pitch or wafer.die_pitch
            if pitch is None or wafer.die_pitch is None or not _same(wafer.die_pitch, pitch):
                raise DataError(
                    f"{path}, wafer {wafer.wafer}: die pitch {wafer.die_pitch}, of the others {pitch}"
                )
            name = f"{wafer.lot}/{wafer.wafer}"
            for defect in wafer.defects:
                column, row, x, y = defect.x_index, defect.y_index, defect.x_rel, defect.y_rel
                if column is not None and row is not None and x is not None and y is not None:
                    points[Point(name, (column, row), (x, y))] = NamedDefect(name, defect.id)
    if pitch is None:
        raise DataError("the files hold no wafer")
    return points, pitch


def _same(one: tuple[float, float], two: tuple[float, float]) -> bool:
    return all(math.isclose(a, b, rel_tol=_PITCH_TOLERANCE) for a, b in zip(one, two, strict=True))
