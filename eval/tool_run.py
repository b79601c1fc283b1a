"""The exported bundle as the tool runs it: latency of the route and the graphs, parity with PyTorch."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime

from eval.latency import Latency, measure_latency
from eval.results import Parity, RoutingResult
from tool_side import Bundle, Inspector
from tool_side.runtime.session import StudentGraph, session_options
from wafer_data.progress import track
from wafer_data.store import ImageStore

ENGINE = f"ONNX Runtime {onnxruntime.__version__}"


@dataclass(frozen=True)
class ToolRun:
    """What the tool-side runtime made of every test image, in the order of the test indices."""

    decisions: np.ndarray
    routes: np.ndarray
    lowres_scores: np.ndarray
    """(N,) raw, of every image whatever its route; NaN where there is none. Likewise `full_scores`."""
    full_scores: np.ndarray
    total_ms: np.ndarray
    network_ms: np.ndarray
    """(N,) milliseconds of both graphs together; the rest of `total_ms` is preprocessing and the gate."""

    def latency(self, chosen: np.ndarray | None = None) -> Latency:
        """Time from a decoded image to its decision; of the images that `chosen` (N,) bool picks, or of all."""
        return Latency.of(self.total_ms if chosen is None else self.total_ms[chosen])

    def always_full_ms(self, full: Latency) -> float:
        """Mean time if every image skipped the low-resolution graph and ran the full one."""
        return float((self.total_ms - self.network_ms).mean()) + full.mean


def run_inspector(bundle: Bundle, store: ImageStore, indices: np.ndarray) -> ToolRun:
    """Inspect the images one by one, as arrays, on one thread."""
    # The store's images already are in the data set's grey levels; the tool would apply them a second time.
    plain = replace(bundle.preprocessing, black=0.0, white=1.0)
    inspector = Inspector(replace(bundle, preprocessing=plain), threads=1)
    rows: list[tuple[Any, ...]] = []
    for index in track(indices, "inspecting with the exported bundle"):
        found = inspector.inspect(store.grey(int(index)))
        seconds = found.seconds
        rows.append(
            (
                found.decision,
                found.route,
                1e3 * seconds["total"],
                1e3 * (seconds["lowres"] + seconds["full"]),
            )
        )
    decisions, routes, total_ms, network_ms = (np.array(column) for column in zip(*rows, strict=True))
    # After the timed pass, so that its times hold nothing but the route.
    lowres, full = (_graph_scores(bundle, name, store, indices) for name in ("lowres", "full"))
    return ToolRun(decisions, routes, lowres, full, total_ms, network_ms)


def _graph_scores(bundle: Bundle, name: str, store: ImageStore, indices: np.ndarray) -> np.ndarray:
    """(N,) raw scores of the graph `name` on all images."""
    graph = StudentGraph(name, bundle.contents[bundle.models[name].file], 1)
    return np.array([graph(store.grey(int(index))).score for index in indices])


def graph_latency(bundle: Bundle, name: str, images: np.ndarray, runs: int) -> Latency:
    """Latency of the scoring graph `name` alone, one image (of `images`, (N, 1, S, S)) at a time."""
    session = onnxruntime.InferenceSession(
        bundle.contents[bundle.models[name].file], session_options(1), providers=["CPUExecutionProvider"]
    )
    return measure_latency(
        lambda image: session.run(None, {"image": image}), [image[None] for image in images], runs=runs
    )


def compare(
    tool: ToolRun, routing: RoutingResult, lowres: np.ndarray, full: np.ndarray, paths: list[str]
) -> Parity:
    """Parity of the tool's results with the PyTorch path's decisions, routes and raw scores."""
    other_decision, other_route = tool.decisions != routing.decisions, tool.routes != routing.routes
    differing = np.flatnonzero(other_decision | other_route)
    return Parity(
        images=len(paths),
        decisions_differ=int(other_decision.sum()),
        routes_differ=int(other_route.sum()),
        max_relative_lowres_deviation=_deviation(tool.lowres_scores, lowres),
        max_relative_full_deviation=_deviation(tool.full_scores, full),
        differing_paths=[paths[i] for i in differing],
    )


def _deviation(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest relative deviation where the tool has a score; 0 where it has none at all."""
    ran = ~np.isnan(ours)
    return float(np.max(np.abs(ours[ran] - reference[ran]) / np.abs(reference[ran]), initial=0.0))
