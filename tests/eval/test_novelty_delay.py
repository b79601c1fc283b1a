"""Simulated delays against closed forms, and the tool's monitor on made-up streams."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import geom, nbinom

from eval.novelty.alarms import Alarms, Stream, images_until, noticed, simulate_epochs
from eval.novelty.delay import geometric_quantile, hours, simulate_first_flag, summarise
from eval.novelty.leave_one_out import FalseAlarms, HeldOut, LeaveOneOut, Streams
from eval.novelty.settings import NoveltySettings
from eval.novelty.simulate import simulate
from router.monitor import EPOCH, Reference
from router.route_scores import RouteScores
from tests.eval.conftest import POLICY
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


def stream(escalated: dict[str, float], seed: int = 0) -> Stream:
    """200 normals and 50 images of each type, of whom such shares are escalated; the monitor expects 5 to 8 %."""
    rng = np.random.default_rng(seed)
    counts = {"normal": 200, **dict.fromkeys([name for name in escalated if name != "normal"], 50)}
    full = np.concatenate([np.arange(n) < round(escalated[name] * n) for name, n in counts.items()])
    lowres = np.exp(2 + 0.1 * np.where(full, rng.uniform(2, 3, len(full)), rng.uniform(-2, 1, len(full))))
    ends = np.cumsum([0, *counts.values()])
    places = {name: np.arange(a, b) for name, a, b in zip(counts, ends[:-1], ends[1:], strict=True)}
    scores = RouteScores(lowres, np.full(len(full), np.exp(3.5)))
    reference = Reference(tuple(np.exp(2 + 0.1 * rng.uniform(-2, 1, 300))), (0.05, 0.08), 0.02)
    return Stream(POLICY, reference, scores, scores.under(POLICY), places.pop("normal"), places)


class TestMonitor:
    """The tool's own, on made-up streams."""

    def test_normals_within_the_limits_raise_no_more_alarms_than_it_promises(self):
        found = simulate_epochs(stream({"normal": 0.06}), None, 0.0, 12, 0.01, 0)
        assert found.interval[0] <= 0.01
        assert not noticed(found, found, 0.01)

    def test_a_frequent_type_raises_the_escalation_and_is_noticed(self):
        both = stream({"normal": 0.06, "crack": 1.0})
        found, without = (simulate_epochs(both, kind, 0.2, 6, 0.01, 0) for kind in ("crack", None))
        assert found.chance == 1.0 and found.watched["escalation high"] == 6
        assert noticed(found, without, 0.01)
        draws = images_until(found, 1000, np.random.default_rng(0))
        assert set(draws) <= set(found.places) and draws.max() < EPOCH

    def test_an_alarm_in_some_epochs_comes_after_a_geometric_number_of_them(self):
        found = Alarms(epochs=4, places=(1000,), expected_images=1.0, watched={})
        draws = images_until(found, 40_000, np.random.default_rng(0))
        assert (draws.mean() - 1000) / EPOCH == pytest.approx(3.0, rel=0.05)
        assert np.isinf(images_until(replace(found, places=()), 5, np.random.default_rng(0))).all()

    def test_where_it_sounds_without_the_type_as_well_it_tells_nothing(self):
        drifted = stream({"normal": 0.5, "crack": 1.0})
        found, without = (simulate_epochs(drifted, kind, 0.2, 6, 0.01, 0) for kind in ("crack", None))
        assert found.chance == without.chance == 1.0
        assert not noticed(found, without, 0.01)


def held(name: str, found: int, images: int, labels: int = 0) -> HeldOut:
    from eval.metrics import clopper_pearson

    return HeldOut(name, images, labels, 0.99, 0.02, found, found / images, clopper_pearson(found, images))


class TestTimeToDetection:
    def outcome(self, **more):
        alarms = FalseAlarms(200, 10, 0.05, (0.02, 0.09))
        types = [held("crack", 45, 50), held("dot", 10, 50), held("ghost", 0, 50)]
        loo = LeaveOneOut(types, None, alarms, None, "test")
        given = NoveltySettings(draws=4000, rate=1e-3, epochs=1, **more)
        names = {"normal": 0.06, "crack": 0.9, "dot": 0.2, "ghost": 0.06}
        return simulate(loo, Streams(stream(names), []), given)

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

    def test_the_same_seed_gives_the_same_and_another_one_does_not(self):
        first, again, other = self.outcome(), self.outcome(), self.outcome(seed=1)
        assert first == again
        assert first.without[0].first != other.without[0].first

    def test_without_any_false_alarm_the_rate_is_bounded_away_from_zero(self):
        alarms = FalseAlarms(99, 0, 0.0, (0.0, 0.03))
        loo = LeaveOneOut([held("crack", 9, 10)], None, alarms, None, "test")
        streams = Streams(stream({"normal": 0.06, "crack": 0.9}), [])
        times = simulate(loo, streams, NoveltySettings(draws=200, rate=1e-3, epochs=1))
        assert times.flag_rate == 0.01 and not times.flag_rate_measured

    @pytest.mark.parametrize(
        "wrong",
        [
            {"rate": 0.0},
            {"rate": 0.6},
            {"images_per_month": 10},
            {"false_alarms": 0.0},
            {"per_type": 0},
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, wrong):
        with pytest.raises(InputError):
            NoveltySettings(**wrong)
