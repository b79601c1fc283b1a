"""Parity between the tool's results and the PyTorch path, counted on made-up results."""

from dataclasses import replace

import numpy as np
import pytest

from eval.latency import Latency
from eval.tool_run import ToolRun, compare, run_inspector
from router.route_scores import RouteScores
from tool_side import load_bundle


@pytest.fixture
def agreeing(evaluation) -> ToolRun:
    """What the tool would have given if it agreed with the evaluation to the last bit."""
    routing, count = evaluation.routing, len(evaluation.labels)
    ran, escalated = routing.routes != "none", routing.routes == "full"
    return ToolRun(
        decisions=routing.decisions.copy(),
        routes=routing.routes.copy(),
        total_ms=np.where(escalated, 3.0, 1.0),
        network_ms=np.where(escalated, 2.5, np.where(ran, 0.5, 0.0)) * np.ones(count),
    )


@pytest.fixture
def scores(evaluation) -> RouteScores:
    lowres, full = (evaluation.models[name].scores for name in ("lowres", "full"))
    return RouteScores(lowres, full, evaluation.routing.routes == "none")


def parity_of(tool, scores, reference, policy):
    return compare(tool, scores, reference, policy, [f"{i}.png" for i in range(len(scores.lowres))])


def test_equal_results_show_no_difference(agreeing, scores, policy):
    parity = parity_of(agreeing, scores, scores, policy)
    assert (parity.images, parity.decisions_differ, parity.routes_differ) == (350, 0, 0)
    assert parity.max_relative_lowres_deviation == parity.max_relative_full_deviation == 0.0
    assert parity.differing_paths == []


def test_differences_are_counted_and_named(agreeing, scores, policy, evaluation):
    row = int(np.flatnonzero(evaluation.routing.decisions == "REVIEW")[1])
    agreeing.decisions[row] = "PASS"
    passed = int(np.flatnonzero(evaluation.routing.routes == "lowres")[0])
    agreeing.routes[passed] = "full"
    off = replace(scores, lowres=scores.lowres * np.where(np.arange(350) == passed, 1 + 1e-3, 1))
    parity = parity_of(agreeing, off, scores, policy)
    assert (parity.decisions_differ, parity.routes_differ) == (1, 1)
    assert set(parity.differing_paths) == {f"{row}.png", f"{passed}.png"}
    assert parity.max_relative_lowres_deviation == pytest.approx(1e-3)
    assert parity.max_relative_full_deviation == 0.0


def test_always_full_costs_the_rest_of_the_route_plus_the_full_graph(agreeing):
    judged = agreeing.network_ms > 0
    overhead = (0.5 * judged.sum() + 1.0 * (~judged).sum()) / len(judged)
    assert agreeing.always_full_ms(Latency(2.0, 1.9, 2.5, 10)) == pytest.approx(overhead + 2.0)


def test_latency_of_the_usual_images_leaves_the_others_out(agreeing):
    assert agreeing.latency(agreeing.total_ms == 3.0).mean == 3.0
    assert 1.0 < agreeing.latency().mean < 3.0


def test_grey_levels_are_applied_once(tiny_run, tiny_store):
    """The store's images are in the data set's grey levels already; the bundle's levels are for files."""
    bundle = load_bundle(tiny_run / "bundle")
    levelled = replace(bundle, preprocessing=replace(bundle.preprocessing, black=0.2, white=0.6))
    indices = tiny_store.indices("test")[:6]
    plain, other = (run_inspector(one, tiny_store, indices) for one in (bundle, levelled))
    np.testing.assert_array_equal(plain.decisions, other.decisions)
    np.testing.assert_array_equal(plain.routes, other.routes)
