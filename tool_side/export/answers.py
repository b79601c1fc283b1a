"""Answers to further questions in a student's graph: `likelihood.answers.Answers`, node by node."""

from __future__ import annotations

import torch
from onnx import helper

from likelihood.answers import CONTRAST, SMALLEST, Answers
from likelihood.model import FeatureLikelihood
from tool_side.export.graph_builder import GraphBuilder


def split_features(b: GraphBuilder, lik: FeatureLikelihood, features: str) -> tuple[str, str]:
    """Answers and directions of what the trunk gives; without answers nothing is done."""
    count = lik.answer_count
    if not count:
        return "", features
    last, axis = b.constant([count + lik.channels]), b.constant([1])
    first = b.node("Slice", features, b.constant([0]), b.constant([count]), axis)
    return first, b.node("Slice", features, b.constant([count]), last, axis)


def answered(
    b: GraphBuilder, asked: Answers, answers: str, lik: FeatureLikelihood, own: str, heat: str
) -> tuple[str, str]:
    """`Answers.combine` (N,) and `Answers.heat_map` (N, 1, side, side); own, heat: of the likelihood."""
    cells, weights = lik.map_size**2, torch.tensor(asked.weights, dtype=torch.float64)
    centre, spread = asked.centre.double(), asked.spread.double()
    found, places = f"top{len(b.nodes)}", f"where{len(b.nodes)}"
    flat, count = b.reshape(answers, -1, asked.count, cells), b.constant([asked.top(cells)])
    b.nodes.append(
        helper.make_node("TopK", [flat, count], [found, places], name=f"n_{found}", axis=2, sorted=0)
    )
    means = b.node("ReduceMean", found, b.constant([2]), keepdims=0)
    shift = -(weights * centre / spread)
    score = b.node("MatMul", means, b.constant((weights / spread)[1:, None]))
    score = b.node("Add", b.reshape(score, -1), b.constant(float(shift[1:].sum())))
    mixing = b.constant((CONTRAST * weights[1:])[None, :, None, None])
    mixed = b.enlarge(b.node("Conv", answers, mixing), lik.map_side // lik.map_size)
    if asked.asks_place:
        scaled = b.node("Mul", b.node("Asinh", own), b.constant(float(weights[0] / spread[0])))
        score = b.node("Add", score, b.node("Add", scaled, b.constant(float(shift[0]))))
        slope = float(CONTRAST * weights[0] / asked.map_spread)
        log = b.node("Log", b.node("Add", heat, b.constant(SMALLEST)))
        log = b.node("Mul", b.node("Sub", log, b.constant(asked.map_centre)), b.constant(slope))
        mixed = b.node("Add", mixed, log)
    return score, b.node("Exp", mixed)
