"""From what was measured on all test images to a list of errors, each with its properties."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import numpy as np

from eval.errors.findings import Error, Kind
from eval.errors.modes import mode_of
from eval.errors.operating_point import ALONE, ESCALATED, NEVER, Decided
from eval.errors.properties import measure_defect, measure_heat
from eval.errors.seen import Measured, Measuring
from router.gate import FIGURES
from router.route_scores import look
from wafer_data.imaging.planes import luminance

STUDENT_OF = {NEVER: "lowres", ESCALATED: "full", ALONE: "full"}
"""The student whose map shows why an image took its route; none judged a refused one."""


@dataclass(frozen=True)
class Normality:
    """What calibration normals are like, the yardstick for what is unusual.

    Attributes:
        low, high: (5,) the range of their quality figures.
        similarity: (n,) ascending, to the nearest training normal.
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
class Lister:
    """Builds errors for rows of the test set."""

    measuring: Measuring
    measured: Measured
    decided: Decided
    normality: Normality

    def errors(self, rows: np.ndarray, kind: Kind) -> list[Error]:
        """An error for each of `rows`, with its mode."""
        return [self._error(int(row), kind) for row in rows]

    def _error(self, row: int, kind: Kind) -> Error:
        run, measured, decided = self.measuring.run, self.measured, self.decided
        index, route = int(measured.indices[row]), str(decided.routes[row])
        record, seen = run.store.records[index], look(run.policy.gate, run.store.pixels(index))
        margin = float(decided.margin[row])
        student = STUDENT_OF.get(route, "none")
        heat = self.measuring.students.heat(student, seen.seen)
        error = Error(
            index=index,
            path=short_path(record.path),
            type=record.type,
            kind=kind,
            decision=str(decided.decisions[row]),
            route=route,
            student=student,
            margin=margin if np.isfinite(margin) else None,
            full_flags=bool(decided.full_flags[row]),
            quality=dict(zip(FIGURES, map(float, measured.quality[row]), strict=True)),
            unusual=self.normality.unusual(measured.quality[row]),
            refused_because=seen.reasons,
            similarity=float(measured.similarity[row]),
            similarity_rank=self.normality.rank(float(measured.similarity[row])),
            nearest_normal=short_path(run.store.records[int(measured.nearest[row])].path),
            defect=measure_defect(luminance(seen.image), run.store.mask(index)),
            heat=None if heat is None else measure_heat(heat),
        )
        cell = 1.0 if heat is None else 1.0 / heat.size
        return replace(error, mode=mode_of(error, cell).key)


def short_path(path: str | Path) -> str:
    """The last three parts of a path: enough to find the file, nothing about the machine."""
    return "/".join(PurePath(path).parts[-3:])
