"""What other router settings would have decided: calibrated again on the same calibration images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.errors.operating_point import (
    Decided,
    Model,
    decide_full,
    decide_routed,
    full_threshold,
    recalibrated,
)
from router.config import RouterConfig
from router.policy import RoutingPolicy
from router.route_scores import RouteScores
from wafer_data.errors import InputError

_RATES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.065, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Change:
    """One other setting and what it does to the test images. Shares are of all test images of a kind."""

    escalation_target: float
    flag_rate: float
    missed: int
    false_alarms: int
    passed: np.ndarray
    """(N,) bool under the change; `passed_before` without it."""
    passed_before: np.ndarray


@dataclass(frozen=True)
class Levers:
    """Tries other settings on one run; nothing is written."""

    calibration: dict[str, Any]
    policy: RoutingPolicy
    config: RouterConfig
    model: Model
    scores: RouteScores
    labels: np.ndarray
    passed: np.ndarray
    """(N,) bool under the settings of the run."""

    def escalate_more(self) -> list[Change]:
        """Higher escalation targets at the same flag rate, rising."""
        current = self.config.escalation_target
        return self._changes([(rate, self.config.flag_rate) for rate in _RATES if rate > current])

    def flag_more(self) -> list[Change]:
        """Higher flag rates, rising; the escalation target rises with them where it must."""
        current, target = self.config.flag_rate, self.config.escalation_target
        return self._changes([(max(target, 1.25 * rate), rate) for rate in _RATES if rate > current])

    def flag_less(self) -> list[Change]:
        """Lower flag rates, falling."""
        rates = [rate for rate in reversed(_RATES) if rate < self.config.flag_rate]
        return self._changes([(self.config.escalation_target, rate) for rate in rates])

    def _changes(self, settings: list[tuple[float, float]]) -> list[Change]:
        return [change for pair in settings if (change := self._try(*pair)) is not None]

    def _try(self, escalation_target: float, flag_rate: float) -> Change | None:
        """None where the calibration sample is too small for such a setting."""
        try:
            found = self._decide(escalation_target, flag_rate)
        except InputError:
            return None
        defect = self.labels == 1
        return Change(
            escalation_target=escalation_target,
            flag_rate=flag_rate,
            missed=int(np.sum(found.passed & defect)),
            false_alarms=int(np.sum(~found.passed & ~defect)),
            passed=found.passed,
            passed_before=self.passed,
        )

    def _decide(self, escalation_target: float, flag_rate: float) -> Decided:
        if self.model == "full":
            threshold = full_threshold(self.calibration, self.policy, flag_rate)
            return decide_full(self.policy, threshold, self.scores)
        low, high = self.config.escalation_budget
        config = RouterConfig(
            **self.config.model_dump(
                exclude={"escalation_target", "escalation_budget", "flag_rate", "reject_rate", "costs"}
            ),
            escalation_target=escalation_target,
            escalation_budget=[min(low, escalation_target), max(high, escalation_target)],
            flag_rate=flag_rate,
            reject_rate=min(self.config.reject_rate, flag_rate),
        )
        return decide_routed(recalibrated(self.calibration, self.policy, config), self.scores)


def first_that_changes(changes: list[Change], rows: np.ndarray, share: float = 0.5) -> Change | None:
    """The first change that turns the decision on at least `share` of `rows`; else the one that turns most; else None.

    Args:
        rows: All of them misses, or all of them false alarms.
        changes: In the order of growing cost.
    """
    if not len(rows):
        return None
    turned = [turned_by(change, rows) for change in changes]
    enough = [change for change, count in zip(changes, turned, strict=True) if count >= share * len(rows)]
    if enough:
        return enough[0]
    return changes[int(np.argmax(turned))] if turned and max(turned) > 0 else None


def turned_by(change: Change, rows: np.ndarray) -> int:
    """How many of `rows`, all errors of one kind, the change puts right."""
    passed = change.passed[rows]
    return int(np.sum(passed != change.passed_before[rows]))
