"""Decisions and routes are words: in JSON, in arrays and in tables."""

import json

import numpy as np
import pytest

from router import PASS, REJECT, REVIEW, STAGES, Decision, Route
from router.policy import RoutingPolicy


@pytest.mark.parametrize("word", [*Decision, *Route])
def test_they_stand_in_json_and_arrays_as_what_they_are_called(word: Decision | Route) -> None:
    assert json.loads(json.dumps([word])) == [word.value] == [str(word)]
    assert np.array([word, word]).tolist() == [word.value] * 2
    assert (np.array([word.value]) == word).all()
    assert type(word)(word.value) is word


def test_the_names_of_the_wire_stay() -> None:
    assert [PASS, REVIEW, REJECT] == ["PASS", "REVIEW", "REJECT"]
    assert [Route.NONE, *STAGES] == ["none", "lowres", "full"]


def test_the_route_is_a_list_of_stages_with_their_thresholds(make_policy) -> None:
    policy: RoutingPolicy = make_policy(escalate_above=1.5, review_above=3.0, reject_above=8.0)
    low, full = policy.stages
    assert [stage.route for stage in policy.stages] == list(STAGES)
    assert (low.pass_up_to, low.review_above) == (1.5, None)
    assert (full.pass_up_to, full.review_above, full.reject_above) == (3.0, 3.0, 8.0)
    assert (low.location, low.scale) == (policy.lowres_location, policy.lowres_scale)
