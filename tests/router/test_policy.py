"""The routing policy: scores in, routes and decisions out."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.decision import Route
from router.policy import RoutingPolicy
from wafer_data.errors import InputError

MakePolicy = Callable[..., RoutingPolicy]
E1, E2, E3 = np.exp([1.0, 2.0, 3.0])
any_score = st.floats(width=32, allow_nan=True, allow_infinity=True)


def decide(policy: RoutingPolicy, lowres: list[float], full: list[float]) -> list[str]:
    escalated = policy.escalate(lowres)
    return policy.decide(policy.routed_score(lowres, full), escalated).tolist()


def test_scores_are_standardised_on_the_log_scale(make_policy: MakePolicy) -> None:
    policy = make_policy(lowres_location=1.0, lowres_scale=0.5)
    assert policy.standardise_lowres([np.e, np.e**2]) == pytest.approx([0.0, 2.0])
    assert policy.standardise_full([1.0, np.e**2]) == pytest.approx([0.0, 1.0])


def test_one_image_on_each_road(make_policy: MakePolicy) -> None:
    nan = float("nan")
    lowres = [1.0, E2, E2, E2]
    full = [nan, E3, E2**2.5, E3**2.5]  # z_full = 1.5, 2.5, 3.75
    assert make_policy().escalate(lowres).tolist() == [False, True, True, True]
    assert decide(make_policy(), lowres, full) == ["PASS", "PASS", "REVIEW", "REJECT"]
    assert decide(make_policy(reject_above=None), lowres, full) == ["PASS", "PASS", "REVIEW", "REVIEW"]


def test_a_score_on_a_threshold_is_not_above_it(make_policy: MakePolicy) -> None:
    policy = make_policy(full_scale=1.0)
    z = policy.standardise_lowres([E1, E2, E3])
    exact = make_policy(full_scale=1.0, escalate_above=z[0], review_above=z[1], reject_above=z[2])
    assert exact.escalate([E1, E1 * 1.0001]).tolist() == [False, True]
    assert decide(exact, [E3, E3, E3], [E2, E2 * 1.0001, E3]) == ["PASS", "REVIEW", "REVIEW"]


def test_the_routed_score_blends_only_escalated_images(make_policy: MakePolicy) -> None:
    policy = make_policy(full_weight=0.25)
    routed = policy.routed_score([1.5, E2], [float("nan"), E3])
    assert routed == pytest.approx([np.log(1.5), 0.25 * 1.5 + 0.75 * 2.0])


@settings(max_examples=200)
@given(lowres=any_score, full=any_score, weight=st.sampled_from([0.0, 0.5, 1.0]))
def test_no_image_passes_on_a_score_that_is_not_finite(lowres: float, full: float, weight: float) -> None:
    policy = RoutingPolicy.from_dict(POLICY | {"full_weight": weight})
    escalated = policy.escalate([lowres])[0]
    (decision,) = decide(policy, [lowres], [full])

    def usable(score: float) -> bool:
        return np.isfinite(score) and score > 0

    if not usable(lowres):
        assert escalated
    if not usable(lowres) or (escalated and not usable(full)):
        assert decision == "REVIEW"
    elif not escalated:
        assert decision == "PASS"


@settings(max_examples=50)
@given(
    scores=st.lists(
        st.tuples(st.floats(2**-10, 1024, width=32), st.floats(2**-10, 1024, width=32)), min_size=1
    ),
    stride=st.integers(1, 3),
)
def test_an_image_gets_the_same_road_in_any_batch(scores: list[tuple[float, float]], stride: int) -> None:
    policy = RoutingPolicy.from_dict(POLICY | {"full_weight": 0.3, "lowres_location": 0.1, "full_scale": 0.7})
    lowres, full = np.array(scores, dtype=np.float32).T
    together = policy.routed_score(lowres[::stride], full[::stride])
    alone = [
        policy.routed_score([low], [high])[0]
        for low, high in zip(lowres[::stride], full[::stride], strict=True)
    ]
    assert together.tolist() == alone


_ANY = st.one_of(st.floats(2**-10, 1024, width=32), st.sampled_from([0.0, -1.0, np.nan, np.inf]))


@given(lowres=_ANY, full=_ANY, weight=st.sampled_from([0.0, 0.3, 1.0]), reject=st.sampled_from([None, 40.0]))
def test_one_image_alone_goes_the_way_that_arrays_go(
    lowres: float, full: float, weight: float, reject: float | None
) -> None:
    policy = RoutingPolicy.from_dict(POLICY | {"full_weight": weight, "reject_above": reject})
    asked = []

    def ask(stage: Route) -> float:
        asked.append(stage)
        return lowres if stage is Route.LOWRES else full

    found = policy.route(ask)
    escalated = bool(policy.escalate([lowres])[0])
    routed = policy.routed_score([lowres], [full if escalated else np.nan])
    assert found.escalated == escalated == (asked == [Route.LOWRES, Route.FULL])
    assert found.decision == policy.decide(routed, [escalated])[0]
    np.testing.assert_array_equal(found.score, routed[0])


@given(score=st.floats(0.01, 1e4), more=st.floats(1.0, 10.0))
def test_a_more_anomalous_image_never_gets_a_milder_decision(score: float, more: float) -> None:
    policy = RoutingPolicy.from_dict(POLICY)
    order = ["PASS", "REVIEW", "REJECT"]
    mild, strange = decide(policy, [score, score * more], [score, score * more])
    assert order.index(mild) <= order.index(strange)


def test_shapes_are_kept_and_must_agree(make_policy: MakePolicy) -> None:
    policy = make_policy()
    assert policy.escalate(np.ones((2, 3))).shape == (2, 3)
    assert policy.escalate([]).shape == (0,)
    with pytest.raises(ValueError, match="differ in shape"):
        policy.routed_score([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="differ in shape"):
        policy.decide([1.0], [True, False])


def test_survives_json_bit_for_bit(make_policy: MakePolicy) -> None:
    for policy in (make_policy(escalate_above=0.1 + 0.2), make_policy(reject_above=None, full_weight=1 / 3)):
        assert RoutingPolicy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2 is not supported"),
        ({"lowres_scale": 0.0}, "lowres_scale must be positive"),
        ({"full_scale": float("inf")}, "full_scale must be finite"),
        ({"escalate_above": "1"}, "escalate_above must be a number"),
        ({"review_above": None}, "review_above must be a number"),
        ({"review_above": True}, "review_above must be a number"),
        ({"full_weight": 1.5}, r"full_weight must lie in \[0, 1\]"),
        ({"reject_above": 1.0}, "must not lie below"),
        ({"reject_above": float("nan")}, "must not lie below"),
        ({"gate": None}, "quality gate"),
        ({"speed": 1}, r"unknown keys \['speed'\]"),
    ],
)
def test_a_malformed_policy_is_refused_with_the_key(
    make_policy: MakePolicy, change: dict, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        RoutingPolicy.from_dict(make_policy().to_dict() | change)


def test_a_missing_key_and_another_type_are_refused(make_policy: MakePolicy) -> None:
    data = make_policy().to_dict()
    del data["escalate_above"]
    with pytest.raises(InputError, match=r"missing keys \['escalate_above'\]"):
        RoutingPolicy.from_dict(data)
    with pytest.raises(InputError, match="JSON object"):
        RoutingPolicy.from_dict([])


POLICY = {
    "schema": 1,
    "lowres_location": 0.0,
    "lowres_scale": 1.0,
    "full_location": 0.0,
    "full_scale": 2.0,
    "escalate_above": 1.0,
    "full_weight": 1.0,
    "review_above": 2.0,
    "reject_above": 3.0,
    "gate": {
        "schema": 3,
        "fitted_on": 10,
        "ranges": {name: [0.0, 1.0] for name in ("mean", "std", "black_share", "white_share", "sharpness")},
    },
}
