"""Images on the route: behind the quality gate, in front of both students, under a policy.

The one place where an image is scored for the route. The runtime on the tool, the calibration, the check of an
export and every analysis score through here, so that an image has one score wherever it is looked at: with its
uninformative pixels (`router.gate_mask`) at their constant, refused or not. numpy only: runs on the tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from router.decision import PASS, REVIEW, STAGES, Route
from router.gate import QualityFigures, QualityGate, measure_quality
from router.policy import RoutingPolicy

STUDENTS = tuple(stage.value for stage in STAGES)
Student = Callable[[np.ndarray], Any]
"""float32 (B, 1, S, S) in [0, 1] -> an object whose `score` is (B,); what else it holds, its caller knows."""


@dataclass(frozen=True)
class Look:
    """One image behind the quality gate.

    Attributes:
        figures: what the gate measured.
        reasons: why the image cannot be judged, in plain words; empty for an image that is admitted.
    """

    grey: np.ndarray
    gate: QualityGate
    figures: QualityFigures
    reasons: list[str]

    @cached_property
    def seen(self) -> np.ndarray:
        """float32 (S, S): the image as every network sees it."""
        return self.gate.cleaned(self.grey)


def look(gate: QualityGate, grey: np.ndarray, *, binned: bool = True, checked: bool = False) -> Look:
    """Hold an image, float32 (S, S) in [0, 1], before the gate. binned, checked: see `measure_quality`."""
    figures = measure_quality(grey, binned=binned, checked=checked)
    return Look(grey, gate, figures, gate.reasons(figures))


@dataclass(frozen=True)
class ScoredBatch:
    """Some images, what the gate made of each, and what each student gave for all of them.

    Attributes:
        looks: one an image.
        outputs: by student's name.
    """

    looks: list[Look]
    outputs: Mapping[str, Any]

    @property
    def refused(self) -> np.ndarray:
        """(B,) bool: by the quality gate."""
        return np.array([bool(one.reasons) for one in self.looks])


def score_batches(
    gate: QualityGate, images: Iterable[np.ndarray], students: Mapping[str, Student], batch_size: int = 32
) -> Iterator[ScoredBatch]:
    """Score images, float32 (S, S) in [0, 1], with every student whatever their route, a few in memory at a time."""
    source = iter(images)
    while part := [look(gate, grey) for grey in islice(source, batch_size)]:
        seen = np.stack([one.seen for one in part])[:, None]
        yield ScoredBatch(part, {name: student(seen) for name, student in students.items()})


@dataclass(frozen=True)
class RouteScores:
    """N images: both students' raw scores, float64 (N,), whatever the route, and what the gate refused, bool (N,)."""

    lowres: np.ndarray
    full: np.ndarray
    refused: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    """Nothing, where it is not given."""

    def __post_init__(self) -> None:
        if not len(self.refused):
            object.__setattr__(self, "refused", np.zeros(len(self.lowres), bool))

    @classmethod
    def of(cls, batches: Iterable[ScoredBatch]) -> RouteScores:
        """The scores of batches that hold outputs of both students."""
        rows = [(*(one.outputs[name].score for name in STUDENTS), one.refused) for one in batches]
        lowres, full, refused = map(np.concatenate, zip(*rows, strict=True)) if rows else [np.empty(0)] * 3
        return cls(lowres.astype(float), full.astype(float), refused.astype(bool))

    def __getitem__(self, rows: Any) -> RouteScores:
        """Those of `rows`: places, or bool (N,)."""
        return RouteScores(*(getattr(self, one.name)[rows] for one in fields(self)))

    def under(self, policy: RoutingPolicy) -> Routed:
        """Where a policy sends each image, and what it decides."""
        escalated = policy.escalate(self.lowres) & ~self.refused
        score = policy.routed_score(self.lowres, np.where(escalated, self.full, np.nan))
        decisions = np.where(self.refused, REVIEW, policy.decide(score, escalated))
        routes = np.where(self.refused, Route.NONE, np.where(escalated, Route.FULL, Route.LOWRES))
        return Routed(decisions, routes, escalated, score)


@dataclass(frozen=True)
class Routed:
    """N images under a policy.

    Attributes:
        decisions: (N,) "PASS", "REVIEW" or "REJECT".
        routes: (N,) the deepest student that looked, "lowres" or "full"; "none" for an image that the gate refused.
        escalated: (N,) bool.
        score: (N,) the routed score in the policy's standard unit; NaN where a score that the route needs is unusable.
    """

    decisions: np.ndarray
    routes: np.ndarray
    escalated: np.ndarray
    score: np.ndarray

    def __getitem__(self, rows: Any) -> Routed:
        """Those of `rows`: places, or bool (N,)."""
        return Routed(*(getattr(self, one.name)[rows] for one in fields(self)))

    @property
    def passed(self) -> np.ndarray:
        """(N,) bool."""
        return self.decisions == PASS

    @property
    def ranks(self) -> np.ndarray:
        """(N,) for ROC curves: the routed score; an image sent to a person unjudged is flagged, and ranks above all."""
        return np.where(np.isfinite(self.score) & (self.routes != Route.NONE), self.score, np.inf)


def route_scores(
    gate: QualityGate, images: Iterable[np.ndarray], students: Mapping[str, Student], batch_size: int = 32
) -> RouteScores:
    """The scores of images, float32 (S, S) in [0, 1], by the students "lowres" and "full"; see `score_batches`."""
    return RouteScores.of(score_batches(gate, images, students, batch_size))
