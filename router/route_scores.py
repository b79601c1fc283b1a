"""Images on the route: behind the quality gate, in front of both students, under a policy.

The one place where an image is scored for the route. The runtime on the tool, the calibration, the check of an
export and every analysis score through here, so that an image has one score wherever it is looked at: with its
uninformative pixels (`router.gate_mask`) at their constant, refused or not. A large image is scored tile by tile: its
tiles are routed one by one, and its *deciding* tile speaks for it (`deciding_tiles`). numpy only: runs on the tool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from router.decision import PASS, REVIEW, STAGES, Route
from router.gate import QualityFigures, QualityGate
from router.gate_figures import measure_image
from router.policy import RoutingPolicy
from wafer_data.imaging.planes import stacked
from wafer_data.imaging.tiling import TiledImage

STUDENTS = tuple(stage.value for stage in STAGES)
Student = Callable[[np.ndarray], Any]
"""float32 (B, C, S, S) in [0, 1] -> an object whose `score` is (B,); what else it holds, its caller knows."""


@dataclass(frozen=True)
class Look:
    """One image behind the quality gate.

    Attributes:
        image: as it was held before the gate, (S, S) of grey, (3, S, S) of colour; of a large one the whole.
        figures: what the gate measured.
        reasons: why the image cannot be judged, in plain words; empty for an image that is admitted.
        tiles: of a large image, float32 (S, S) or (3, S, S) each; None of one that is looked at as a whole.
    """

    image: np.ndarray
    gate: QualityGate
    figures: QualityFigures
    reasons: list[str]
    tiles: Sequence[np.ndarray] | None = None

    @cached_property
    def seen(self) -> np.ndarray:
        """The image as every network sees it; of a large one the whole, which none does."""
        return self.gate.cleaned(self.image)

    @property
    def parts(self) -> Sequence[np.ndarray]:
        """What the networks are shown, one after the other: the image, or its tiles."""
        return (self.seen,) if self.tiles is None else self.tiles


def look(
    gate: QualityGate,
    image: np.ndarray | TiledImage,
    *,
    binned: bool = True,
    checked: bool = False,
    figures: QualityFigures | None = None,
) -> Look:
    """Hold an image, float32 (S, S) or (3, S, S) in [0, 1], or a large one, before the gate.

    figures: what `measure_images` gave for it; None: it is measured here. The rest: see `measure_quality`.
    """
    if figures is None:
        figures = measure_image(image, binned=binned, checked=checked)
    if isinstance(image, TiledImage):
        return Look(image.whole, gate, figures, gate.reasons(figures), image.tiles)
    return Look(image, gate, figures, gate.reasons(figures))


class TileScores(NamedTuple):
    """What a student gave for the tiles of some large images: score (P,), map (P, h, w)."""

    score: np.ndarray
    map: np.ndarray


@dataclass(frozen=True)
class ScoredBatch:
    """Some images, what the gate made of each, and what each student gave for all that it was shown of them.

    Attributes:
        looks: one an image.
        outputs: by student's name; of large images `TileScores`, image after image.
        tiles: (B,) how many each has; None where the images are looked at as a whole.
    """

    looks: list[Look]
    outputs: Mapping[str, Any]
    tiles: np.ndarray | None = None

    @property
    def refused(self) -> np.ndarray:
        """(B,) bool: by the quality gate."""
        return np.array([bool(one.reasons) for one in self.looks])

    @property
    def admitted_parts(self) -> np.ndarray:
        """(P,) bool: which rows of the outputs are of images that the gate admits."""
        return ~self.refused if self.tiles is None else np.repeat(~self.refused, self.tiles)


def score_batches(
    gate: QualityGate,
    images: Iterable[np.ndarray | TiledImage],
    students: Mapping[str, Student],
    batch_size: int = 32,
) -> Iterator[ScoredBatch]:
    """Score images, float32 in [0, 1], with every student whatever their route, a few in memory at a time.

    They are (S, S) of grey, (3, S, S) of colour. Large images come one a batch, and no student is shown more than
    `batch_size` of its tiles at once.
    """
    source = iter(images)
    for first in source:
        if isinstance(first, TiledImage):
            yield _scored_tiles(look(gate, first), students, batch_size)
            continue
        part = [look(gate, first)]
        part += [look(gate, grey) for grey in islice(source, batch_size - 1)]
        seen = stacked(one.seen for one in part)
        yield ScoredBatch(part, {name: student(seen) for name, student in students.items()})


def _scored_tiles(one: Look, students: Mapping[str, Student], batch_size: int) -> ScoredBatch:
    return ScoredBatch([one], score_tiles(one.parts, students, batch_size), np.array([len(one.parts)]))


def score_tiles(
    tiles: Sequence[np.ndarray], students: Mapping[str, Student], batch_size: int = 32
) -> dict[str, TileScores]:
    """What each student gives for the tiles of a large image, whatever its route; a few in memory at a time."""
    found: dict[str, list[TileScores]] = {name: [] for name in students}
    for start in range(0, len(tiles), batch_size):
        seen = stacked(tiles[start : start + batch_size])
        for name, student in students.items():
            output = student(seen)
            found[name].append(TileScores(output.score, output.map))
    return {
        name: TileScores(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))
        for name, parts in found.items()
    }


@dataclass(frozen=True)
class RouteScores:
    """N images: both students' raw scores, float64 (N,), whatever the route, and what the gate refused, bool (N,).

    Attributes:
        lowres, full: of large images (P,), those of all tiles, image after image.
        tiles: (N,) how many each large image has; None where the images were looked at as a whole.
    """

    lowres: np.ndarray
    full: np.ndarray
    refused: np.ndarray = field(default_factory=lambda: np.empty(0, bool))
    """Nothing, where it is not given."""
    tiles: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not len(self.refused):
            object.__setattr__(self, "refused", np.zeros(len(self), bool))

    def __len__(self) -> int:
        return len(self.lowres if self.tiles is None else self.tiles)

    @classmethod
    def of(cls, batches: Iterable[ScoredBatch]) -> RouteScores:
        """The scores of batches that hold outputs of both students."""
        kept = [
            (*(np.asarray(one.outputs[name].score) for name in STUDENTS), one.refused, one.tiles)
            for one in batches
        ]
        if not kept:
            return cls(np.empty(0), np.empty(0))
        lowres, full, refused = (np.concatenate([row[i] for row in kept]) for i in range(3))
        tiles = None if kept[0][3] is None else np.concatenate([row[3] for row in kept])
        return cls(lowres.astype(float), full.astype(float), refused.astype(bool), tiles)

    def __getitem__(self, rows: Any) -> RouteScores:
        """Those of `rows`: places, or bool (N,)."""
        if self.tiles is None:
            return RouteScores(self.lowres[rows], self.full[rows], self.refused[rows])
        ends = np.cumsum(self.tiles)
        chosen = [np.arange(ends[i] - self.tiles[i], ends[i]) for i in np.arange(len(self))[rows]]
        parts = np.concatenate([np.empty(0, np.int64), *chosen])
        return RouteScores(self.lowres[parts], self.full[parts], self.refused[rows], self.tiles[rows])

    def per_image(self, policy: RoutingPolicy) -> RouteScores:
        """The scores of one look an image: its own, or those of its deciding tile under a policy."""
        if self.tiles is None:
            return self
        rows = deciding_tiles(policy, self.lowres, self.full, self.tiles)
        return RouteScores(self.lowres[rows], self.full[rows], self.refused)

    def escalated_share(self, policy: RoutingPolicy, rows: np.ndarray) -> float | None:
        """Share of what the low-resolution student sees that goes on to the full one, among images `rows`; of tiles."""
        part = self[rows]
        if not len(part):
            return None
        refused = part.refused if part.tiles is None else np.repeat(part.refused, part.tiles)
        return float((policy.escalate(part.lowres) & ~refused).mean())

    def under(self, policy: RoutingPolicy) -> Routed:
        """Where a policy sends each image, and what it decides."""
        if self.tiles is not None:
            return self.per_image(policy).under(policy)
        escalated = policy.escalate(self.lowres) & ~self.refused
        score = policy.routed_score(self.lowres, np.where(escalated, self.full, np.nan))
        decisions = np.where(self.refused, REVIEW, policy.decide(score, escalated))
        routes = np.where(self.refused, Route.NONE, np.where(escalated, Route.FULL, Route.LOWRES))
        return Routed(decisions, routes, escalated, score)


def deciding_tiles(
    policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray, tiles: np.ndarray
) -> np.ndarray:
    """The tile that speaks for each of N large images: its scores under the policy are those of the image.

    One without a usable score, if there is one; else, of the escalated tiles, that of the highest routed score; else,
    of all, that of the highest low-resolution score. So an image is flagged as soon as one of its tiles is.

    Args:
        lowres, full: (P,) raw scores, image after image; `full` may be NaN where a tile is not escalated.
        tiles: (N,) how many each image has, at least one.

    Returns:
        (N,) places among the P.
    """
    escalated = policy.escalate(lowres)
    routed = policy.routed_score(lowres, np.where(escalated, full, np.nan))
    rank = np.where(np.isfinite(routed), escalated.astype(int), 2)
    image = np.repeat(np.arange(len(tiles)), tiles)
    order = np.lexsort((np.nan_to_num(routed), rank, image))
    found: np.ndarray = order[np.cumsum(tiles) - 1]
    return found


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
    gate: QualityGate,
    images: Iterable[np.ndarray | TiledImage],
    students: Mapping[str, Student],
    batch_size: int = 32,
) -> RouteScores:
    """The scores of images by the students "lowres" and "full"; see `score_batches`."""
    return RouteScores.of(score_batches(gate, images, students, batch_size))
