"""The certificate says what the sample proves, and no more."""

import json

import numpy as np
import pytest
from scipy import stats

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.gate import QualityGate


@pytest.fixture
def normals() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.lognormal(size=199), rng.lognormal(size=199)


def certify(normals: tuple[np.ndarray, np.ndarray], gate: QualityGate, **given: object) -> dict:
    return calibrate_policy(*normals, gate, RouterConfig(), **given)[1]


def test_rates_on_normals_are_the_exact_beta_intervals(normals: tuple, gate: QualityGate) -> None:
    certificate = certify(normals, gate)
    for name, order in (("escalation", 13), ("flag", 10), ("reject", 2)):
        statement = certificate[name]
        assert statement["order"] == order
        assert statement["expected"] == order / 200
        assert statement["interval"] == pytest.approx(stats.beta(order, 200 - order).interval(0.95))
    within = stats.beta(13, 187).cdf(0.08) - stats.beta(13, 187).cdf(0.05)
    assert certificate["escalation"]["probability_within_budget"] == pytest.approx(within)


def test_without_labelled_defects_the_miss_rate_is_unknown(normals: tuple, gate: QualityGate) -> None:
    strange = np.full(500, 1e6)
    certificate = certify(normals, gate, synthetic_lowres=strange, synthetic_full=strange)
    assert certificate["fnr"]["status"] == "unknown"
    assert "upper" not in certificate["fnr"]
    assert certificate["synthetic"]["label"] == "synthetic"
    assert (certificate["synthetic"]["n"], certificate["synthetic"]["missed"]) == (500, 0)
    assert all("you have 0" in row["text"] for row in certificate["needs"])


def test_labelled_defects_bound_it_by_clopper_pearson_overall_and_by_type(
    normals: tuple, gate: QualityGate
) -> None:
    lowres = np.r_[np.full(38, 1e6), 1e-6, 1e-6]  # two scratches look normal to the low-resolution student
    types = ["particle"] * 20 + ["scratch"] * 20
    certificate = certify(
        normals, gate, defect_lowres=lowres, defect_full=np.full(40, 1e6), defect_types=types
    )
    fnr = certificate["fnr"]
    assert (fnr["status"], fnr["defects"], fnr["missed"], fnr["observed"]) == ("bounded", 40, 2, 0.05)
    golden = stats.binomtest(2, 40, alternative="less").proportion_ci(0.95, method="exact").high
    assert fnr["upper"] == pytest.approx(golden)
    assert fnr["per_type"]["particle"]["missed"] == 0
    assert fnr["per_type"]["scratch"]["escalation_rate"] == 0.9
    assert fnr["per_type"]["scratch"]["upper"] > fnr["per_type"]["particle"]["upper"]


def test_it_says_what_a_tighter_promise_needs(normals: tuple, gate: QualityGate) -> None:
    rows = certify(normals, gate)["needs"]
    assert [row["defects_without_miss"] for row in rows] == [299, 598, 2995]
    assert rows[-1]["defects_with_one_miss"] == 4742
    assert "0.1% at 95% confidence needs 2995" in rows[-1]["text"]


def test_it_names_its_sample(normals: tuple, gate: QualityGate) -> None:
    first = certify(normals, gate, sample_fingerprint="abc")
    assert first["sample"]["normals"] == 199
    assert first["sample"]["data_fingerprint"] == "abc"
    assert first["sample"]["scores_sha256"] == certify(normals, gate)["sample"]["scores_sha256"]
    changed = normals[0].copy()
    changed[0] *= 1.001
    assert certify((changed, normals[1]), gate)["sample"]["scores_sha256"] != first["sample"]["scores_sha256"]


def test_refusals_of_the_gate_are_stated_beside_the_rates(normals: tuple, gate: QualityGate) -> None:
    statement = certify(normals, gate, gate_refused=1)["gate"]
    assert (statement["refused"], statement["of"]) == (1, 200)
    golden = stats.binomtest(1, 200, alternative="less").proportion_ci(0.95, method="exact").high
    assert statement["upper"] == pytest.approx(golden)


def test_costs_follow_the_expected_rates(normals: tuple, gate: QualityGate) -> None:
    costs = certify(normals, gate)["costs"]["per_1000_normal_usd"]
    assert costs["review"] == pytest.approx(1000 * (0.05 - 0.01) * 5)
    assert costs["false_reject"] == pytest.approx(1000 * 0.01 * 18_000)


def test_it_is_strict_json(normals: tuple, gate: QualityGate) -> None:
    certificate = certify(normals, gate)
    assert json.loads(json.dumps(certificate, allow_nan=False)) == certificate
    assert certificate["schema"] == 1
    assert any("exchangeable" in sentence for sentence in certificate["assumptions"])
