"""Calibration: thresholds that keep their rates on unseen images, shown by simulation, and clear refusals."""

from collections.abc import Callable

import numpy as np
import pytest

from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.gate import QualityGate
from router.policy import RoutingPolicy
from router.standardise import log_share
from wafer_data.errors import DataError, InputError

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


def correlated(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    both = rng.multivariate_normal([0, 1], [[1, 0.6], [0.6, 1]], count)
    return np.exp(0.3 * both[:, 0]), np.exp(0.2 * both[:, 1])


def independent(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.lognormal(size=count), rng.gamma(3.0, size=count)


def heavy_tailed(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    common = rng.pareto(1.0, count)
    return common + rng.random(count) + 1e-3, common * rng.random(count) + 1e-3


def tied(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.binomial(12, 0.3, count) + 1.0, rng.poisson(2.0, count) + 1.0


def rates(policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray) -> tuple[float, float, float]:
    """Shares escalated, flagged (REVIEW or REJECT), rejected."""
    escalated = policy.escalate(lowres)
    decisions = policy.decide(policy.routed_score(lowres, full), escalated)
    return float(escalated.mean()), float((decisions != "PASS").mean()), float((decisions == "REJECT").mean())


def simulate(
    draw: Draw,
    count: int,
    config: RouterConfig,
    gate: QualityGate,
    repeats: int = 500,
    unseen: int = 2000,
) -> np.ndarray:
    """Rates on `unseen` fresh images of `repeats` policies, each with its own sample; (repeats, 3)."""
    rng = np.random.default_rng(7)
    synthetic = draw(rng, 50) if config.full_weight == "auto" else (None, None)
    return np.array(
        [
            rates(calibrate_policy(*draw(rng, count), gate, config, *synthetic)[0], *draw(rng, unseen))
            for _ in range(repeats)
        ]
    )


def upper(values: np.ndarray) -> np.ndarray:
    """Mean less three standard errors: what must not exceed a guaranteed mean."""
    return values.mean(0) - 3 * values.std(0) / np.sqrt(len(values))


class TestGuarantees:
    @pytest.mark.parametrize("draw", [correlated, independent, heavy_tailed, tied])
    @pytest.mark.parametrize("count", [38, 200])
    def test_mean_rates_stay_at_or_below_their_targets(
        self, gate: QualityGate, draw: Draw, count: int
    ) -> None:
        config = RouterConfig()
        found = simulate(draw, count, config, gate)
        assert (upper(found) <= [config.escalation_budget[1], config.flag_rate, config.reject_rate]).all()

    def test_without_ties_the_mean_rates_are_the_stated_ones(self, gate: QualityGate) -> None:
        rng = np.random.default_rng(0)
        _, certificate = calibrate_policy(*correlated(rng, 150), gate, RouterConfig())
        stated = [certificate[name]["expected"] for name in ("escalation", "flag", "reject")]
        found = simulate(correlated, 150, RouterConfig(), gate)
        assert (np.abs(found.mean(0) - stated) <= 4 * found.std(0) / np.sqrt(len(found))).all()

    def test_stated_intervals_hold_the_true_rates_as_often_as_they_say(self, gate: QualityGate) -> None:
        rng = np.random.default_rng(0)
        _, certificate = calibrate_policy(*correlated(rng, 150), gate, RouterConfig())
        found = simulate(correlated, 150, RouterConfig(), gate, unseen=20_000)
        for column, name in enumerate(("escalation", "flag", "reject")):
            low, high = certificate[name]["interval"]
            held = np.mean((low <= found[:, column]) & (found[:, column] <= high))
            assert held >= 0.95 - 4 * np.sqrt(0.95 * 0.05 / len(found))

    @pytest.mark.parametrize("weight", [0.5, "auto"])
    def test_blended_scores_keep_the_rates_too(self, gate: QualityGate, weight: float | str) -> None:
        config = RouterConfig(full_weight=weight)
        found = simulate(correlated, 60, config, gate, repeats=300)
        assert (upper(found) <= [config.escalation_budget[1], config.flag_rate, config.reject_rate]).all()

    def test_a_plain_quantile_breaks_the_rate_that_ours_keeps(self) -> None:
        rng = np.random.default_rng(3)
        samples = rng.normal(size=(4000, 38))
        unseen = np.sort(rng.normal(size=200_000))
        naive = np.quantile(samples, 1 - 0.065, axis=1)
        exceeded = 1 - np.searchsorted(unseen, naive) / unseen.size
        assert exceeded.mean() - 4 * exceeded.std() / np.sqrt(4000) > 0.065


class TestThresholds:
    def test_they_are_the_order_statistics_of_the_sample(self, gate: QualityGate) -> None:
        rng = np.random.default_rng(1)
        lowres, full = correlated(rng, 399)
        policy, _ = calibrate_policy(lowres, full, gate, RouterConfig())
        escalated = policy.escalate(lowres)
        assert escalated.sum() == 26 - 1  # floor(0.065 * 400) = 26th largest, strictly above
        assert (policy.routed_score(lowres, full)[escalated] > policy.review_above).sum() == 20 - 1
        assert (policy.routed_score(lowres, full)[escalated] > policy.reject_above).sum() == 4 - 1

    def test_the_order_of_the_images_does_not_matter(self, gate: QualityGate) -> None:
        lowres, full = correlated(np.random.default_rng(1), 120)
        shuffled = np.random.default_rng(2).permutation(120)
        first, _ = calibrate_policy(lowres, full, gate, RouterConfig())
        second, _ = calibrate_policy(lowres[shuffled], full[shuffled], gate, RouterConfig())
        assert first == second

    def test_a_sample_too_small_for_the_reject_rate_rejects_nothing(self, gate: QualityGate) -> None:
        policy, certificate = calibrate_policy(
            *correlated(np.random.default_rng(0), 98), gate, RouterConfig()
        )
        assert policy.reject_above is None
        assert certificate["reject"]["status"] == "unavailable"
        assert certificate["reject"]["normals_needed"] == 99
        policy, _ = calibrate_policy(*correlated(np.random.default_rng(0), 99), gate, RouterConfig())
        assert policy.reject_above is not None

    def test_scores_tied_at_the_top_still_give_a_policy_that_keeps_the_rates(self, gate: QualityGate) -> None:
        lowres = np.repeat([1.0, 2.0], [60, 40])
        full = np.random.default_rng(0).random(100) + 1
        policy, certificate = calibrate_policy(lowres, full, gate, RouterConfig())
        assert not policy.escalate(lowres).any()
        assert policy.decide(policy.routed_score([3.0], [5.0]), [True]).tolist() == ["REVIEW"]
        assert certificate["escalation"]["tied"]
        assert certificate["escalation"]["interval"][0] == 0.0
        assert "all equal" in certificate["reject"]["reason"]

    @pytest.mark.parametrize("share", [0.25, 0.5])
    def test_a_given_share_orders_images_by_their_log_scores_whatever_their_scales(
        self, gate: QualityGate, share: float
    ) -> None:
        lowres, full = correlated(np.random.default_rng(6), 200)
        full = full**3
        policy, certificate = calibrate_policy(lowres, full, gate, RouterConfig(full_weight=share))
        escalated = policy.escalate(lowres)
        mixed = share * np.log(full[escalated]) + (1 - share) * np.log(lowres[escalated])
        routed = policy.routed_score(lowres, full)[escalated]
        assert (np.argsort(mixed) == np.argsort(routed)).all()
        assert certificate["sample"]["normals"] == 200  # none is lost to the estimate of a scale
        assert log_share(policy) == pytest.approx(share)

    def test_the_full_student_alone_decides_where_nothing_is_said(self, gate: QualityGate) -> None:
        sample = correlated(np.random.default_rng(6), 60)
        given = calibrate_policy(*sample, gate, RouterConfig(full_weight=1.0))[0]
        assert calibrate_policy(*sample, gate, RouterConfig())[0] == given
        assert (given.full_weight, log_share(given)) == (1.0, 1.0)

    def test_auto_prefers_the_score_that_tells_synthetic_anomalies_apart(self, gate: QualityGate) -> None:
        rng = np.random.default_rng(5)
        lowres, full = independent(rng, 120)
        blind, seeing = independent(rng, 80)[0], rng.gamma(30.0, size=80)
        config = RouterConfig(full_weight="auto")
        assert calibrate_policy(lowres, full, gate, config, blind, seeing)[0].full_weight >= 0.75
        assert calibrate_policy(full, lowres, gate, config, seeing, blind)[0].full_weight <= 0.25


class TestRefusals:
    def test_too_few_images_names_the_number_that_is_enough(self, gate: QualityGate) -> None:
        draw = np.random.default_rng(0)
        with pytest.raises(InputError, match=r"18 calibration normals are too few .* 19 are needed"):
            calibrate_policy(*correlated(draw, 18), gate, RouterConfig())
        calibrate_policy(*correlated(draw, 19), gate, RouterConfig())
        calibrate_policy(*correlated(draw, 19), gate, RouterConfig(full_weight=0.5))
        auto, painted = RouterConfig(full_weight="auto"), correlated(draw, 30)
        with pytest.raises(InputError, match="29 are needed"):
            calibrate_policy(*correlated(draw, 28), gate, auto, *painted)
        calibrate_policy(*correlated(draw, 29), gate, auto, *painted)

    def test_a_sample_that_carries_one_escalation_flags_whatever_is_escalated(
        self, gate: QualityGate
    ) -> None:
        draw = np.random.default_rng(1)
        policy, certificate = calibrate_policy(*correlated(draw, 20), gate, RouterConfig())
        assert certificate["escalation"]["expected"] == pytest.approx(1 / 21)
        assert policy.reject_above is None
        lowres, full = correlated(draw, 2000)
        escalated = policy.escalate(lowres)
        decisions = policy.decide(policy.routed_score(lowres, np.where(escalated, full, np.nan)), escalated)
        assert 0 < (decisions == "REVIEW").sum() <= escalated.sum()

    @pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
    def test_scores_that_are_not_finite_and_positive(self, gate: QualityGate, bad: float) -> None:
        lowres, full = correlated(np.random.default_rng(0), 50)
        full[17] = bad
        with pytest.raises(InputError, match=r"full student: 1 of 50 .* position 17"):
            calibrate_policy(lowres, full, gate, RouterConfig())

    def test_unequal_lengths_half_a_pair_and_missing_synthetic_scores(self, gate: QualityGate) -> None:
        lowres, full = correlated(np.random.default_rng(0), 50)
        with pytest.raises(InputError, match="same images"):
            calibrate_policy(lowres, full[:-1], gate, RouterConfig())
        with pytest.raises(InputError, match="both students or none"):
            calibrate_policy(lowres, full, gate, RouterConfig(), lowres)
        with pytest.raises(InputError, match="needs synthetic anomalies"):
            calibrate_policy(lowres, full, gate, RouterConfig(full_weight="auto"))
        with pytest.raises(InputError, match="2 types for 50 scores"):
            calibrate_policy(
                lowres,
                full,
                gate,
                RouterConfig(),
                defect_lowres=lowres,
                defect_full=full,
                defect_types=["a", "b"],
            )

    def test_a_student_that_gives_every_image_the_same_score(self, gate: QualityGate) -> None:
        with pytest.raises(InputError, match="blind"):
            calibrate_policy(np.ones(50), np.random.default_rng(0).random(50) + 1, gate, RouterConfig())


def test_without_a_gate_nothing_is_calibrated() -> None:
    with pytest.raises(DataError, match="needs the quality gate"):
        calibrate_policy(*correlated(np.random.default_rng(0), 150), None, RouterConfig())  # type: ignore[arg-type]
