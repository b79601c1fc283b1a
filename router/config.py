"""The `router` section of the configuration: rates, confidence and costs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class RouterCosts(BaseModel):
    """What decisions cost, in US dollars an image.

    They choose the REJECT threshold where labelled defects calibrate, and the REVIEW threshold among those that
    `max_fnr` certifies; otherwise they only state the expected cost.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    escape_usd: float = Field(default=12_000.0, ge=0, description="A defective wafer that is passed on.")
    false_reject_usd: float = Field(default=18_000.0, ge=0, description="A good wafer that is rejected.")
    review_usd: float = Field(default=5.0, ge=0, description="A person looking at one image.")
    defect_share: float = Field(
        default=0.01, gt=0, lt=1, description="Share of defective images in production: weighs the costs."
    )


class RouterConfig(BaseModel):
    """How `waferroute calibrate` chooses the thresholds. All rates are shares of normal images."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    escalation_target: float = Field(
        default=0.065,
        gt=0,
        lt=1,
        description="Share of normal images to send on to the full student; met as nearly as the number of "
        "calibration images allows.",
    )
    escalation_budget: list[float] = Field(
        default=[0.05, 0.08],
        min_length=2,
        max_length=2,
        description="[low, high] share that the tool can afford; the certificate says how likely it is kept.",
    )
    max_fnr: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Largest share of defects that may end as PASS, to be certified at `confidence` with labelled "
        "defects kept for calibration (data.calibration_defect_fraction). What the sample cannot carry stops the "
        "calibration. null: misses are stated, not limited.",
    )
    flag_rate: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Largest share of normal images that may end as REVIEW or REJECT.",
    )
    reject_rate: float = Field(
        default=0.01, gt=0, lt=1, description="Largest share of normal images that may end as REJECT."
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Confidence of every stated interval.")
    full_weight: float | Literal["auto"] | None = Field(
        default=None,
        description="Share of the full student's log-score in the routed score of an escalated image, in [0, 1]; "
        "the rest is the low-resolution log-score. null: half where the students answer more than where a place "
        "looks unlike itself (each then finds what the other misses), else 1. auto: chosen on synthetic anomalies "
        "and a third of the calibration images.",
    )
    costs: RouterCosts = Field(default_factory=RouterCosts, description="Costs of wrong decisions.")

    @property
    def chooses_weight(self) -> bool:
        """Whether a part of the calibration images chooses `full_weight`, and is then lost to the thresholds."""
        return self.full_weight == "auto"

    @model_validator(mode="after")
    def _check_combination(self) -> RouterConfig:
        low, high = self.escalation_budget
        if not 0 <= low <= self.escalation_target <= high <= 1:
            raise ValueError(
                "escalation_target must lie inside escalation_budget = [low, high], both between 0 and 1"
            )
        if self.flag_rate > self.escalation_target:
            raise ValueError(
                "flag_rate must not exceed escalation_target: an image that is not escalated is passed"
            )
        if self.reject_rate > self.flag_rate:
            raise ValueError("reject_rate must not exceed flag_rate: a rejected image is a flagged one")
        if not isinstance(self.full_weight, str | None) and not 0 <= self.full_weight <= 1:
            raise ValueError('full_weight must be null, "auto" or a number between 0 and 1')
        return self
