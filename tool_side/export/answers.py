"""Answers to further questions in a student's graph: `likelihood.answers.Answers`, node by node."""

from __future__ import annotations

import math

import torch

from likelihood.answers import CONTRAST, MAP_SMOOTHING, SMALLEST, SOFTNESS, Answers
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
    scaled = b.node("Mul", b.reshape(answers, -1, asked.count, cells), b.constant(1 / SOFTNESS))
    # `soft_maximum` but for its factor and its constant, which the weights and the shift take
    soft = b.node("ReduceLogSumExp", scaled, b.constant([2]), keepdims=0)
    shift = -(weights * centre / spread)
    shift[1:] -= SOFTNESS * math.log(cells) * (weights / spread)[1:]
    score = b.node("MatMul", soft, b.constant((SOFTNESS * weights / spread)[1:, None]))
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
    heat = b.node("Exp", mixed)
    return score, b.node("Mul", b.node("Add", heat, b.smoothed(heat, MAP_SMOOTHING)), b.constant(0.5))
