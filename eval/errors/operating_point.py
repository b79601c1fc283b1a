"""What the calibrated thresholds decide on every image, for the routed system or the full student alone."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from eval.routing import decide
from router.bounds import exceedance_order, kth_largest
from router.calibrate import calibrate_policy
from router.config import RouterConfig
from router.policy import PASS, REVIEW, RoutingPolicy
from wafer_data.errors import InputError

Model = Literal["routed", "full"]

NEVER, ESCALATED, REFUSED, ALONE = "never escalated", "escalated", "refused by the gate", "full student alone"


@dataclass(frozen=True)
class CalibrationScores:
    """Raw scores (n,) of both students on the calibration normals that the gate admits, and on synthetic anomalies."""

    lowres: np.ndarray
    full: np.ndarray
    synthetic_lowres: np.ndarray | None
    synthetic_full: np.ndarray | None

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "CalibrationScores":
        """From `router/calibration.json`. Raises `InputError` when scores are missing."""
        try:
            lowres, full = (np.asarray(content[name], dtype=np.float64) for name in ("lowres", "full"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"calibration.json lacks scores ({error}): run `waferroute calibrate`"
            ) from error
        synthetic = [content.get(f"synthetic_{name}") for name in ("lowres", "full")]
        first, second = (None if s is None else np.asarray(s, dtype=np.float64) for s in synthetic)
        return cls(lowres, full, first, second)

    def calibrated(self, policy: RoutingPolicy, config: RouterConfig) -> RoutingPolicy:
        """The policy that other settings give on the same images; `policy` lends its gate."""
        return calibrate_policy(
            self.lowres, self.full, policy.gate, config, self.synthetic_lowres, self.synthetic_full
        )[0]

    def full_threshold(self, policy: RoutingPolicy, flag_rate: float) -> float:
        """Standardised full score that at most `flag_rate` of unseen normals exceed, as an order statistic."""
        order = exceedance_order(len(self.full), flag_rate)
        if not order:
            raise InputError(
                f"{len(self.full)} calibration normals are too few for a flag rate of {flag_rate:.2%}"
            )
        return kth_largest(policy.standardise_full(self.full), order)


@dataclass(frozen=True)
class Judgement:
    """N images under one operating point.

    passed: (N,) bool. decisions: (N,) "PASS", "REVIEW" or "REJECT". routes: (N,) one of NEVER, ESCALATED, REFUSED,
    ALONE. margin: (N,) how far the score that decided lies above the threshold it met, in spreads of normal scores;
    below 0 for what passed, NaN for what was not judged. full_flags: (N,) bool, whether the full student would flag
    the image if it were asked.
    """

    passed: np.ndarray
    decisions: np.ndarray
    routes: np.ndarray
    margin: np.ndarray
    full_flags: np.ndarray


def judge_routed(
    policy: RoutingPolicy, lowres: np.ndarray, full: np.ndarray, refused: np.ndarray
) -> Judgement:
    """The routed system: raw scores (N,) of both students, and what the gate refused (N,) bool."""
    decisions, escalated, routed = decide(policy, lowres, full, refused)
    low, high = policy.standardise_lowres(lowres), policy.standardise_full(full)
    with np.errstate(invalid="ignore"):
        if_asked = policy.full_weight * high + (1 - policy.full_weight) * low
        margin = np.where(escalated, routed - policy.review_above, low - policy.escalate_above)
    return Judgement(
        passed=decisions == PASS,
        decisions=decisions,
        routes=np.where(refused, REFUSED, np.where(escalated, ESCALATED, NEVER)),
        margin=np.where(refused, np.nan, margin),
        full_flags=~(if_asked <= policy.review_above),
    )


def judge_full(policy: RoutingPolicy, threshold: float, full: np.ndarray, refused: np.ndarray) -> Judgement:
    """The full student on every image, flagged above the standardised `threshold`."""
    margin = policy.standardise_full(full) - threshold
    flagged = ~(margin <= 0)
    decisions = np.where(refused | flagged, REVIEW, PASS)
    return Judgement(
        passed=decisions == PASS,
        decisions=decisions,
        routes=np.where(refused, REFUSED, ALONE),
        margin=np.where(refused, np.nan, margin),
        full_flags=flagged,
    )
