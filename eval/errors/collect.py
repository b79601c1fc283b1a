"""From what was measured on all test images to a list of errors, each with its properties."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np
import torch

from eval.errors.findings import Error, Kind
from eval.errors.judge import Measured, Students
from eval.errors.modes import mode_of
from eval.errors.operating_point import ALONE, ESCALATED, NEVER, REFUSED, Judgement
from eval.errors.properties import HeatFigures, measure_defect, measure_heat
from router.gate import FIGURES, QualityGate, measure_quality
from wafer_data.store import ImageStore

STUDENT_OF = {NEVER: "lowres", ESCALATED: "full", ALONE: "full"}
"""The student whose map shows why an image took its route; none judged a refused one."""


@dataclass(frozen=True)
class Normality:
    """What calibration normals are like, the yardstick for what is unusual.

    low, high: (5,) the range of their quality figures. similarity: (n,) ascending, to the nearest training normal.
    """

    low: np.ndarray
    high: np.ndarray
    similarity: np.ndarray

    @classmethod
    def of(cls, measured: Measured) -> "Normality":
        """From measured calibration normals, at least one."""
        return cls(measured.quality.min(0), measured.quality.max(0), np.sort(measured.similarity))

    def unusual(self, quality: np.ndarray) -> list[str]:
        """Names of the figures (5,) outside the range."""
        outside = (quality < self.low) | (quality > self.high)
        return [name for name, out in zip(FIGURES, outside, strict=True) if out]

    def rank(self, similarity: float) -> float:
        """Share of the calibration normals that are less like their nearest training normal."""
        return float(np.searchsorted(self.similarity, similarity, side="left") / len(self.similarity))


@dataclass(frozen=True)
class Collector:
    """Builds errors for rows of the test set."""

    store: ImageStore
    students: Students
    gate: QualityGate
    references: dict[str, float]
    measured: Measured
    judged: Judgement
    normality: Normality

    def errors(self, rows: np.ndarray, kind: Kind) -> list[Error]:
        """An error for each of `rows`, with its mode."""
        return [self._error(int(row), kind) for row in rows]

    def cell(self, error: Error) -> float:
        """Share of the image under one cell of the map of the student that decided on `error`."""
        student = getattr(self.students, STUDENT_OF.get(error.route, "full"))
        return 1 / float(student.likelihood.map_side**2)

    def _error(self, row: int, kind: Kind) -> Error:
        seen, judged = self.measured, self.judged
        index, route = int(seen.indices[row]), str(judged.routes[row])
        record = self.store.records[index]
        grey = self.store.grey(index)
        margin = float(judged.margin[row])
        error = Error(
            index=index,
            path=short_path(record.path),
            type=record.type,
            kind=kind,
            decision=str(judged.decisions[row]),
            route=route,
            margin=margin if np.isfinite(margin) else None,
            full_flags=bool(judged.full_flags[row]),
            quality=dict(zip(FIGURES, map(float, seen.quality[row]), strict=True)),
            unusual=self.normality.unusual(seen.quality[row]),
            refused_because=self.gate.reasons(measure_quality(grey)) if route == REFUSED else [],
            similarity=float(seen.similarity[row]),
            similarity_rank=self.normality.rank(float(seen.similarity[row])),
            nearest_normal=short_path(self.store.records[int(seen.nearest[row])].path),
            defect=measure_defect(grey, self.store.mask(index)),
            heat=self._heat(grey, route),
        )
        return replace(error, mode=mode_of(error, self.cell(error)).key)

    def _heat(self, grey: np.ndarray, route: str) -> HeatFigures | None:
        heat, _ = see(self.students, self.references, grey, route, reconstruct=False)
        return None if heat is None else measure_heat(heat)


@torch.inference_mode()
def see(
    students: Students, references: dict[str, float], grey: np.ndarray, route: str, reconstruct: bool = True
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Heat map (h, w) over its reference, and reconstruction (s, s) in [0, 1], by the student that decided.

    Both None for an image that the gate refused. Where that student has no image decoder, the full student draws the
    reconstruction; None if neither can. The `references` are the map values that 1 in 1000 calibration pixels exceeds.
    """
    name = STUDENT_OF.get(route)
    if name is None:
        return None, None
    student = getattr(students, name)
    image = torch.from_numpy(grey[None, None])
    found = student.score(image)
    heat = found.map[0].numpy() / np.float32(references[name])
    if not reconstruct:
        return heat, None
    if student.decoder is None:
        # as a rule the low-resolution one: what the full student draws is closest to it
        student = students.full
        found = student.score(image)
    if student.decoder is None:
        return heat, None
    return heat, student.reconstruct(found.latent)[0, 0].numpy()


def short_path(path: str | Path) -> str:
    """The last three parts of a path: enough to find the file, nothing about the machine."""
    return "/".join(PurePath(path).parts[-3:])
