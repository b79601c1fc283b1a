"""Which test images the report shows, and their heat maps from the bundle's graphs."""

from pathlib import PurePath

import numpy as np

from eval.results import Evaluation, Example, RoutingResult
from eval.run import FinishedRun
from eval.tool_run import BundleStudents

BOUNDARY = 4
"""Images shown on either side of the escalation threshold."""


def worst_misses(routing: RoutingResult, labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of up to `count` defects that passed, the lowest routed score first."""
    rows = np.flatnonzero((labels == 1) & (routing.decisions == "PASS"))
    return rows[np.argsort(routing.routed_standard[rows], kind="stable")][:count]


def worst_false_alarms(routing: RoutingResult, labels: np.ndarray, count: int) -> np.ndarray:
    """Rows of up to `count` normals that did not pass, the highest routed score first, unjudged ones last."""
    rows = np.flatnonzero((labels == 0) & (routing.decisions != "PASS"))
    scores = np.where(routing.routes[rows] == "none", np.nan, routing.routed_standard[rows])
    return rows[np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")][:count]


def boundary_rows(routing: RoutingResult, count: int = BOUNDARY) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the images nearest below and nearest above the escalation threshold, the nearest first.

    An image at the threshold is below it: it is not escalated. Images that no model judged lie nowhere.
    """
    scores = np.where(routing.routes == "none", np.nan, routing.lowres_standard)
    distance = scores - routing.escalate_above
    order = np.argsort(np.abs(distance), kind="stable")
    order = order[np.isfinite(distance[order])]
    return order[distance[order] <= 0][:count], order[distance[order] > 0][:count]


def examples(
    rows: np.ndarray, evaluation: Evaluation, run: FinishedRun, indices: np.ndarray, students: BundleStudents
) -> list[Example]:
    """The test images `rows` with the map of the deepest student that ran."""
    routing = evaluation.routing
    assert routing is not None
    found = []
    for row in rows:
        index, route = int(indices[row]), str(routing.routes[row])
        found.append(
            Example(
                path="/".join(PurePath(run.store.records[index].path).parts[-3:]),
                type=evaluation.types[row],
                decision=str(routing.decisions[row]),
                route=route,
                score=float(routing.routed_standard[row]),
                grey=run.store.pixels(index),
                heat=students.heat_of(route, run.store.image(index), run.policy),
                mask=run.store.mask(index),
            )
        )
    return found
