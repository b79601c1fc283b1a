"""The pictures of an error: image with the defect's outline, reconstruction, heat map; small, and bounded in number."""

from dataclasses import dataclass

from eval.errors.findings import Error, ErrorAnalysis, Kind
from eval.pages.images import grey_address, heat_address
from eval.run import FinishedRun
from eval.tool_run import BundleStudents
from router.route_scores import look
from wafer_data.progress import track

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


def take_shots(found: ErrorAnalysis, run: FinishedRun, students: BundleStudents) -> dict[Kind, list[Shot]]:
    """Pictures of the worst errors of each kind, drawn one image at a time."""
    kinds: tuple[Kind, Kind] = ("missed", "false alarm")
    return {
        kind: [_shot(error, run, students) for error in track(found.of(kind)[:MOST], f"pictures: {kind}")]
        for kind in kinds
    }


def _shot(error: Error, run: FinishedRun, students: BundleStudents) -> Shot:
    image = run.store.pixels(error.index)
    seen = look(run.policy.gate, image).seen
    drawn = students.reconstruct(error.student, seen)
    return Shot(
        error=error,
        image=grey_address(image, run.store.mask(error.index), SIDE),
        reconstruction=None if drawn is None else grey_address(drawn, longest=SIDE),
        heat=heat_address(image, students.heat(error.student, seen), SIDE),
    )
