"""8-bit graphs as candidates for the bundle: each student's is taken only if it costs no decision and saves time.

As many convolutions as possible are put in 8 bits. While a decision differs from the float graph's, the one nearest
the pixels is given back to float: its rounding passes through all that follows. The likelihood stays in float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import onnx

from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from tool_side.bundle.sections import MODEL_NAMES
from tool_side.export.parity import (
    Agreement,
    CheckImages,
    compare_scores,
    graph_scores,
)
from tool_side.export.quantize import convolutions, quantize, sensitive
from tool_side.export.speed import SpeedRatio, in_turn
from tool_side.export.tables import pack_tables
from wafer_data.progress import track
from wafer_data.spread import spread

RANGE_IMAGES = 64
"""So many normals, and as many synthetic defects, give the ranges of the activations."""
WORTHWHILE = 1.1
"""A graph must be this much faster: one graph measured against itself came out between 0.93 and 1.09."""


@dataclass(frozen=True)
class Candidate:
    """One student with some of its convolutions in 8 bits: how it decides, and its speed against the float graph."""

    graph: bytes
    layers: tuple[str, ...]
    float_layers: tuple[str, ...]
    scores: np.ndarray
    agreement: Agreement
    speed: SpeedRatio

    @property
    def refusal(self) -> str | None:
        """Why this graph does not become the bundle's; None if it does."""
        if not self.agreement.holds:
            return (
                f"{self.agreement.decisions_differ} decisions and {self.agreement.routes_differ} routes "
                "differ from PyTorch's"
            )
        if self.speed.ratio < WORTHWHILE:
            return f"{self.speed.ratio:.2f} times as fast as the float graph on this computer"
        return None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "default": self.refusal is None,
            "why_not": self.refusal,
            "bytes": len(self.graph),
            "int8_layers": list(self.layers),
            "float_layers": [*self.float_layers, "likelihood"],
            "speed": {name: float(f"{value:.3g}") for name, value in asdict(self.speed).items()},
            "parity": {"reference": "PyTorch", **self.agreement.to_dict()},
        }


@dataclass(frozen=True)
class Chosen:
    """The graphs that the bundle gets, by student, and the manifest's account of the 8-bit ones."""

    graphs: dict[str, bytes]
    report: dict[str, Any]


def choose_int8(
    exact: Mapping[str, onnx.ModelProto],
    policy: RoutingPolicy,
    checked: CheckImages,
    reference: RouteScores,
    graphs: Mapping[str, bytes],
) -> Chosen:
    """Try 8 bits for the low-resolution student, which every image meets, then for the full one.

    Args:
        exact: The students' graphs without packed tables.
        reference: PyTorch's scores.
        graphs: Those that the bundle has otherwise.
    """
    now = checked.routed(**{n: graph_scores(graphs[n], checked.images, n) for n in MODEL_NAMES})
    chosen, report = dict(graphs), {}
    for name in MODEL_NAMES:
        tried = candidates(name, exact[name], policy, checked, graphs[name], reference, now)
        if not tried:
            continue
        best = next((one for one in tried if one.refusal is None), tried[-1])
        if best.refusal is None:
            chosen[name], now = best.graph, replace(now, **{name: best.scores})
        report[name] = {**best.to_dict(), "tried": [_brief(one) for one in tried]}
    return Chosen(chosen, report)


def candidates(
    name: str,
    exact: onnx.ModelProto,
    policy: RoutingPolicy,
    checked: CheckImages,
    float_graph: bytes,
    reference: RouteScores,
    now: RouteScores,
) -> list[Candidate]:
    """8-bit graphs of one student, from most to fewest layers in 8 bits, up to the first that changes no decision.

    Args:
        reference: PyTorch's scores.
        now: Those of the graphs that the bundle has so far.
    """
    kept = sensitive(exact)
    layers = [layer for layer in convolutions(exact) if layer not in kept]
    images, normals = _range_images(checked)
    tried: list[Candidate] = []
    for first in track(range(len(layers)), f"8-bit graphs of {name}"):
        graph = pack_tables(quantize(exact, layers[first:], images, normals)).SerializeToString(
            deterministic=True
        )
        scores = graph_scores(graph, checked.images, name)
        agreement = compare_scores(policy, reference, replace(now, **{name: scores}), checked.normals)
        speed = in_turn(float_graph, graph, checked.images)
        floats = tuple(layer for layer in convolutions(exact) if layer not in layers[first:])
        tried.append(Candidate(graph, tuple(layers[first:]), floats, scores, agreement, speed))
        # With fewer layers in 8 bits none of the later ones is faster.
        if agreement.holds or speed.ratio < WORTHWHILE:
            break
    return tried


def _range_images(checked: CheckImages) -> tuple[np.ndarray, int]:
    places = np.arange(len(checked.images))
    normals = checked.normals if checked.tiles is None else int(checked.tiles[: checked.normals].sum())
    normal = spread(places[:normals], RANGE_IMAGES)
    return checked.images[np.r_[normal, spread(places[normals:], RANGE_IMAGES)]], len(normal)


def _brief(one: Candidate) -> dict[str, Any]:
    return {
        "int8_layers": len(one.layers),
        "decisions_differ": one.agreement.decisions_differ,
        "routes_differ": one.agreement.routes_differ,
        "speed_ratio": float(f"{one.speed.ratio:.3g}"),
    }
