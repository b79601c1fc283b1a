"""The pictures of an error: image with the defect's outline, reconstruction, heat map; small, and bounded in number."""

from dataclasses import dataclass

import numpy as np

from eval.errors.collect import see
from eval.errors.findings import Error, ErrorAnalysis, Kind
from eval.errors.judge import Students
from eval.explore.pictures import data_address, to_picture
from tool_side.runtime.heatmap import overlay
from wafer_data.progress import track
from wafer_data.store import ImageStore

MOST = 200
"""At most this many misses and as many false alarms are shown, the worst ones."""

SIDE = 160
"""Pixels of a picture's side in the page."""


@dataclass(frozen=True)
class Shot:
    """One error's pictures as data addresses; None where there is none."""

    error: Error
    image: str
    reconstruction: str | None
    heat: str | None


def take_shots(
    found: ErrorAnalysis, store: ImageStore, students: Students, references: dict[str, float]
) -> dict[Kind, list[Shot]]:
    """Pictures of the worst errors of each kind, drawn one image at a time."""
    kinds: tuple[Kind, Kind] = ("missed", "false alarm")
    return {
        kind: [
            _shot(error, store, students, references)
            for error in track(found.of(kind)[:MOST], f"pictures: {kind}")
        ]
        for kind in kinds
    }


def _shot(error: Error, store: ImageStore, students: Students, references: dict[str, float]) -> Shot:
    grey = store.grey(error.index)
    heat, drawn = see(students, references, grey, error.route)
    return Shot(
        error=error,
        image=data_address(to_picture(grey, (0.0, 1.0), store.mask(error.index)), SIDE),
        reconstruction=None if drawn is None else data_address(_grey(drawn), SIDE),
        heat=None if heat is None else data_address(overlay(grey, heat, 1.0), SIDE),
    )


def _grey(image: np.ndarray) -> np.ndarray:
    return to_picture(image, (0.0, 1.0))
