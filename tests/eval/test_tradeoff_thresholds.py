"""Other escalation thresholds: the ends are the two students, and times mix as the images do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics import image_auroc
from eval.report.promise_plot import promise_band
from eval.report.tradeoff_plot import front
from eval.tradeoff.thresholds import RouteTimes, share_threshold, threshold_points
from router.route_scores import RouteScores

TIMES = RouteTimes(low=np.full(90, 1.0), escalated=np.full(30, 5.0))


@pytest.fixture
def points(evaluation, policy):
    normal = evaluation.models["lowres"].scores[evaluation.labels == 0]
    return threshold_points(
        policy,
        evaluation.labels,
        RouteScores(evaluation.models["lowres"].scores, evaluation.models["full"].scores),
        normal,
        TIMES,
    )


def test_escalating_nothing_is_the_low_student_and_everything_the_full_one(points, evaluation):
    nothing, everything = points[0], points[-1]
    assert (nothing.share, everything.share) == (0.0, 1.0)
    for point, name in ((nothing, "lowres"), (everything, "full")):
        assert point.image_auroc == pytest.approx(
            image_auroc(evaluation.labels, evaluation.models[name].scores)
        )
    assert nothing.missed == 1.0 and nothing.share_measured == 0.0
    assert everything.share_measured == 1.0


def test_a_threshold_sends_on_the_share_that_it_was_set_for(points):
    for point in points:
        # Set on these very normals: k of n lie strictly above the (k + 1)-th largest.
        assert point.share_measured == pytest.approx(point.share, abs=2 / 190)


def test_a_share_that_the_sample_cannot_carry_is_left_out(policy):
    few = np.exp(np.linspace(1, 3, 15))
    assert share_threshold(policy, few, 0.01) is None
    assert share_threshold(policy, few, 0.5) is not None


def test_time_is_t_low_plus_share_t_full():
    assert TIMES.mean(0.25) == TIMES.typical(0.25) == pytest.approx(1.0 + 0.25 * 4.0)
    assert TIMES.quantile(0.02, 0.97) == 1.0 and TIMES.quantile(0.02, 0.99) == 5.0
    assert TIMES.quantile(0.0, 1.0) == 1.0 and TIMES.quantile(1.0, 0.01) == 5.0


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12))
def test_nothing_beats_a_point_of_the_front_and_something_beats_every_other(pairs):
    times, values = (np.array(column, float) for column in zip(*pairs, strict=True))
    kept = set(front(times, values).tolist())
    for i in range(len(pairs)):
        beaten = any(
            times[j] <= times[i] and values[j] >= values[i] and (times[j], values[j]) != (times[i], values[i])
            for j in range(len(pairs))
        )
        twin = any((times[j], values[j]) == (times[i], values[i]) for j in kept)
        assert (i in kept) <= (not beaten)
        assert beaten or twin


def test_the_band_holds_the_expectation_and_narrows_with_the_sample():
    rng = np.random.default_rng(0)
    for count, other in ((50, 500),):
        _, few, low, high = promise_band(rng.normal(size=count))
        assert ((low < few) & (few < high)).all()
        _, _, tight_low, tight_high = promise_band(rng.normal(size=other))
        assert (tight_high - tight_low).max() < (high - low).max() / 2


def test_the_band_holds_the_true_share_as_often_as_it_says():
    rng, hits = np.random.default_rng(1), 0
    from scipy.stats import norm

    for _ in range(400):
        thresholds, _, low, high = promise_band(rng.normal(size=60))
        hits += int(low[4] <= norm.sf(thresholds[4]) <= high[4])
    assert 0.92 <= hits / 400 <= 0.98
