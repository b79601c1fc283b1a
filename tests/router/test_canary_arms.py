"""A wafer's arm follows from its id alone."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.canary import CANARY, PRODUCTION, arm_of, position

WAFERS = [f"WF-2026-{i:06d}" for i in range(20_000)]


def test_the_share_of_wafers_is_the_one_asked_for():
    canary = sum(arm_of("rollout-7", wafer, 0.1) == CANARY for wafer in WAFERS)
    assert abs(canary - 2000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5


def test_raising_the_share_keeps_the_wafers_that_were_in_the_canary():
    small, large = ({w for w in WAFERS if arm_of("rollout-7", w, share) == CANARY} for share in (0.1, 0.2))
    assert small < large


def test_another_rollout_draws_other_wafers():
    first, second = ({w for w in WAFERS if arm_of(salt, w, 0.1) == CANARY} for salt in ("a", "b"))
    assert len(first & second) < 0.2 * len(first)


def test_every_process_agrees_whatever_its_hash_seed():
    code = "from router.canary import position; print(position('s', 'WF-1'))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert said == {f"{position('s', 'WF-1')}\n"}


@given(st.text(), st.text())
def test_any_text_is_an_id(salt: str, wafer: str):
    assert 0 <= position(salt, wafer) < 1
    assert arm_of(salt, wafer, 0.0) == PRODUCTION


@pytest.mark.parametrize("nameless", [None, ""])
def test_an_image_without_a_wafer_stays_with_production(nameless: str | None):
    assert arm_of("s", nameless, 1.0) == PRODUCTION


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_an_impossible_share_is_refused(share: float):
    with pytest.raises(ValueError, match="share"):
        arm_of("s", "w", share)
