"""The final look: wafers are compared, not images, and equal versions are seldom called different."""

import numpy as np
import pytest
from scipy.stats import norm

from lifecycle.canary.final import compare, permuted_sums
from lifecycle.canary.wafers import Table, WaferCounts
from router.canary import CANARY, PRODUCTION, arm_of

IMAGES = 200


def week(rng: np.random.Generator, factor: float = 1.0, wafers: int = 1400, share: float = 0.1) -> Table:
    """Wafers of lots whose defect rates differ; the canary's rate is `factor` times production's."""
    canary = np.array([arm_of(str(rng.random()), f"w{i}", share) == CANARY for i in range(wafers)])
    log_rate = np.repeat(rng.normal(0, 0.5, wafers // 25), 25) + rng.normal(0, 0.5, wafers)
    rate = np.clip(0.01 * np.exp(log_rate) * np.where(canary, factor, 1.0), 0, 1)
    reject = rng.binomial(IMAGES, rate)
    flagged = reject + rng.binomial(IMAGES - reject, 0.02)
    reviewed, overridden = flagged, rng.binomial(flagged, 0.3)
    trials = np.c_[np.full(wafers, IMAGES), np.full(wafers, IMAGES), reviewed]
    return Table(canary, trials.astype(float), np.c_[reject, flagged, overridden].astype(float))


def image_level_p(table: Table) -> float:
    """The two-proportion z-test that takes images for independent."""
    n1, n2 = table.trials[~table.canary, 0].sum(), table.trials[table.canary, 0].sum()
    k1, k2 = table.events[~table.canary, 0].sum(), table.events[table.canary, 0].sum()
    pooled = (k1 + k2) / (n1 + n2)
    z = (k2 / n2 - k1 / n1) / np.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    return float(2 * norm.sf(abs(z)))


def test_equal_versions_are_called_different_as_often_as_promised_and_images_far_more_often():
    rng = np.random.default_rng(5)
    weeks = [week(rng) for _ in range(150)]
    ours = sum(compare(w, level=0.05, permutations=399).verdict == "different" for w in weeks)
    naive = sum(image_level_p(w) < 0.05 for w in weeks)
    assert ours <= 150 * 0.05 + 3 * (150 * 0.05 * 0.95) ** 0.5
    assert naive > 150 * 0.2


def test_twice_the_reject_rate_is_found():
    found = compare(week(np.random.default_rng(6), factor=2.0))
    assert found.verdict == "different"
    assert found.p["reject"] < 0.001
    assert found.canary["reject"] == pytest.approx(2 * (found.production["reject"] or 0), rel=0.4)


def test_the_same_wafers_give_the_same_answer():
    table = week(np.random.default_rng(7))
    assert compare(table) == compare(table)


def test_too_few_wafers_are_not_compared():
    assert compare(week(np.random.default_rng(8), wafers=50)).verdict == "too few wafers"


def test_a_rate_without_data_takes_no_part():
    table = week(np.random.default_rng(9))
    nobody = Table(table.canary, table.trials * [1, 1, 0], table.events * [1, 1, 0])
    found = compare(nobody)
    assert found.p["overridden"] == 1.0
    assert found.canary["overridden"] is None
    assert found.margins["overridden"] is None


def test_a_wafer_of_both_arms_voids_the_comparison():
    rows = [WaferCounts("w1", arm, 200, 1, 2) for arm in (PRODUCTION, CANARY)]
    with pytest.raises(ValueError, match="both arms"):
        Table.of(rows)


def test_more_events_than_images_are_refused():
    with pytest.raises(ValueError, match="more events"):
        Table.of([WaferCounts("w1", CANARY, 10, 11, 11)])


@pytest.mark.parametrize("chosen", [3, 17])
def test_permuted_sums_have_the_moments_of_drawing_without_replacement(chosen: int):
    values = np.random.default_rng(1).normal(2, 1, (20, 1))
    sums = permuted_sums(values, chosen, 20_000, np.random.default_rng(2))
    variance = chosen * values.var(ddof=1) * (1 - chosen / 20)
    assert sums.mean() == pytest.approx(chosen * values.mean(), abs=5 * (variance / 20_000) ** 0.5)
    assert sums.var() == pytest.approx(variance, rel=0.05)
