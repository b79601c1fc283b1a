"""Which test images the report shows, and their heat maps from the exported graphs."""

from pathlib import PurePath

import numpy as np

from eval.examples import worst_false_alarms, worst_misses
from eval.results import Evaluation, Example, RoutingResult
from tool_side.bundle.load import Bundle
from tool_side.runtime.session import StudentGraph
from wafer_data.errors import InputError
from wafer_data.store import ImageStore

BOUNDARY = 4
"""Images shown on either side of the escalation threshold."""


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
    rows: np.ndarray, evaluation: Evaluation, store: ImageStore, indices: np.ndarray, bundle: Bundle | None
) -> list[Example]:
    """The test images `rows` with the map of the deepest student that ran, none without a bundle.

    Raises `InputError` for a bundle whose graphs give other scores than the report holds.
    """
    routing = evaluation.routing
    assert routing is not None
    graphs: dict[str, StudentGraph] = {}
    found = []
    for row in rows:
        index, route = int(indices[row]), str(routing.routes[row])
        grey, heat = store.grey(index), None
        if route != "none" and bundle is not None:
            if route not in graphs:
                graphs[route] = StudentGraph(route, bundle.contents[bundle.models[route].file], 1)
            output = graphs[route](grey)
            _same(output.score, float(evaluation.models[route].scores[row]), bundle)
            heat = output.map / np.float32(bundle.models[route].map_reference)
        found.append(
            Example(
                path="/".join(PurePath(store.records[index].path).parts[-3:]),
                type=evaluation.types[row],
                decision=str(routing.decisions[row]),
                route=route,
                score=float(routing.routed_standard[row]),
                grey=grey,
                heat=heat,
                mask=store.mask(index),
            )
        )
    return found


def worst(evaluation: Evaluation, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the worst misses and of the worst false alarms, up to `count` each."""
    assert evaluation.routing is not None
    return (
        worst_misses(evaluation.routing, evaluation.labels, count),
        worst_false_alarms(evaluation.routing, evaluation.labels, count),
    )


def _same(score: float, reported: float, bundle: Bundle) -> None:
    if not np.isclose(score, reported, rtol=1e-2):
        raise InputError(
            f"bundle {bundle.path} gives other scores than the report holds: do `waferroute run` again"
        )
