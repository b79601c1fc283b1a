"""Repeaters on dies and reticles, and what bad wafers have in common. All data are synthetic."""

import numpy as np
import pytest

from wafer_data.errors import DataError
from wafer_map.repeaters import Point, find_commonality, find_repeaters

DIE = (10_000.0, 8_000.0)


def strewn(rng: np.random.Generator, count: int, wafer: str) -> list[Point]:
    dies = rng.integers(-6, 7, (count, 2))
    place = rng.uniform(0, 1, (count, 2)) * DIE
    return [
        Point(wafer, (int(d[0]), int(d[1])), (float(p[0]), float(p[1])))
        for d, p in zip(dies, place, strict=True)
    ]


def repeated(
    wafer: str, place: tuple[float, float], dies: list[tuple[int, int]], rng: np.random.Generator
) -> list[Point]:
    return [Point(wafer, die, (place[0] + rng.normal(0, 3), place[1] + rng.normal(0, 3))) for die in dies]


def test_a_reticle_flaw_repeats_in_every_field_of_every_wafer():
    rng = np.random.default_rng(0)
    fields = [(2 * i, 3 * j) for i in range(-2, 3) for j in range(-2, 3)]
    points = [
        p for w in ("W1", "W2") for p in strewn(rng, 60, w) + repeated(w, (1234.0, 5678.0), fields, rng)
    ]
    found = find_repeaters(points, DIE, reticle=(2, 3))
    assert len(found) == 1 and found[0].fields == 50 and found[0].p <= 0.01
    assert found[0].points_to == "reticle" and found[0].wafers == ("W1", "W2")
    assert found[0].place == pytest.approx((1234, 5678), abs=5)


def test_on_one_wafer_alone_it_does_not_point_to_the_reticle():
    rng = np.random.default_rng(1)
    points = strewn(rng, 80, "W1") + repeated("W1", (4000.0, 100.0), [(i, 0) for i in range(-6, 7)], rng)
    assert [one.points_to for one in find_repeaters(points, DIE)] == ["wafer"]


def test_a_place_that_repeats_on_every_die_of_the_field_is_the_dies():
    rng = np.random.default_rng(2)
    dies = [(i, j) for i in range(-4, 5) for j in range(-4, 5)]
    points = [p for w in ("W1", "W2") for p in repeated(w, (3000.0, 3000.0), dies, rng)]
    found = find_repeaters(points, DIE, reticle=(2, 1))
    assert len(found) == 2 and {one.points_to for one in found} == {"die"}


def test_strewn_defects_are_no_repeaters():
    called = [
        bool(find_repeaters(strewn(np.random.default_rng(s), 150, "W"), DIE, tolerance_um=200))
        for s in range(40)
    ]
    assert sum(called) <= 3  # at the level 0.01


def test_the_tool_of_the_bad_wafers_is_found_and_no_other():
    rng = np.random.default_rng(0)
    tools = [("etch 1", "etch 2", "etch 3")[i % 3] for i in range(24)]
    slots = [str(i + 1) for i in range(24)]
    rates = [0.01 + (0.03 if tool == "etch 2" else 0) + rng.normal(0, 0.004) for tool in tools]
    found = find_commonality(rates, {"tool": tools, "slot": slots})
    assert found[0].value == "etch 2" and found[0].p < 0.01 and found[0].rate > found[0].others
    assert [one for one in found if one.factor == "slot"] == []


def test_without_a_cause_commonality_is_claimed_at_its_level_only():
    rng, claimed = np.random.default_rng(3), 0
    for _ in range(60):
        rates = rng.gamma(2.0, 0.01, 24)
        factors = {
            "tool": rng.choice(["a", "b", "c"], 24).tolist(),
            "chamber": rng.choice(list("pqrs"), 24).tolist(),
        }
        claimed += bool(find_commonality(rates.tolist(), factors, level=0.1, permutations=199))
    assert claimed <= 13  # binomial(60, 0.1): more in 0.5 % of cases


def test_impossible_input_is_refused():
    with pytest.raises(DataError):
        find_repeaters([], (0.0, 1.0))
    with pytest.raises(DataError, match=r"tolerance 1e-300 must be at least 0\.001 um"):
        find_repeaters([], (1.0, 1.0), tolerance_um=1e-300)
    with pytest.raises(DataError, match="finite"):
        find_repeaters([Point("W", (i, 0), (float("inf"), 1.0)) for i in range(3)], DIE)
    with pytest.raises(DataError, match="permutations"):
        find_repeaters([], DIE, permutations=9)
    with pytest.raises(DataError, match="2 values for 3 wafers"):
        find_commonality([1.0, 2.0, 3.0], {"tool": ["a", "b"]})
    assert find_repeaters([Point("W", (0, 0), (1.0, 1.0))], DIE) == [] and find_commonality([], {}) == []
