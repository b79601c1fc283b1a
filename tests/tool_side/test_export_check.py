"""What an export is compared with: decisions and routes, on images whose answer is known here by construction."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from tool_side.export.parity import ON_THRESHOLD, check_images, compare_scores
from wafer_data.errors import InputError


@pytest.fixture(scope="module")
def policy(calibrated: tuple[dict, dict]) -> RoutingPolicy:
    """Standardised scores are ten times the logarithm of raw ones; escalate above 1, review above 2, reject above 3."""
    return dataclasses.replace(
        RoutingPolicy.from_dict(calibrated[0]),
        lowres_location=0.0,
        lowres_scale=0.1,
        full_location=0.0,
        full_scale=0.1,
        escalate_above=1.0,
        full_weight=1.0,
        review_above=2.0,
        reject_above=3.0,
    )


def scores(lowres: list[float], full: list[float]) -> RouteScores:
    """From standardised to raw scores."""
    return RouteScores(np.exp(0.1 * np.array(lowres)), np.exp(0.1 * np.array(full)))


BEFORE = ([0.0, 2.0, 2.0, 2.0], [0.0, 0.0, 2.5, 4.0])
"""Passed by the small student; passed, to be reviewed, and rejected by the full one."""


def test_the_same_scores_agree(policy: RoutingPolicy) -> None:
    found = compare_scores(policy, scores(*BEFORE), scores(*BEFORE), 3)
    assert found.holds and (found.normals, found.synthetic_defects) == (3, 1)
    assert found.deviation == {"lowres": 0.0, "full": 0.0}
    assert found.on_threshold == 0


@pytest.mark.parametrize(
    ("lowres", "full", "decisions", "routes"),
    [
        ([1.5, 2, 2, 2], [0, 0, 2.5, 4], 0, 1),  # escalated now, and still passed
        ([0, 2, 2, 2], [5, 0, 2.5, 4], 0, 0),  # the full student is not asked
        ([0, 2, 2, 2], [0, 2.1, 2.5, 4], 1, 0),
        ([0, 2, 0.5, 2], [0, 0, 2.5, 4], 1, 1),  # an anomaly passed
        ([0, 2, 2, 2], [0, 0, 3.5, 2.9], 2, 0),
    ],
)
def test_what_differs_is_counted(
    policy: RoutingPolicy, lowres: list[float], full: list[float], decisions: int, routes: int
) -> None:
    found = compare_scores(policy, scores(*BEFORE), scores(lowres, full), 4)
    assert (found.decisions_differ, found.routes_differ) == (decisions, routes)
    assert found.holds is (decisions == routes == 0)


@given(st.floats(-0.9, 0.9))
@settings(max_examples=20, deadline=None)
def test_the_deviation_is_told_in_spreads(policy: RoutingPolicy, shift: float) -> None:
    moved = scores([0.0 + shift, 2.0, 2.0, 2.0], BEFORE[1])
    found = compare_scores(policy, scores(*BEFORE), moved, 4)
    assert found.holds
    assert found.deviation_spreads["lowres"] == pytest.approx(abs(shift), rel=0.06, abs=1e-9)
    assert found.deviation_spreads["full"] == 0


class TestOnAThreshold:
    def test_the_last_digit_is_no_disagreement(self, policy: RoutingPolicy) -> None:
        before = scores([1.0 - 1e-6, 2.0, 2.0], [5.0, 2.0 - 1e-6, 3.0 - 1e-6])
        after = scores([1.0 + 1e-6, 2.0, 2.0], [5.0, 2.0 + 1e-6, 3.0 + 1e-6])
        found = compare_scores(policy, before, after, 3)
        assert found.holds
        assert (found.on_threshold, found.on_threshold_differ) == (3, 3)

    def test_a_threshold_that_is_not_asked_does_not_count(self, policy: RoutingPolicy) -> None:
        one = scores([0.0], [2.0])
        assert compare_scores(policy, one, one, 1).on_threshold == 0

    def test_beside_one_it_is(self, policy: RoutingPolicy) -> None:
        before, after = scores([1 - 3 * ON_THRESHOLD], [5.0]), scores([1 + 3 * ON_THRESHOLD], [5.0])
        found = compare_scores(policy, before, after, 1)
        assert not found.holds and found.on_threshold == 0


class TestImages:
    def open_gate(self, policy: RoutingPolicy, low: float = 0.0) -> RoutingPolicy:
        content = policy.gate.to_dict()
        content["ranges"] = {name: [0.0, None] for name in content["ranges"]} | {"mean": [low, None]}
        gate = dataclasses.replace(
            QualityGate.from_dict(content), appearance=None, directions=None, mask=None
        )
        return dataclasses.replace(policy, gate=gate)

    def test_normals_first_then_the_same_with_a_defect(self, policy: RoutingPolicy, tiny_store) -> None:
        def paint(store, normals, place):
            return store.grey(int(normals[place])) + 1

        found = check_images(tiny_store, self.open_gate(policy), paint)
        normals = tiny_store.indices("calibration", label=0)
        assert found.normals == len(normals) and len(found.images) == 2 * len(normals)
        np.testing.assert_allclose(
            found.images[found.normals :] - found.images[: found.normals], 1, atol=1e-6
        )
        assert found.images.dtype == np.float32

    def test_at_most_as_many_as_asked_for(self, policy: RoutingPolicy, tiny_store) -> None:
        found = check_images(tiny_store, self.open_gate(policy), None, limit=5)
        assert found.normals == len(found.images) == 5

    def test_only_what_the_gate_admits(self, policy: RoutingPolicy, tiny_store) -> None:
        greys = [tiny_store.grey(int(i)).mean() for i in tiny_store.indices("calibration", label=0)]
        middle = float(np.median(greys))
        found = check_images(tiny_store, self.open_gate(policy, low=middle), None)
        assert found.normals < len(greys)
        assert (found.images.mean((1, 2)) > middle - 1e-3).all()

    def test_where_it_admits_none_all_are_taken(self, policy: RoutingPolicy, tiny_store) -> None:
        found = check_images(tiny_store, self.open_gate(policy, low=1.1), None)
        assert found.normals == len(tiny_store.indices("calibration", label=0))

    def test_without_any_there_is_no_export(
        self, policy: RoutingPolicy, tiny_store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(tiny_store), "indices", lambda *_, **__: np.empty(0, int))
        with pytest.raises(InputError, match="no calibration image"):
            check_images(tiny_store, policy, None)
