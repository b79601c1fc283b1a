"""Looking after every wafer costs nothing: the tests stay valid."""

import numpy as np
import pytest

from lifecycle.canary.guardrail import ArmsTest, MissEvidence


def first_look_that_differs(rng: np.random.Generator, factor: float, wafers: int, level: float) -> int | None:
    test = ArmsTest(0.1)
    for index in range(wafers):
        canary = bool(rng.random() < 0.1)
        rate = 0.01 * np.exp(rng.normal(0, 0.7) + 0.5 * np.sin(index / 100)) * (factor if canary else 1)
        test.update(rng.binomial(200, min(rate, 1)) / 200, canary)
        if test.differs(level):
            return index
    return None


def test_equal_versions_are_seldom_called_different_however_often_one_looks():
    rng = np.random.default_rng(0)
    assert sum(first_look_that_differs(rng, 1.0, 700, 0.1) is not None for _ in range(60)) <= 6 + 7


def test_twice_the_rate_is_found_within_days():
    rng = np.random.default_rng(1)
    found = [first_look_that_differs(rng, 2.0, 2800, 0.002) for _ in range(5)]
    assert None not in found
    assert np.median([f for f in found if f is not None]) < 1200


def test_a_canary_of_all_or_no_wafers_cannot_be_compared():
    with pytest.raises(ValueError, match="share"):
        ArmsTest(1.0)


class TestMisses:
    def test_a_miss_rate_far_above_the_limit_is_shown(self):
        evidence = MissEvidence(0.01)
        for index in range(400):
            evidence.update(index % 10 == 0)
        report = evidence.report()
        assert report.verdict == "above"
        assert report.low > 0.01
        assert "40 of 400" in report.text

    def test_few_defects_show_nothing_in_either_direction(self):
        evidence = MissEvidence(0.01)
        for _ in range(100):
            evidence.update(False)
        assert evidence.report().verdict == "not known"

    def test_many_defects_without_a_miss_show_that_the_rate_is_below(self):
        evidence = MissEvidence(0.01)
        for _ in range(400):
            evidence.update(False)
        assert evidence.report().verdict == "below"

    def test_a_rate_at_the_limit_is_seldom_called_above(self):
        rng, above = np.random.default_rng(3), 0
        for _ in range(200):
            evidence = MissEvidence(0.01, level=0.05)
            for missed in rng.random(1500) < 0.01:
                evidence.update(bool(missed))
            above += evidence.report().verdict == "above"
        assert above <= 200 * 0.05 + 3 * (200 * 0.05 * 0.95) ** 0.5

    def test_without_a_defect_nothing_is_known(self):
        assert MissEvidence().report().verdict == "not known"
