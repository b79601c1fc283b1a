"""Wafer and lot verdicts: what is promised about good and bad lots is kept, and the reasons say why."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from tests.wafer_map.simulated_lots import Case, cases, naive, simulate
from wafer_data.errors import ConfigurationError, DataError
from wafer_map.decide import (
    Action,
    Costs,
    Killers,
    LotMonitor,
    LotPlan,
    WaferCounts,
    cheapest_plan,
    decide_lot,
    decide_wafer,
    design,
    load_plan,
    next_sites,
    sampling,
)
from wafer_map.decide.design import expected_cost, require_promise
from wafer_map.decide.evidence import log_ratio

PLAN = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200)


def good(sites: int = 200) -> WaferCounts:
    return WaferCounts(sites, sites // 100)


def bad(sites: int = 200) -> WaferCounts:
    return WaferCounts(sites, sites // 20)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_simulated_lots_keep_the_promise(case: Case):
    assert design(case.plan).keeps_promise
    outcome = simulate(case, 300, seed=1)
    assert outcome.good_kept(case.plan) and outcome.bad_kept(case.plan), outcome


def test_the_naive_test_breaks_its_promise_where_wafers_differ():
    case = naive()
    assert not simulate(case, 400, seed=1).good_kept(case.plan)


@pytest.mark.parametrize("rho", [0.0, 0.02, 0.3])
def test_the_evidence_of_one_wafer_is_the_ratio_of_scipys_probabilities(rho: float):
    plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=50, clustering=rho)
    for k in (0, 1, 7, 50):
        if rho:
            size = (1 - rho) / rho
            expected = betabinom(50, 0.05 * size, 0.95 * size).logpmf(k) - betabinom(
                50, 0.01 * size, 0.99 * size
            ).logpmf(k)
        else:
            expected = binom(50, 0.05).logpmf(k) - binom(50, 0.01).logpmf(k)
        assert log_ratio(plan, 50, k) == pytest.approx(expected, abs=1e-9)


@given(
    st.sampled_from([0.0, 0.05, "any"]), st.integers(1, 60), st.floats(0.002, 0.2), st.floats(1.2, 4.0),
    st.floats(0.0, 1.0),
)  # fmt: skip
@settings(max_examples=60, deadline=None, derandomize=True)
def test_on_a_good_wafer_evidence_is_not_expected_to_grow(
    clustering: float | str, sites: int, rate: float, factor: float, share: float
):
    plan = LotPlan(
        good_rate=rate, bad_rate=min(rate * factor, 0.9), sites_per_wafer=sites, clustering=clustering
    )
    actual, k = rate * share, np.arange(sites + 1)
    if clustering == 0.05:
        size = 0.95 / 0.05
        p = betabinom(sites, max(actual, 1e-9) * size, (1 - actual) * size).pmf(k)
    else:
        p = binom(sites, actual).pmf(k)
    mean = sum(q * math.exp(log_ratio(plan, sites, int(i))) for i, q in zip(k, p, strict=True))
    assert mean <= 1 + 1e-6


def test_a_good_lot_goes_and_a_bad_one_stops_with_reasons_in_words():
    verdict = decide_lot(PLAN, [good()] * 10)
    assert verdict.action is Action.GO and verdict.cleared and "20 of 2000 judged sites" in verdict.reasons[0]
    verdict = decide_lot(PLAN, [good()] * 5 + [bad()] * 3)
    assert verdict.action is Action.STOP and "at most once in" in verdict.reasons[0]


def test_a_stopped_lot_stays_stopped():
    wafers = [bad()] * 3 + [WaferCounts(200, 0)] * 20
    assert decide_lot(PLAN, wafers).action is Action.STOP


def test_the_verdict_on_a_running_lot_does_not_wait_for_the_wafers_end():
    running = WaferCounts(150, 25, finished=False)
    assert decide_lot(PLAN, [good(), running]).action is Action.STOP
    assert decide_wafer(PLAN, running).action is Action.STOP
    any_plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200, clustering="any")
    assert (
        decide_lot(any_plan, [good(), running]).action is Action.GO
    )  # nothing is known of the other 50 sites


def test_between_go_and_stop_a_lot_is_held():
    actions = [decide_lot(PLAN, [WaferCounts(200, k)]).action for k in range(0, 40)]
    assert actions == sorted(actions, key=list(Action).index) and set(actions) == set(Action)


def test_a_wafer_of_which_too_little_could_be_judged_is_held():
    verdict = decide_wafer(PLAN, WaferCounts(190, 0, unjudged=10))
    assert verdict.action is Action.HOLD and "10 of 200 sites could not be judged" in verdict.reasons[0]
    assert decide_wafer(PLAN, WaferCounts(0, 0)).action is Action.HOLD
    assert decide_lot(PLAN, [good(), WaferCounts(0, 0, unjudged=200)]).action is Action.HOLD


def test_a_lot_without_a_wafer_is_held():
    verdict = decide_lot(PLAN, [])
    assert verdict.action is Action.HOLD and "no wafer: nothing is known" in verdict.reasons[0]
    assert LotMonitor(PLAN).lot().action is Action.HOLD


def test_fewer_sites_than_planned_are_told_and_the_plans_promise_is_not_claimed():
    verdict = decide_wafer(PLAN, WaferCounts(3, 0))
    assert "it has fewer judged sites than the plan's 200 (the least 3)" in verdict.reasons[-1]
    assert "does not hold" in verdict.reasons[-1]
    lot = decide_lot(PLAN, [good(), WaferCounts(3, 0), WaferCounts(50, 0), WaferCounts(9, 0, finished=False)])
    assert "2 of 4 wafers have fewer judged sites than the plan's 200 (the least 3)" in lot.reasons[-1]
    for whole in (decide_wafer(PLAN, good()), decide_lot(PLAN, [good()] * 2)):
        assert not any("fewer judged sites" in reason for reason in whole.reasons)


def test_a_ruined_wafer_is_held_where_nothing_is_assumed_about_clustering():
    plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200, clustering="any")
    assert decide_wafer(plan, WaferCounts(200, 10)).action is Action.GO
    verdict = decide_wafer(plan, WaferCounts(200, 150))
    assert verdict.action is Action.HOLD and "75.00%" in verdict.reasons[0]
    # A single one says nothing about the lot.
    assert decide_lot(plan, [WaferCounts(200, 0)] * 5 + [WaferCounts(200, 150)]).action is Action.GO


def test_killers_hold_and_stop_by_their_own_limits():
    plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200, killers=Killers(hold_at=1, stop_at=3))
    found = [decide_wafer(plan, WaferCounts(200, 3, killers=k)).action for k in range(4)]
    assert found == [Action.GO, Action.HOLD, Action.HOLD, Action.STOP]


def test_the_monitor_says_the_same_as_the_counts_and_survives_a_restart():
    rng, monitor, wafers = np.random.default_rng(3), LotMonitor(PLAN), []
    for wafer in range(6):
        hits = rng.random(200) < (0.01 if wafer < 4 else 0.06)
        for hit in hits:
            monitor.add(bool(hit))
        if wafer < 5:
            wafers.append(WaferCounts(200, int(hits.sum())))
            assert monitor.end_wafer() == decide_wafer(PLAN, wafers[-1])
            assert monitor.lot() == decide_lot(PLAN, wafers)
    running = WaferCounts(200, int(hits.sum()), finished=False)
    again = LotMonitor.from_dict(json.loads(json.dumps(monitor.to_dict())))
    assert monitor.lot() == again.lot() == decide_lot(PLAN, [*wafers, running])
    assert monitor.wafer() == decide_wafer(PLAN, running)
    monitor.add(None)
    assert monitor.running.unjudged == 1
    with pytest.raises(DataError, match="malformed"):
        LotMonitor.from_dict({"plan": PLAN.to_dict()})


@pytest.mark.parametrize(("clustering", "wafers"), [(0.0, 3), (0.02, 5)])
def test_the_design_is_what_simulated_lots_do(clustering: float, wafers: int):
    plan = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=100, clustering=clustering,
                   bad_lot_runs_at_most=wafers)  # fmt: skip
    draw = next(c.draw for c in cases() if c.plan.clustering == clustering)
    outcome = simulate(Case("", plan, draw, 0.01, 0.05, 0, (100, 100)), 1500, seed=0)
    computed = design(plan).bad_lot_stopped[wafers - 1]
    # At most what happens: other bets add a little.
    share = outcome.within / outcome.turned
    assert computed - 0.03 <= share <= computed + 0.12


def test_a_promise_that_cannot_be_kept_is_refused_with_what_would_do():
    plan = LotPlan(good_rate=0.01, bad_rate=0.03, sites_per_wafer=50, bad_lot_runs_at_most=2)
    with pytest.raises(ConfigurationError, match=r"not the promised 95\.0%: inspect") as caught:
        require_promise(plan)
    words = str(caught.value).split()
    sites = int(words[words.index("inspect") + 1])
    fits = LotPlan(good_rate=0.01, bad_rate=0.03, sites_per_wafer=sites, bad_lot_runs_at_most=2)
    assert require_promise(fits).keeps_promise


def test_dear_stops_make_them_rarer_and_dear_wafers_more_frequent():
    def best(stop: float, wafer: float) -> LotPlan:
        return cheapest_plan(
            LotPlan(good_rate=0.01, bad_rate=0.03, sites_per_wafer=600, costs=Costs(stop, wafer, 0.02))
        )

    dear_stop, dear_wafer = best(1e6, 100), best(1e3, 1e5)
    assert dear_stop.good_lot_stopped_once_in > dear_wafer.good_lot_stopped_once_in
    for plan in (dear_stop, dear_wafer):
        for other in (20.0, 1000.0, 100_000.0):
            changed = LotPlan(
                **{**vars(plan), "good_lot_stopped_once_in": other, "good_lot_held_once_in": 10.0}
            )
            assert expected_cost(plan) <= expected_cost(changed) + 1e-9 or not design(changed).keeps_promise
    with pytest.raises(ConfigurationError, match="no costs"):
        cheapest_plan(PLAN)


def test_the_cheapest_plan_keeps_its_promise_however_dear_stops_are():
    plan = LotPlan(good_rate=0.01, bad_rate=0.03, sites_per_wafer=600, costs=Costs(1e9, 1, 0.001))
    cheapest = cheapest_plan(plan)
    require_promise(cheapest)
    rarer = replace(cheapest, good_lot_stopped_once_in=2 * cheapest.good_lot_stopped_once_in)
    assert expected_cost(rarer) < expected_cost(cheapest) and not design(rarer).keeps_promise
    with pytest.raises(ConfigurationError, match="inspect"):
        cheapest_plan(replace(plan, sites_per_wafer=20))


def test_a_plan_is_read_back_and_checked(tmp_path):
    plan = LotPlan(
        good_rate=0.01, bad_rate=0.05, sites_per_wafer=9, killers=Killers(1, 2), costs=Costs(1, 2, 0.1)
    )
    (tmp_path / "plan.json").write_text(json.dumps(plan.to_dict()))
    assert load_plan(tmp_path / "plan.json") == plan
    base = {"schema": 1, "good_rate": 0.01, "bad_rate": 0.05, "sites_per_wafer": 9}
    for change, reason in [
        ({"schema": 2}, "schema"), ({"good_rate": 0.05}, "above good_rate"), ({"good_rate": "x"}, "good_rate must be"),
        ({"typo": 1}, "unknown key 'typo'"), ({"sites_per_wafer": 0}, "from 1 to"), ({"clustering": "some"}, "any"),
        ({"good_lot_held_once_in": 1e6}, "milder"), ({"killers": {"hold": 1}}, "hold_at"), ({"costs": {}}, "costs"),
        ({"good_rate": 10**400}, "good_rate must be"), ({"sites_per_wafer": 10**7}, "from 1 to"),
        ({"wafers_per_lot": 10**6}, "from 1 to 1000"), ({"bad_lot_runs_at_most": 10**6}, "from 1 to 1000"),
        ({"bad_rate": True}, "bad_rate"), ({"clustering": 1.0}, "clustering"), ({"killers": {"hold_at": 0}}, "hold_at"),
    ]:  # fmt: skip
        with pytest.raises(ConfigurationError, match=reason):
            LotPlan.from_dict({**base, **change})
    with pytest.raises(ConfigurationError, match="bad_rate is missing"):
        LotPlan.from_dict({"schema": 1, "good_rate": 0.1, "sites_per_wafer": 3})


@pytest.mark.parametrize("counts", [(-1, 0), (3, 4), (2.5, 1), (3, 1, -1)])
def test_impossible_counts_are_refused(counts: tuple):
    with pytest.raises(DataError):
        WaferCounts(*counts)


def test_an_unfinished_wafer_stands_last():
    with pytest.raises(DataError, match="wafer 1 of the lot is unfinished"):
        decide_lot(PLAN, [WaferCounts(5, 0, finished=False), good()])


def grid(side: int = 10) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x in range(side) for y in range(side)]


def test_first_sites_are_spread_and_later_ones_look_where_a_defect_was():
    sites = grid()
    first = next_sites(sites, {}, 9)
    gaps = [math.dist(sites[a], sites[b]) for i, a in enumerate(first) for b in first[:i]]
    assert len(set(first)) == 9 and min(gaps) >= 2
    seen = dict.fromkeys(range(0, 100, 7), False) | {55: True}
    assert all(math.dist(sites[s], sites[55]) <= 2.9 for s in next_sites(sites, seen, 3))


def test_the_choice_of_sites_needs_no_memory_for_all_pairs(monkeypatch: pytest.MonkeyPatch):
    seen = dict.fromkeys(range(0, 100, 7), False) | {55: True}
    whole = next_sites(grid(), seen, 9)
    held: list[int] = []
    squared = sampling._squared

    def watched(place, others):
        for rows, block in squared(place, others):
            held.append(block.size)
            yield rows, block

    monkeypatch.setattr(sampling, "_squared", watched)
    monkeypatch.setattr(sampling, "BLOCK", 250)
    assert next_sites(grid(), seen, 9) == whole and max(held) <= 250


def test_sampling_ends_with_the_sites_and_refuses_nonsense():
    assert sorted(next_sites(grid(3), {0: False}, 99)) == list(range(1, 9))
    assert next_sites([(0.0, 0.0)], {}, 2) == [0] and next_sites(np.zeros((0, 2)), {}, 2) == []
    for bad_call in (lambda: next_sites([(0.0, math.nan)], {}, 1), lambda: next_sites(grid(2), {9: True}, 1)):
        with pytest.raises(DataError):
            bad_call()
