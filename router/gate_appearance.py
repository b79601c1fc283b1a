"""Does an image look like the recipe at all? A coarse comparison, cell by cell, with that recipe's normal images.

Another recipe, a turned or shifted wafer or an empty stage differ in most of an image; a defect, however strong,
in a part of it. So each cell's brightness and detail are compared with what normal images show there, each
counts only up to a cap, and the mean over all is judged. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from router.gate_disturbances import FOLDS, checked_array
from router.gate_figures import CELL_VALUES
from wafer_data.errors import InputError

CAP = 4.0
ALLOWANCE = 0.2
"""Room above the normal images' largest distance: what a defect adds that puts 4 of the 64 cells to the cap."""
_FLOOR = 0.02
_DIGITS = 5  # as written to the policy, so that the gate decides alike before and after


@dataclass(frozen=True, eq=False)
class Appearance:
    """Median and spread of each of the 192 cell figures on normal images, float32, and the limit on the distance."""

    location: np.ndarray
    scale: np.ndarray
    limit: float

    def distance(self, cells: np.ndarray) -> float:
        """Mean over the cell figures of their distance from a normal image's, in deviations, at most 4 each."""
        return _distance(cells, self.location, self.scale)

    def reasons(self, cells: np.ndarray) -> list[str]:
        """Why an image with these cell figures is not of this recipe; empty when it may be."""
        distance = self.distance(cells)
        if distance <= self.limit:
            return []
        return [
            "unlike every normal image of this recipe (another recipe, turned, shifted?): distance "
            f"{distance:.3g}, at most {self.limit:.3g}"
        ]

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        rounded = {
            name: [round(float(v), _DIGITS) for v in getattr(self, name)] for name in ("location", "scale")
        }
        return {**rounded, "limit": self.limit}

    @classmethod
    def from_dict(cls, data: Any) -> Appearance:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            InputError: Where it is malformed.
        """
        try:
            found = cls(
                checked_array(data["location"], (CELL_VALUES,)).astype(np.float32),
                checked_array(data["scale"], (CELL_VALUES,)).astype(np.float32),
                float(checked_array(data["limit"], ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"quality gate: its appearance is damaged ({error})") from error
        if not (found.scale > 0).all() or not found.limit > 0:
            raise InputError("quality gate: scales and limit of its appearance must be positive")
        return found


def fit_appearance(cells: np.ndarray) -> Appearance:
    """Appearance of normal images from their cell figures (n, 192).

    The limit is the largest distance of an image from the others (5 folds: no image is compared with a median that
    it moved), beyond which a fresh normal image lies with probability 1 / (n + 1) at most, plus 0.2.
    """
    folds = np.arange(len(cells)) % FOLDS
    largest = 0.0
    for fold in range(FOLDS):
        location, scale = _location_scale(cells[folds != fold])
        distances = [_distance(row, location, scale) for row in cells[folds == fold]]
        largest = max(largest, *distances)
    location, scale = (np.round(a, _DIGITS) for a in _location_scale(cells))
    return Appearance(location, scale, round(largest + ALLOWANCE, _DIGITS))


def _location_scale(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    location = np.median(cells, axis=0)
    scale = 1.4826 * np.median(np.abs(cells - location), axis=0) + np.float32(_FLOOR)
    return location.astype(np.float32), scale.astype(np.float32)


def _distance(cells: np.ndarray, location: np.ndarray, scale: np.ndarray) -> float:
    # not .mean(): its wrapper takes longer than the sum
    return float(np.add.reduce(np.minimum(np.abs(cells - location) / scale, np.float32(CAP)))) / cells.size
