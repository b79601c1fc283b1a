"""How large defects are, and in how many pieces, by their masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import label as connected_components

from eval.explore.survey import count_levels

LOCAL, GLOBAL = 0.05, 0.25
"""Median share of the image up to which defects are called local, and from which on global."""

_EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True)
class TypeExtent:
    """Defects of one type.

    Areas are shares of the image; side_px: of a square of the median area, in pixels of the stored images.
    Quartiles are those of the defects with a mask; None if there is none.
    """

    defects: int
    masks: int
    area_quartiles: tuple[float, float, float] | None
    component_quartiles: tuple[float, float, float] | None
    side_px: float | None


@dataclass(frozen=True)
class Extent:
    """Defects of all types together, and by type in alphabetical order."""

    together: TypeExtent
    types: dict[str, TypeExtent]

    @property
    def reach(self) -> str | None:
        """Whether defects are "local", "mixed" or "global" by the median area; None without masks."""
        if self.together.area_quartiles is None:
            return None
        median = self.together.area_quartiles[1]
        return "local" if median <= LOCAL else "global" if median >= GLOBAL else "mixed"


class MaskSums:
    """Collects the masks of defects one by one."""

    def __init__(self, levels: int) -> None:
        self.inside = np.zeros(levels, np.int64)
        """Number of pixels at each grey level inside the masks."""
        self._areas: list[float] = []
        self._components: list[int] = []

    def add(self, grey: np.ndarray, mask: np.ndarray | None) -> None:
        """Count one defect: image (S, S) in [0, 1], mask bool (S, S) or None. Pieces touch at 8 neighbours."""
        if mask is None:
            self._areas.append(np.nan)
            self._components.append(0)
            return
        self.inside += count_levels(grey[mask], len(self.inside))
        self._areas.append(float(mask.mean()))
        self._components.append(int(connected_components(mask, structure=_EIGHT_NEIGHBOURS)[1]))

    def measure(self, types: Sequence[str], size: int) -> Extent:
        """`types`: of the defects in the order added, at least one.

        Args:
            size: Side S of the stored images.
        """
        names, areas, pieces = np.array(types), np.array(self._areas), np.array(self._components)
        return Extent(
            _extent(areas, pieces, size),
            {name: _extent(areas[names == name], pieces[names == name], size) for name in sorted(set(types))},
        )


def _extent(areas: np.ndarray, pieces: np.ndarray, size: int) -> TypeExtent:
    known = np.isfinite(areas)
    if not known.any():
        return TypeExtent(len(areas), 0, None, None, None)
    area, piece = _quartiles(areas[known]), _quartiles(pieces[known])
    return TypeExtent(len(areas), int(known.sum()), area, piece, size * area[1] ** 0.5)


def _quartiles(values: np.ndarray) -> tuple[float, float, float]:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(middle), float(high)
