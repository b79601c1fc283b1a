"""Does an export decide as PyTorch does? Asked of every export, on calibration images and synthetic defects.

Decisions and routes are compared, not only scores: a small deviation is harmless where no threshold is near and
harmful where one is. Thresholds are order statistics of calibration scores, so a calibration image may lie exactly
on one; which way it goes is then a matter of the last digit in any arithmetic. Such images are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from likelihood.arrays import on_arrays
from router.policy import RoutingPolicy
from router.route_scores import Routed, RouteScores, look
from student_vae import StudentVAE
from tool_side.bundle.sections import MODEL_NAMES
from tool_side.runtime.session import StudentGraph
from wafer_data.errors import InputError
from wafer_data.imaging.planes import stacked
from wafer_data.imaging.tiling import TiledImage
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import ImageStore

IMAGES = 400
"""At most so many normals are looked at, evenly spaced, and as many synthetic defects."""
ON_THRESHOLD = 2e-5
"""Robust standard deviations of normal log-scores: what the order of additions changes in single precision."""

PaintDefect = Callable[[ImageStore, np.ndarray, int], "np.ndarray | TiledImage"]
"""(store, normals, place) -> the normal image at `place` with a synthetic defect, float32, or in tiles."""


@dataclass(frozen=True)
class CheckImages:
    """What an export is checked on.

    Attributes:
        images: (n, S, S) or (n, 3, S, S) float32 in [0, 1]; the first `normals` are without defect. Of large images
            all tiles.
        tiles: how many each large image has; None where images are looked at as a whole.
    """

    images: np.ndarray
    normals: int
    tiles: np.ndarray | None = None

    def routed(self, lowres: np.ndarray, full: np.ndarray) -> RouteScores:
        """The route's scores from those of each of `images`, (n,)."""
        return RouteScores(lowres, full, tiles=self.tiles)


@dataclass(frozen=True)
class Agreement:
    """How one way of computing the scores differs from another.

    Attributes:
        decisions_differ, routes_differ: Images, without those on a threshold.
        on_threshold: Images whose reference score lies on a threshold to within `ON_THRESHOLD`.
        on_threshold_differ: Those of them that go another way.
        deviation: By student, the largest relative difference of a raw score.
        deviation_spreads: The same in robust standard deviations of normal log-scores, the unit of the thresholds.
    """

    normals: int
    synthetic_defects: int
    decisions_differ: int
    routes_differ: int
    on_threshold: int
    on_threshold_differ: int
    deviation: Mapping[str, float]
    deviation_spreads: Mapping[str, float]

    @property
    def holds(self) -> bool:
        """Whether every image gets the same decision by the same route."""
        return not self.decisions_differ and not self.routes_differ

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, as the manifest holds it."""
        return asdict(self)


def check_images(
    store: ImageStore, policy: RoutingPolicy, paint: PaintDefect | None, limit: int = IMAGES
) -> CheckImages:
    """Calibration normals that the quality gate admits, then as many synthetic defects painted into them.

    Args:
        paint: None leaves the defects out. Where the gate admits none, all are taken: graphs can be compared
            on any image.

    Raises:
        InputError: If there is no calibration normal.
    """
    found = store.indices("calibration", label=0)
    if not len(found):
        raise InputError("there is no calibration image to check the export on: prepare the data again")
    admitted = [i for i in found if not look(policy.gate, store.image(int(i))).reasons]
    usable = np.array(admitted) if admitted else found
    tiled = store.reduced is not None
    places = spread(
        np.arange(len(usable)), max(1, limit // len(store.tiles_of(int(usable[0]))) if tiled else limit)
    )
    images = [store.image(int(usable[place])) for place in places]
    if paint is not None:
        images += [paint(store, usable, int(place)) for place in places]
    shown = [look(policy.gate, one).parts for one in images]
    seen = np.stack([part.astype(np.float32) for parts in shown for part in parts])
    return CheckImages(seen, len(places), np.array([len(parts) for parts in shown]) if tiled else None)


def pytorch_scores(students: Mapping[str, StudentVAE], images: np.ndarray, batch: int = 32) -> RouteScores:
    """Scores of images, as the networks see them, by the trained students ("lowres" and "full")."""
    calls = {name: on_arrays(student) for name, student in students.items()}
    found: dict[str, list[np.ndarray]] = {name: [] for name in students}
    for start in track(range(0, len(images), batch), "scores to compare the export with"):
        for name, call in calls.items():
            found[name].append(call(stacked(images[start : start + batch])).score)
    return RouteScores(**{name: np.concatenate(parts) for name, parts in found.items()})


def graph_scores(graph: bytes, images: np.ndarray, name: str = "graph") -> np.ndarray:
    """(n,) float64 scores by an exported graph, one image at a time as on the tool."""
    run = StudentGraph(name, graph, 1)
    return np.array([run(image).score for image in images])


def compare_scores(
    policy: RoutingPolicy, reference: RouteScores, found: RouteScores, normals: int
) -> Agreement:
    """How decisions, routes and scores differ, those of `normals` normal images first."""
    ours, theirs = reference.under(policy), found.under(policy)
    other_decision, other_route = ours.decisions != theirs.decisions, ours.routes != theirs.routes
    tied = _on_threshold(policy, reference, ours)
    return Agreement(
        normals=normals,
        synthetic_defects=len(tied) - normals,
        decisions_differ=int((other_decision & ~tied).sum()),
        routes_differ=int((other_route & ~tied).sum()),
        on_threshold=int(tied.sum()),
        on_threshold_differ=int((tied & (other_decision | other_route)).sum()),
        deviation={
            name: _brief(np.abs(getattr(found, name) / getattr(reference, name) - 1)) for name in MODEL_NAMES
        },
        deviation_spreads={
            "lowres": _brief(
                np.abs(policy.standardise_lowres(found.lowres) - policy.standardise_lowres(reference.lowres))
            ),
            "full": _brief(
                np.abs(policy.standardise_full(found.full) - policy.standardise_full(reference.full))
            ),
        },
    )


def _on_threshold(policy: RoutingPolicy, scores: RouteScores, routed: Routed) -> np.ndarray:
    """(n,) bool: images with a score, or a tile with one, on a threshold."""
    if scores.tiles is not None:
        parts = RouteScores(scores.lowres, scores.full)
        near = _on_threshold(policy, parts, parts.under(policy))
        return np.logical_or.reduceat(near, np.r_[0, np.cumsum(scores.tiles)[:-1]])
    near = np.abs(policy.standardise_lowres(scores.lowres) - policy.escalate_above) <= ON_THRESHOLD
    for threshold in (policy.review_above, policy.reject_above):
        if threshold is not None:
            near |= routed.escalated & (np.abs(routed.score - threshold) <= ON_THRESHOLD)
    return near


def _brief(deviations: np.ndarray) -> float:
    """The largest, to two digits: more would make the manifest differ from one computer to the next."""
    return float(f"{np.max(deviations, initial=0.0):.1e}")
