"""The gate: thresholds, production on the same images, and no defect that production finds may be missed unnamed.

A figure that cannot be computed fails the gate: a missing number is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lifecycle.gate.figures import Figures, figures, paired_intervals
from lifecycle.gate.scored import LabelledImage, ScoredSet, score_set
from router.exact_binomial import interval

HIGHER_IS_BETTER = {"auroc"}


@dataclass(frozen=True)
class Thresholds:
    """What a candidate must reach, and how much worse than production it may be shown to be.

    Attributes:
        auroc: Least image AUROC.
        fnr_at_fpr5: Most misses at 5 % false alarms.
        escape: Most defects that PASS.
        false_alarm: Most normals that do not PASS.
        p99_ms: Longest 99th percentile of a decision, milliseconds.
        worse: By how much a figure may be worse than production's, with the bound of the paired interval that is
            worst for the candidate: 0.02 means that a loss of more than two points must be excluded.
        regressions: Most defects that production finds and the candidate PASSes.
    """

    auroc: float = 0.95
    fnr_at_fpr5: float = 0.2
    escape: float = 0.2
    false_alarm: float = 0.12
    p99_ms: float = 50.0
    worse: float = 0.02
    regressions: int = 0


@dataclass(frozen=True)
class GateReport:
    """What the gate found.

    Attributes:
        passed: Whether the candidate may go on.
        reasons: Why not; empty if it may.
        candidate: Its figures.
        production: Those of production, or None without one.
        differences: Candidate minus production: (difference, low, high).
        regressions: Names of defects that production finds and the candidate PASSes, one by one.
        gains: Names of those that the candidate finds and production PASSes.
        images: (normal, defective) numbers.
        escape_interval: Exact 95 % interval of the candidate's escapes.
        p99_ms: Of the candidate here.
    """

    passed: bool
    reasons: list[str]
    candidate: dict[str, float | None]
    production: dict[str, float | None] | None
    differences: dict[str, tuple[float | None, ...]] = field(default_factory=dict)
    regressions: list[str] = field(default_factory=list)
    gains: list[str] = field(default_factory=list)
    images: tuple[int, int] = (0, 0)
    escape_interval: tuple[float, float] = (0.0, 1.0)
    p99_ms: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)


def run_gate(
    candidate: str | Path,
    production: str | Path | None,
    images: Sequence[LabelledImage],
    thresholds: Thresholds | None = None,
) -> GateReport:
    """Ask the gate.

    Args:
        candidate: Bundle that wants to go on.
        production: Bundle in use, or None where there is none yet.
        images: The frozen test set, and every defect of earlier times (the regression set).
        thresholds: Default: `Thresholds()`.

    Raises:
        InputError: A bundle is refused.
    """
    new = score_set(candidate, images)
    old = None if production is None else score_set(production, images)
    return compare(images, new, old, thresholds or Thresholds())


def compare(
    images: Sequence[LabelledImage], new: ScoredSet, old: ScoredSet | None, thresholds: Thresholds
) -> GateReport:
    """The gate on scores that are there already; see `run_gate`."""
    defective = np.array([image.defective for image in images], bool)
    own = figures(new.scores, new.passed, defective)
    p99 = float(np.quantile(new.milliseconds, 0.99)) if len(images) else math.nan
    reasons = _against_thresholds(own, p99, thresholds)
    other, differences, lost, gained = None, {}, [], []
    if old is not None:
        other = figures(old.scores, old.passed, defective)
        differences = paired_intervals((old.scores, old.passed), (new.scores, new.passed), defective)
        reasons += _against_production(differences, thresholds.worse)
        lost = [i.name for i, k in zip(images, defective & ~old.passed & new.passed, strict=True) if k]
        gained = [i.name for i, k in zip(images, defective & old.passed & ~new.passed, strict=True) if k]
        reasons += lost_types(images, defective, old, new)
        if len(lost) > thresholds.regressions:
            reasons.append(
                f"it PASSes {len(lost)} defects that production finds (at most {thresholds.regressions}): "
                f"{', '.join(lost[:5])}{' ...' if len(lost) > 5 else ''}"
            )
    count = int(defective.sum())
    escaped = int((defective & new.passed).sum())
    return GateReport(
        not reasons, reasons, _plain(own), None if other is None else _plain(other),
        {name: tuple(_number(v) for v in values) for name, values in differences.items()},
        lost, gained, (len(images) - count, count), interval(escaped, count), p99,
    )  # fmt: skip


def _against_thresholds(own: Figures, p99: float, thresholds: Thresholds) -> list[str]:
    reasons = []
    for name, value in {**own._asdict(), "p99_ms": p99}.items():
        limit = getattr(thresholds, name)
        if math.isnan(value):
            reasons.append(f"{name} cannot be computed: the set lacks normals or defects")
        elif value < limit if name in HIGHER_IS_BETTER else value > limit:
            word = "below" if name in HIGHER_IS_BETTER else "above"
            reasons.append(f"{name} is {value:.4g}, {word} the threshold of {limit:g}")
    return reasons


def _against_production(differences: dict[str, tuple[float, float, float]], worse: float) -> list[str]:
    reasons = []
    for name, (point, low, high) in differences.items():
        loss = -low if name in HIGHER_IS_BETTER else high
        if math.isnan(loss):
            reasons.append(f"{name} cannot be compared with production's")
        elif loss > worse:
            reasons.append(
                f"{name} may be worse than production's by {loss:.3f} (difference {point:+.3f}, 95 % interval "
                f"{low:+.3f} to {high:+.3f}); a loss of more than {worse:g} is not excluded"
            )
    return reasons


def lost_types(
    images: Sequence[LabelledImage], defective: np.ndarray, old: ScoredSet, new: ScoredSet
) -> list[str]:
    """Types of which the candidate finds none although production found some."""
    reasons = []
    for kind in sorted({image.type for image in images if image.defective}):
        rows = np.array([image.type == kind for image in images])
        if (~old.passed[rows]).any() and new.passed[rows].all():
            reasons.append(
                f"it finds no defect of the type {kind}, of which production finds {(~old.passed[rows]).sum()}"
            )
    return reasons


def _plain(own: Figures) -> dict[str, float | None]:
    return {name: _number(value) for name, value in own._asdict().items()}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
