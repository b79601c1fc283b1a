"""The routed system's worst mistakes, with their heat maps."""

from collections.abc import Mapping
from pathlib import PurePath

import numpy as np

from eval.results import Example, RoutingResult
from eval.routing import ranking_scores
from eval.scorers import Scorer
from eval.scoring import TestScores
from wafer_data.store import ImageStore


def worst_misses(routing: RoutingResult, labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of up to `count` defects that passed, the lowest routed score first."""
    rows = np.flatnonzero((labels == 1) & (routing.decisions == "PASS"))
    return rows[np.argsort(ranking_scores(routing)[rows], kind="stable")][:count]


def worst_false_alarms(routing: RoutingResult, labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of up to `count` normals that did not pass, the highest routed score first, unjudged ones last."""
    rows = np.flatnonzero((labels == 0) & (routing.decisions != "PASS"))
    scores = ranking_scores(routing)[rows]
    return rows[np.argsort(-np.where(np.isfinite(scores), scores, -np.inf), kind="stable")][:count]


def make_example(
    row: int,
    store: ImageStore,
    found: TestScores,
    routing: RoutingResult,
    scorers: Mapping[str, Scorer],
    references: Mapping[str, float],
) -> Example:
    """Test image `row` with the map of the deepest model that ran, in units of that model's reference."""
    index = int(found.indices[row])
    route = str(routing.routes[row])
    grey, heat = store.grey(index), None
    if route != "none":
        _, maps = scorers[route].score(grey[None, None])
        assert maps is not None
        heat = maps[0] / np.float32(references[route])
    return Example(
        path="/".join(PurePath(store.records[index].path).parts[-3:]),
        type=found.types[row],
        decision=str(routing.decisions[row]),
        route=route,
        score=float(routing.routed_standard[row]),
        grey=grey,
        heat=heat,
        mask=store.mask(index),
    )
