"""What a defect does to the surface, before the microscope blurs it."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from wafer_data.micrograph.scene import Scene


@dataclass(frozen=True)
class Change:
    """grey: what is added to the surface's grey at full strength, float32 (S, S).

    Attributes:
        footprint: Bool (S, S).
    """

    grey: np.ndarray
    footprint: np.ndarray


@dataclass(frozen=True)
class View:
    """What a defect is painted on: the scene, its signed distances to the edges (pixels) and its sharp grey."""

    scene: Scene
    distance: np.ndarray
    ideal: np.ndarray

    @classmethod
    def of(cls, scene: Scene) -> Self:
        """The view of a scene, without defect."""
        distance = scene.pattern()
        return cls(scene, distance, scene.layout.tone.grey(distance))

    @property
    def size(self) -> int:
        """Side of the image in pixels."""
        return self.scene.config.size

    @property
    def pitch(self) -> float:
        """Pitch of the pattern in pixels: the unit in which defects are sized."""
        return self.scene.config.pitch_px

    def around(self, y: float, x: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates relative to a point: y as (S, 1), x as (1, S), float32."""
        at = np.arange(self.size, dtype=np.float32)
        return (at - np.float32(y))[:, None], (at - np.float32(x))[None]
