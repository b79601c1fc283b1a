"""What can be measured on one defect, with its mask, or on one heat map, without."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation

GAP, RING = 3, 12
"""The surround of a defect starts this many pixels outside its mask (masks are drawn generously or late) and is this
wide."""

EDGE = 1 / 16
"""An image's edge: what lies within this share of its side."""


@dataclass(frozen=True)
class DefectFigures:
    """One masked defect.

    Attributes:
        area: Share of the image in (0, 1].
        contrast: (mean grey inside - mean grey of the surround) / standard deviation of the surround; None
            where mask and gap leave no surround.
        texture: Standard deviation inside / of the surround.
        edge_distance: Of the mask's centre of mass from the nearest edge, in sides of the image, in [0, 0.5].
    """

    area: float
    contrast: float | None
    texture: float | None
    edge_distance: float

    @property
    def at_edge(self) -> bool:
        """Whether its centre lies in the image's outer sixteenth."""
        return self.edge_distance < EDGE


def measure_defect(grey: np.ndarray, mask: np.ndarray | None) -> DefectFigures | None:
    """Figures of the defect in `grey` (S, S) marked by `mask` bool (S, S); None without a marked pixel."""
    if mask is None or not mask.any():
        return None
    near = binary_dilation(mask, iterations=GAP)
    ring = binary_dilation(near, iterations=RING) & ~near
    contrast = texture = None
    if ring.any():
        spread = max(float(grey[ring].std()), 1e-6)
        contrast = (float(grey[mask].mean()) - float(grey[ring].mean())) / spread
        texture = float(grey[mask].std()) / spread
    down, right = np.nonzero(mask)
    return DefectFigures(
        area=float(mask.mean()),
        contrast=contrast,
        texture=texture,
        edge_distance=_from_edge(down.mean() + 0.5, right.mean() + 0.5, mask.shape),
    )


@dataclass(frozen=True)
class HeatFigures:
    """One heat map, in units of the level that 1 in 1000 calibration pixels exceeds.

    Attributes:
        peak: Largest value.
        peak_edge_distance: As `DefectFigures.edge_distance`.
        hot_share: Of the map above half its peak: small for a spot, large when the whole image is anomalous.
    """

    peak: float
    peak_edge_distance: float
    hot_share: float

    @property
    def at_edge(self) -> bool:
        """Whether the hottest place lies in the image's outer sixteenth, or in the map's outermost cells."""
        return self.peak_edge_distance < EDGE


def measure_heat(heat: np.ndarray) -> HeatFigures:
    """Figures of a map (h, w) with finite values."""
    down, right = np.unravel_index(int(heat.argmax()), heat.shape)
    peak = float(heat.max())
    return HeatFigures(
        peak=peak,
        peak_edge_distance=_from_edge(down + 0.5, right + 0.5, heat.shape),
        hot_share=float(np.mean(heat > 0.5 * peak)),
    )


def _from_edge(down: float, right: float, shape: tuple[int, ...]) -> float:
    height, width = shape
    return float(min(down / height, 1 - down / height, right / width, 1 - right / width))
