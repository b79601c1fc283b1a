"""Simulated delays against closed forms, and the monitor's false alarms against those it was designed for."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import geom, nbinom

from eval.novelty.delay import geometric_quantile, hours, simulate_first_flag, summarise
from eval.novelty.leave_one_out import FalseAlarms, HeldOut, LeaveOneOut
from eval.novelty.monitor import Monitor, design_monitor, run_length, simulate_alarm
from eval.novelty.settings import NoveltySettings
from eval.novelty.simulate import simulate
from wafer_data.errors import InputError


class TestFirstFlag:
    @pytest.mark.parametrize(("rate", "detection"), [(0.01, 0.5), (1e-4, 0.9), (1e-3, 1.0), (1.0, 0.3)])
    def test_follows_the_geometric_law_of_rate_times_detection(self, rate, detection):
        draws, _ = simulate_first_flag(rate, detection, 0.05, 40_000, np.random.default_rng(0))
        p = rate * detection
        error = 4 * math.sqrt(1 - p) / p / math.sqrt(len(draws))
        assert draws.mean() == pytest.approx(1 / p, abs=error + 1e-9)
        for quantile in (0.5, 0.95):
            bound = geom.ppf([quantile - 0.01, min(quantile + 0.01, 1)], p)
            assert bound[0] <= np.quantile(draws, quantile) <= bound[1]

    def test_the_tenth_follows_the_negative_binomial_law(self):
        draws, _ = simulate_first_flag(1e-3, 0.8, 0.05, 40_000, np.random.default_rng(1), sightings=10)
        low, high = nbinom.ppf([0.49, 0.51], 10, 8e-4) + 10
        assert low <= np.median(draws) <= high

    def test_normals_are_flagged_on_the_way_at_their_rate(self):
        draws, flags = simulate_first_flag(1e-3, 0.9, 0.05, 20_000, np.random.default_rng(2))
        assert flags.sum() / draws.sum() == pytest.approx(0.05, rel=0.01)

    def test_what_is_never_flagged_never_ends(self):
        draws, flags = simulate_first_flag(1e-3, 0.0, 0.05, 100, np.random.default_rng(0))
        delay = summarise(draws, flags, 2.4e6)
        assert np.isinf(draws).all()
        assert (delay.median_images, delay.p95_hours, delay.false_flags) == (None, None, None)

    @given(st.floats(1e-7, 0.99), st.floats(0.01, 0.99))
    def test_closed_quantiles_are_scipys(self, probability, quantile):
        found = geometric_quantile(probability, quantile)
        assert geom.cdf(found, probability) >= quantile - 1e-9
        assert found == 1 or geom.cdf(found - 1, probability) <= quantile + 1e-9

    def test_closed_quantiles_at_the_ends(self):
        assert geometric_quantile(0.0, 0.5) == math.inf
        assert geometric_quantile(1.0, 0.95) == 1

    def test_a_month_of_images_takes_720_hours(self):
        assert hours(2.4e6, 2.4e6) == 720


class TestMonitor:
    def test_has_the_false_alarms_that_it_was_asked_for(self):
        monitor = design_monitor(0.05, 0.1, 1000, 1e6, 5.0)  # one in 200 blocks
        assert run_length(monitor, 0.05) == pytest.approx(200, rel=0.03)
        ended = simulate_alarm(monitor, 0.05, 5000, 1500, np.random.default_rng(0)) / 1000
        assert ended.mean() == pytest.approx(200, rel=0.1)

    def test_a_tiny_rise_is_designed_for_as_well(self):
        monitor = design_monitor(0.03, 3e-6, 26_667, 2.4e6, 0.1)
        assert run_length(monitor, 0.03) == pytest.approx(900, rel=0.05)

    @settings(max_examples=10, deadline=None)
    @given(st.floats(0.01, 0.2), st.floats(0.05, 0.5))
    def test_alarms_come_sooner_the_more_is_flagged(self, base, rise):
        monitor = design_monitor(base, rise, 500, 1e6, 10.0)
        lengths = [run_length(monitor, base * (1 + share * rise)) for share in (0, 0.5, 1)]
        assert lengths == sorted(lengths, reverse=True)

    def test_stops_at_its_horizon(self):
        monitor = Monitor(block=100, base=0.05, shifted=0.06, limit=1e9)
        assert np.isinf(simulate_alarm(monitor, 0.05, 50, 20, np.random.default_rng(0))).all()

    def test_an_impossible_rise_is_refused(self):
        with pytest.raises(ValueError, match="cannot rise"):
            design_monitor(0.6, 1.0, 100, 1e6, 1.0)


def held(name: str, found: int, images: int, labels: int = 0) -> HeldOut:
    from eval.metrics import clopper_pearson

    return HeldOut(name, images, labels, 0.99, 0.02, found, found / images, clopper_pearson(found, images))


class TestTimeToDetection:
    def outcome(self, **more):
        alarms = FalseAlarms(200, 10, 0.05, (0.02, 0.09))
        types = [held("crack", 45, 50), held("dot", 10, 50), held("ghost", 0, 50)]
        loo = LeaveOneOut(types, None, alarms, None, "test")
        return simulate(loo, NoveltySettings(draws=4000, rate=1e-3, horizon_months=2, **more))

    def test_each_type_has_the_delay_of_its_detection_rate(self):
        times = self.outcome()
        crack, dot, ghost = times.without
        assert crack.first.median_images == pytest.approx(geometric_quantile(1e-3 * 0.9, 0.5), rel=0.06)
        assert dot.first.p95_images == pytest.approx(geometric_quantile(1e-3 * 0.2, 0.95), rel=0.06)
        assert ghost.first.median_images is None and ghost.reported_at is None
        assert dot.first_at_lower_bound > dot.first.median_images
        assert (times.easiest, times.hardest) == ("crack", "ghost")
        assert times.flags_per_month == 0.05 * 2.4e6

    def test_the_reported_days_are_kept_at_the_rate_that_is_given_for_it(self):
        crack = self.outcome().without[0]
        images = 11 * 24 / 720 * 2.4e6
        assert 1 - (1 - crack.reported_at * 0.9) ** images == pytest.approx(0.95)

    def test_a_rising_flagged_rate_is_noticed_later_than_the_first_image(self):
        crack = self.outcome().without[0]
        assert crack.alarm.median_hours > crack.first.median_hours

    def test_the_same_seed_gives_the_same_and_another_one_does_not(self):
        first, again, other = self.outcome(), self.outcome(), self.outcome(seed=1)
        assert first == again
        assert first.without[0].first != other.without[0].first

    def test_without_any_false_alarm_the_rate_is_bounded_away_from_zero(self):
        alarms = FalseAlarms(99, 0, 0.0, (0.0, 0.03))
        loo = LeaveOneOut([held("crack", 9, 10)], None, alarms, None, "test")
        times = simulate(loo, NoveltySettings(draws=200, rate=1e-3, horizon_months=1))
        assert times.flag_rate == 0.01 and not times.flag_rate_measured

    @pytest.mark.parametrize(
        "wrong",
        [
            {"rate": 0.0},
            {"rate": 0.6},
            {"images_per_month": 10},
            {"false_alarms_per_month": 0},
            {"per_type": 0},
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong):
        with pytest.raises(InputError):
            NoveltySettings(**wrong)
