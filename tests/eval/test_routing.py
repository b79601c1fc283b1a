"""What a policy does to the test images, on scores small enough to follow by hand."""

from dataclasses import replace

import numpy as np
import pytest

from eval.metrics import clopper_pearson_upper, image_auroc
from eval.routing import measure_routing
from router.policy import RoutingPolicy
from router.route_scores import RouteScores


@pytest.fixture
def by_hand(policy: RoutingPolicy) -> RoutingPolicy:
    """Scores are exp(standardised value); escalate above 1, review above 2, reject above 3."""
    unit = {"lowres_location": 0.0, "lowres_scale": 1.0, "full_location": 0.0, "full_scale": 1.0}
    return replace(policy, **unit, escalate_above=1.0, review_above=2.0, reject_above=3.0)


LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1])
LOWRES = np.exp([0.0, 1.5, 1.5, 0.5, 0.9, 1.1, 1.1, 1.1, 5.0])
FULL = np.exp([9.0, 1.9, 2.5, 0.0, 9.0, 1.5, 2.5, 3.5, 9.0])
REFUSED = np.array([False] * 8 + [True])
SCORES = RouteScores(LOWRES, FULL, REFUSED)


def test_decisions_follow_the_route(by_hand):
    routing = measure_routing(by_hand, LABELS, SCORES)
    assert routing.routes.tolist() == ["lowres", "full", "full", "lowres", "lowres", *["full"] * 3, "none"]
    decisions = ["PASS", "PASS", "REVIEW", "PASS", "PASS", "PASS", "REVIEW", "REJECT", "REVIEW"]
    assert routing.decisions.tolist() == decisions


def test_rates_are_the_counts_over_their_class(by_hand):
    routing = measure_routing(by_hand, LABELS, SCORES)
    assert (routing.missed, routing.false_alarms) == (2, 1)
    assert (routing.fnr, routing.fpr) == (2 / 5, 1 / 4)
    assert (routing.escalation_rate_normal, routing.escalation_rate) == (2 / 4, 5 / 9)
    assert routing.fnr_upper95 == clopper_pearson_upper(2, 5)


def test_a_refused_image_ranks_as_flagged(by_hand):
    scores = SCORES.under(by_hand).ranks
    assert scores[8] == np.inf
    np.testing.assert_allclose(scores[:8], [0, 1.9, 2.5, 0.5, 0.9, 1.5, 2.5, 3.5])
    assert 0 < image_auroc(LABELS, scores) < 1


def test_a_score_that_is_not_finite_goes_to_review_and_ranks_as_flagged(by_hand):
    lowres = LOWRES.copy()
    lowres[0] = np.nan
    routed = RouteScores(lowres, FULL, REFUSED).under(by_hand)
    assert routed.decisions[0] == "REVIEW"
    assert routed.ranks[0] == np.inf


def test_the_curve_runs_from_nothing_to_everything_escalated(evaluation):
    routing = evaluation.routing
    assert routing.curve_escalation[0] == 0.0
    # One of the 190 normals is refused by the gate and cannot be escalated.
    assert routing.curve_escalation[-1] == pytest.approx(189 / 190)
    assert (np.diff(routing.curve_escalation) >= 0).all()
    assert (np.diff(routing.curve_kept) <= 0).all()
    assert (routing.curve_missed >= routing.curve_kept).all()
    assert routing.curve_kept[-1] == 0.0


def test_the_curve_passes_through_the_chosen_point(by_hand):
    routing = measure_routing(by_hand, LABELS, SCORES)
    points = set(zip(routing.curve_escalation, routing.curve_missed, strict=True))
    assert (routing.escalation_rate_normal, routing.fnr) in points


def test_without_defects_the_miss_rate_is_unknown_and_there_is_no_curve(by_hand):
    normal = LABELS == 0
    routing = measure_routing(by_hand, LABELS[normal], SCORES[normal])
    assert routing.fnr is None and routing.fnr_upper95 is None
    assert routing.fpr == 0.25
    assert len(routing.curve_escalation) == 0


def test_without_normals_the_false_alarm_rate_is_unknown(by_hand):
    defect = LABELS == 1
    routing = measure_routing(by_hand, LABELS[defect], SCORES[defect])
    assert routing.fpr is None and routing.escalation_rate_normal is None
    assert routing.fnr == 0.4
