"""The fab's arithmetic, checked by hand."""

import pytest

from eval.tradeoff.config import FabConfig
from eval.tradeoff.fab import ASSUMED_RATES, Prices, System, month, today, tools_needed
from eval.tradeoff.month import compute_month, prices_of, routed_systems
from wafer_data.errors import InputError


def test_a_month_by_hand():
    system = System("made up", fnr=0.1, defects_reviewed=0.9, normals_reviewed=0.05, normals_rejected=0.01)
    found = month(system, 1_000_000, 0.001, Prices(12_000, 18_000, 5))
    assert found.defects == pytest.approx(1000)
    assert found.escapes == pytest.approx(100)
    assert found.escape_usd == pytest.approx(1_200_000)
    assert found.reviews == pytest.approx(0.05 * 999_000 + 900)
    assert found.review_usd == pytest.approx(5 * (49_950 + 900))
    assert found.false_rejects == pytest.approx(9990)
    assert found.total_usd == pytest.approx(1_200_000 + 254_250 + 9990 * 18_000)
    assert found.escapes_upper95 is None


def test_today_is_what_the_fab_reports():
    found = month(today(), 2_400_000, 0.001, Prices())
    assert found.escapes == pytest.approx(2400 * 0.083)
    assert found.reviews == pytest.approx(2_397_600 * 0.05 + 2400 * 0.917)


def test_tools_are_whole_and_busy_for_a_share_of_the_time():
    found = tools_needed(2_400_000, 720, 0.5)
    assert found.needed == 2
    assert found.busy == pytest.approx(2_400_000 / (2 * 0.5 * 3600 * 720))
    assert tools_needed(10, 720, 500).needed == 1


def test_own_prices_come_before_those_of_the_calibration():
    certificate = {"costs": {"assumed": {"escape_usd": 1.0, "review_usd": 2.0, "defect_share": 0.01}}}
    assert prices_of(certificate, {"review_usd": 3.0}) == Prices(1.0, 18_000.0, 3.0)
    assert prices_of(None, {}) == Prices()
    with pytest.raises(InputError, match="review_usd"):
        prices_of(None, {"review_usd": -1.0})


def test_the_routed_rates_are_counts_of_the_decisions(evaluation):
    everyone, calibrated = routed_systems(evaluation)
    decisions, normal = evaluation.routing.decisions, evaluation.labels == 0
    assert everyone.fnr == calibrated.fnr == (decisions[~normal] == "PASS").mean()
    assert everyone.normals_reviewed == (decisions[normal] != "PASS").mean()
    assert everyone.normals_rejected == 0
    assert calibrated.normals_rejected == (decisions[normal] == "REJECT").mean()
    assert calibrated.rejected_upper95 > calibrated.normals_rejected


def test_without_a_stated_share_three_assumed_ones_are_used_and_said_to_be(evaluation):
    found = compute_month(evaluation, [], FabConfig(), Prices())
    assert found.assumed and {one.defect_rate for one in found.months} == set(ASSUMED_RATES)
    stated = compute_month(evaluation, [], FabConfig(defect_rate=0.002), Prices())
    assert not stated.assumed and {one.defect_rate for one in stated.months} == {0.002}
    assert found.tools is None


def test_without_defects_nothing_is_computed(evaluation, without_defects):
    assert compute_month(without_defects(evaluation), [], FabConfig(), Prices()) is None
