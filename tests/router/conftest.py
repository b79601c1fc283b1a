"""Policies with known numbers."""

from collections.abc import Callable

import numpy as np
import pytest

from router.gate import QualityFigures, QualityGate, fit_gate
from router.policy import RoutingPolicy


@pytest.fixture
def gate() -> QualityGate:
    """Fitted on 50 made-up images of brightness 0.4-0.6."""
    rng = np.random.default_rng(0)
    return fit_gate(
        [
            QualityFigures(rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.2), 0.0, 0.01, rng.uniform(1, 2))
            for _ in range(50)
        ]
    )


@pytest.fixture
def make_policy(gate: QualityGate) -> Callable[..., RoutingPolicy]:
    """make_policy(**changes): z_lowres = log(score), z_full = log(score) / 2; thresholds 1, 2 and 3."""

    def make(**changes: object) -> RoutingPolicy:
        fields: dict = {
            "lowres_location": 0.0,
            "lowres_scale": 1.0,
            "full_location": 0.0,
            "full_scale": 2.0,
            "escalate_above": 1.0,
            "review_above": 2.0,
            "reject_above": 3.0,
            "gate": gate,
        }
        return RoutingPolicy(**(fields | changes))

    return make
