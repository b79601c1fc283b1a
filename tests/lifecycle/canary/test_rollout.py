"""A rollout goes back on evidence of harm, forward only at its end, and asks a person about the rest."""

import numpy as np
import pytest

from lifecycle.canary.rollout import Rollout
from lifecycle.canary.wafers import WaferCounts
from router.canary import arm_of


def fill(rollout: Rollout, factor: float, wafers: int = 1400) -> None:
    rng = np.random.default_rng(4)
    for index in range(wafers):
        arm = arm_of("r", f"w{index}", 0.1)
        rate = 0.01 * np.exp(rng.normal(0, 0.5)) * (factor if arm == "canary" else 1)
        reject = int(rng.binomial(200, rate))
        rollout.add_wafer(WaferCounts(f"w{index}", arm, 200, reject, reject + 4, 4, 1))


def test_an_equal_version_is_promoted_at_its_end_with_what_could_have_been_missed():
    rollout = Rollout()
    fill(rollout, 1.0)
    assert rollout.look().action == "go on"
    end = rollout.end()
    assert end.action == "promote"
    assert "could have been missed" in end.text


def test_a_version_that_rejects_more_goes_back_before_the_end():
    rollout = Rollout()
    fill(rollout, 4.0)
    look = rollout.look()
    assert look.action == "roll back"
    assert "reject" in look.text


def test_a_version_that_rejects_less_is_for_a_person_to_explain():
    rollout = Rollout()
    fill(rollout, 0.1)
    assert rollout.end().action == "ask a person"


def test_misses_beyond_the_limit_send_it_back_at_once_and_say_on_what_evidence():
    rollout = Rollout()
    fill(rollout, 1.0, wafers=50)
    rollout.add_audits([True, False] * 10)
    look = rollout.look()
    assert look.action == "roll back"
    assert "10 of 20 audited true defects PASSed" in look.text


@pytest.mark.parametrize("wafers", [0, 60])
def test_a_short_rollout_is_not_promoted_by_itself(wafers: int):
    rollout = Rollout()
    fill(rollout, 1.0, wafers=wafers)
    assert rollout.end().action == "ask a person"
