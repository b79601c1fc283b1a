"""The monitor: it stays quiet while nothing changes, and says what did."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.monitor import Monitor, Reference
from router.monitor_reference import reference_of
from router.monitor_tests import ExchangeabilityTest, RateTest
from router.policy import RoutingPolicy
from wafer_data.errors import InputError


@dataclass
class Result:
    route: str
    lowres_score: float | None = None


CERTIFICATE = {"escalation": {"budget": [0.05, 0.08]}, "gate": {"refused": 1, "of": 300}}


def results(z: np.ndarray, threshold: float = 1.0) -> list[Result]:
    return [Result("full" if value > threshold else "lowres", float(np.exp(value))) for value in z]


@pytest.fixture
def monitor(make_policy: Callable[..., RoutingPolicy]) -> Monitor:
    """Calibrated on 300 log-scores from a normal law of spread 0.6; 1 in 21 is above the threshold, 1."""
    scores = np.exp(np.random.default_rng(0).normal(0, 0.6, 300))
    return Monitor(make_policy(), Reference(tuple(scores), (0.02, 0.1), 0.02), epoch=3000)


class TestRateTest:
    @settings(max_examples=30, deadline=None)
    @given(limit=st.floats(0.001, 0.9), share=st.floats(0, 1))
    def test_wealth_does_not_grow_on_average_while_the_rate_is_allowed(
        self, limit: float, share: float
    ) -> None:
        for above, rate in ((True, limit * share), (False, limit + (1 - limit) * share)):
            hit, miss = RateTest(limit, above=above), RateTest(limit, above=above)
            hit.update(True)
            miss.update(False)
            assert rate * np.exp(hit.log_wealth) + (1 - rate) * np.exp(miss.log_wealth) <= 1 + 1e-9

    def test_a_rate_beyond_the_limit_is_found(self) -> None:
        for above, rate in ((True, 0.15), (False, 0.005)):
            test, rng = RateTest(0.05, above=above), np.random.default_rng(0)
            for _ in range(1000):
                test.update(bool(rng.random() < rate))
            assert test.log_wealth > np.log(1000)

    def test_false_alarms_are_as_rare_as_stated(self) -> None:
        rng, alarms = np.random.default_rng(1), 0
        for _ in range(100):
            test = RateTest(0.1, above=True)
            for event in rng.random(500) < 0.1:
                test.update(bool(event))
                if test.log_wealth >= np.log(10):
                    alarms += 1
                    break
        assert alarms <= 17  # 10 % at most; 17 of 100 would be a chance of 1 %

    def test_a_limit_that_is_no_rate(self) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            RateTest(0.0, above=True)


class TestExchangeabilityTest:
    def test_false_alarms_are_as_rare_as_stated_whatever_the_law(self) -> None:
        rng, alarms = np.random.default_rng(2), 0
        for number in range(100):
            draw = rng.standard_t(2, 400) if number % 2 else np.round(rng.normal(size=400), 1)
            test = ExchangeabilityTest(draw[:100], rng)
            for value in draw[100:]:
                test.update(float(value))
                if test.log_wealth >= np.log(10):
                    alarms += 1
                    break
        assert alarms <= 17

    @pytest.mark.parametrize(("shift", "spread"), [(0.7, 1.0), (-0.7, 1.0), (0.0, 2.0), (0.0, 0.4)])
    def test_values_that_moved_or_spread_are_found(self, shift: float, spread: float) -> None:
        rng = np.random.default_rng(3)
        test = ExchangeabilityTest(rng.normal(size=200), rng)
        for value in rng.normal(shift, spread, 400):
            test.update(float(value))
        assert test.log_wealth > np.log(100)

    def test_reset_forgets(self) -> None:
        test = ExchangeabilityTest([1.0, 2.0], np.random.default_rng(0))
        for _ in range(50):
            test.update(9.0)
        test.reset()
        assert test.log_wealth == pytest.approx(0)


class TestMonitor:
    def test_quiet_while_nothing_changes(self, monitor: Monitor) -> None:
        for result in results(np.random.default_rng(4).normal(0, 0.6, 2500)):
            assert monitor.update(result) == []
        status = monitor.status()
        assert status["images"] == 2500 and status["alarms"] == []
        assert 0.02 < status["escalated"] < 0.08

    def test_scores_that_drift_are_said_once_an_epoch(self, monitor: Monitor) -> None:
        z = np.minimum(np.random.default_rng(5).normal(0.3, 0.6, 5000), 0.99)
        found = [alarm for result in results(z) for alarm in monitor.update(result) if alarm.what == "scores"]
        assert len(found) == 2 and found[0].image < 500 and 3000 < found[1].image < 3500
        assert "calibrate again" in found[0].text

    def test_many_defects_are_an_alarm_of_the_escalation_and_no_drift(self, monitor: Monitor) -> None:
        z = np.random.default_rng(6).normal(0, 0.6, 1500)
        z[::5] = 3.0
        whats = {alarm.what for result in results(z) for alarm in monitor.update(result)}
        assert whats == {"escalation high"}

    def test_images_that_cannot_be_judged(self, monitor: Monitor) -> None:
        fine = results(np.random.default_rng(7).normal(0, 0.6, 300))
        whats = [a.what for result in fine for r in (result, Result("none")) for a in monitor.update(r)]
        assert whats == ["unjudged"]

    def test_a_camera_that_shows_less(self, monitor: Monitor) -> None:
        whats = {a.what for result in results(np.full(800, -0.1)) for a in monitor.update(result)}
        assert whats == {"escalation low", "scores"}

    def test_status_is_json_and_the_same_stream_gives_the_same(
        self, make_policy: Callable[..., RoutingPolicy]
    ) -> None:
        reference = Reference((0.5, 1.0, 1.0, 1.0, 2.0), (0.0, 1.0), 1.0)
        both = [Monitor(make_policy(), reference) for _ in range(2)]
        for result in results(np.zeros(50)):
            for one in both:
                one.update(result)
        assert json.dumps(both[0].status()) == json.dumps(both[1].status())
        assert set(both[0].status()["towards_alarm"]) == {"scores"}  # no rate beyond 0 and 1

    def test_impossible_settings(self, make_policy: Callable[..., RoutingPolicy]) -> None:
        with pytest.raises(InputError, match="false_alarms"):
            Monitor(make_policy(), Reference((), (0.0, 0.1), 0.1), false_alarms=0)


class TestReference:
    @pytest.fixture
    def scores(self) -> np.ndarray:
        """19 of 300 above the threshold of the policy, 1."""
        return np.exp(np.r_[np.linspace(-1, 0.9, 281), np.full(19, 2.0)])

    def test_survives_json(self, make_policy: Callable[..., RoutingPolicy], scores: np.ndarray) -> None:
        reference = reference_of(scores, make_policy(), CERTIFICATE)
        assert Reference.from_dict(json.loads(json.dumps(reference.to_dict()))) == reference

    def test_limits_hold_the_rates_of_the_sample_with_room(
        self, make_policy: Callable[..., RoutingPolicy], scores: np.ndarray
    ) -> None:
        reference = reference_of(scores, make_policy(), CERTIFICATE)
        assert 0.02 < reference.escalation[0] < 0.04 and 0.1 < reference.escalation[1] < 0.14
        assert 0.01 < reference.unjudged < 0.04

    def test_many_scores_are_thinned_by_place(self, make_policy: Callable[..., RoutingPolicy]) -> None:
        scores = np.exp(np.random.default_rng(0).normal(size=10_000))
        kept = reference_of(scores, make_policy(), CERTIFICATE).scores
        assert len(kept) == 2000 and kept[0] == scores[0] and kept[-1] == scores[-1]

    @pytest.mark.parametrize(
        "change", [{"schema": 2}, {"lowres": [0.0]}, {"escalation": [0.5, 0.1]}, {"unjudged": "x"}]
    )
    def test_damaged(self, change: dict) -> None:
        good = Reference((1.0,), (0.01, 0.1), 0.1).to_dict()
        with pytest.raises(InputError, match="monitor"):
            Reference.from_dict(good | change)

    def test_a_certificate_without_limits(
        self, make_policy: Callable[..., RoutingPolicy], scores: np.ndarray
    ) -> None:
        with pytest.raises(InputError, match="calibrate again"):
            reference_of(scores, make_policy(), {})
