"""A miss rate that is asked for: certified, or refused with a table of what the sample does carry."""

import numpy as np
import pytest

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.feasible import feasible_rows
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.thresholds import scores_of
from wafer_data.errors import InputError


def images(count: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of both students, correlated; `shift` in standard deviations."""
    both = np.random.default_rng(seed).multivariate_normal([shift, 1.5 * shift], [[1, 0.6], [0.6, 1]], count)
    return np.exp(0.3 * both[:, 0]), np.exp(0.2 * both[:, 1])


def calibrate(
    gate: QualityGate, defects: int, shift: float = 4.0, **config: object
) -> tuple[RoutingPolicy, dict]:
    low, full = images(defects, shift, 1)
    return calibrate_policy(
        *images(400, 0, 0),
        gate,
        RouterConfig(**config),
        defect_lowres=low,
        defect_full=full,
        defect_types=["scratch", "stain"] * (defects // 2),
    )


def test_without_defects_the_rates_are_guaranteed_and_misses_are_unknown(gate: QualityGate) -> None:
    policy, certificate = calibrate_policy(*images(400, 0, 0), gate, RouterConfig(), defects_trained=80)
    assert certificate["fnr"]["status"] == "unknown"
    assert "80 trained the models" in certificate["fnr"]["reason"]
    assert certificate["flag"]["expected"] <= 0.05
    assert policy.reject_above is not None


@pytest.mark.parametrize("max_fnr", [0.3, 0.001])
def test_without_defects_nothing_can_be_asked_of_misses(gate: QualityGate, max_fnr: float) -> None:
    with pytest.raises(InputError, match=r"without labelled defects: at 95% confidence \d+ .* needed"):
        calibrate_policy(*images(400, 0, 0), gate, RouterConfig(max_fnr=max_fnr))


@pytest.mark.parametrize(("defects", "max_fnr"), [(40, 0.2), (200, 0.06), (3000, 0.02)])
def test_a_promise_that_the_sample_carries_is_certified(
    gate: QualityGate, defects: int, max_fnr: float
) -> None:
    policy, certificate = calibrate(gate, defects, max_fnr=max_fnr)
    fnr, escalation = certificate["fnr"], certificate["escalation"]
    assert (fnr["status"], fnr["upper"], fnr["defects"]) == ("controlled", max_fnr, defects)
    assert 1 <= fnr["thresholds_certified"] <= fnr["thresholds_tested"]
    assert 0.05 <= escalation["expected"] <= escalation["at_most"] <= 0.08
    low, full = images(200_000, 4.0, 2)
    escalated = policy.escalate(low)
    missed = np.mean(policy.decide(policy.routed_score(low, full), escalated) == "PASS")
    assert missed <= max_fnr
    assert "upper" not in fnr["per_type"]["scratch"]
    assert "worst_type_upper" not in fnr


@pytest.mark.parametrize("defects", [40, 200, 3000])
def test_without_a_promise_misses_are_counted_and_bounded(gate: QualityGate, defects: int) -> None:
    policy, certificate = calibrate(gate, defects)
    plain, _ = calibrate_policy(*images(400, 0, 0), gate, RouterConfig())
    assert (policy.escalate_above, policy.review_above) == (plain.escalate_above, plain.review_above)
    fnr = certificate["fnr"]
    assert fnr["status"] == "bounded"
    assert fnr["observed"] < fnr["upper"] < fnr["worst_type_upper"] <= 1


def test_costs_decide_with_labelled_defects_whether_anything_is_rejected(gate: QualityGate) -> None:
    policy, certificate = calibrate(gate, 200)
    assert policy.reject_above is None
    assert certificate["reject"]["status"] == "too dear"
    assert "a false reject 18000 USD" in certificate["reject"]["reason"]
    cheap, stated = calibrate(gate, 200, costs={"false_reject_usd": 1.0, "review_usd": 50.0})
    assert cheap.reject_above is not None
    assert stated["reject"]["at_most"] <= 0.01


class TestInfeasible:
    @pytest.mark.parametrize(("defects", "max_fnr"), [(40, 0.03), (200, 0.001), (3000, 0.0005)])
    def test_it_fails_with_a_table_and_the_number_that_is_needed(
        self, gate: QualityGate, defects: int, max_fnr: float
    ) -> None:
        with pytest.raises(InputError) as refused:
            calibrate(gate, defects, max_fnr=max_fnr)
        lines = str(refused.value).splitlines()
        assert f"router.max_fnr={max_fnr:g} at 95% confidence cannot be certified" in lines[0]
        assert "defects without a miss would be needed" in lines[0]
        assert [line.split()[2] for line in lines[3:-1]] == ["8.0%", "10.0%", "20.0%", "50.0%", "95.0%"]
        assert "router.escalation_budget" in lines[-1]

    def test_every_row_of_the_table_can_be_asked_for(self, gate: QualityGate) -> None:
        policy, _ = calibrate(gate, 40)
        normal, defect = (scores_of(policy, *images(*what)) for what in ((400, 0, 0), (40, 4.0, 1)))
        for row in feasible_rows(normal, defect, RouterConfig()):
            for confidence, max_fnr in row.max_fnr.items():
                asked = {
                    "escalation_budget": [0.05, row.escalation],
                    "confidence": confidence,
                    "max_fnr": max_fnr,
                }
                assert calibrate(gate, 40, **asked)[1]["fnr"]["upper"] == max_fnr

    def test_all_defects_missed_certify_nothing(self, gate: QualityGate) -> None:
        with pytest.raises(InputError, match="of 40 labelled calibration defects 40 are missed") as refused:
            calibrate(gate, 40, shift=-9.0, max_fnr=0.9)
        assert str(refused.value).splitlines()[3].split()[-4:] == ["1", "1", "1", "1"]
