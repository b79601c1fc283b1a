"""An image between two steps of its inspection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from router.gate import QualityFigures
from router.policy import RoutingPolicy
from tool_side.runtime.inspection import Draft
from tool_side.runtime.session import StudentOutput
from wafer_data.image_ref import ImageRef
from wafer_data.imaging.tiling import Tiles

_NO_PIXELS = np.zeros((0, 0), np.float32)


@dataclass(slots=True)
class UnderWay:
    """What one step leaves to the next.

    Attributes:
        policy: of its recipe.
        ended: nothing is left to do.
        shape: (H, W) as it was taken.
        square: what the students see of it, float32 (S, S) or (3, S, S) in [0, 1].
        tiles: of a large image.
        figures: what the quality gate measured, where that was done for several images in one go.
        lowres: what the low-resolution student gave, once it was asked.
        seconds: wall time of its own steps.
    """

    ref: ImageRef
    result: Draft
    policy: RoutingPolicy
    ended: bool = False
    shape: tuple[int, int] = (0, 0)
    square: np.ndarray = field(default_factory=lambda: _NO_PIXELS)
    tiles: Tiles | None = None
    figures: QualityFigures | None = None
    lowres: StudentOutput | None = None
    seconds: float = 0.0

    def step(self, work: Callable[..., None], *given: Any) -> None:
        """Do `work(self, *given)` unless this image has ended, and count its time."""
        if self.ended:
            return
        started = perf_counter()
        work(self, *given)
        self.seconds += perf_counter() - started

    def step_that_may_fail(self, work: Callable[..., None], *given: Any) -> None:
        """:meth:`step`; where it raises, the image ends with that reason."""
        try:
            self.step(work, *given)
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            self.result.fail(f"a model failed: {error}")
            self.ended = True

    def unreadable(self, reason: str) -> None:
        """There are no pixels to look at."""
        self.result.unreadable = True
        self.result.reasons.append(f"the image cannot be read: {reason}")
        self.ended = True
