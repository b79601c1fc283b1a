"""What a novelty assessment assumes about the line."""

from dataclasses import dataclass

from wafer_data.errors import InputError

REPORTED_TODAY_DAYS = 11.0
"""How long the fab says a new type goes unnoticed today. As reported by the fab, not measured here."""


@dataclass(frozen=True)
class NoveltySettings:
    """Settings of `waferroute novelty`.

    per_type: labelled defects of each other type, at most half of it. images_per_month: of 30 days. rate: share of
    images that show the new type. false_alarms_per_month: of the monitor of the flagged rate. horizon_months: how
    long the monitor is simulated. draws: of the simulation. seed: of labels and draws.

    Raises InputError for values that make no sense.
    """

    per_type: int = 40
    images_per_month: float = 2.4e6
    rate: float = 1e-4
    false_alarms_per_month: float = 0.1
    horizon_months: float = 24.0
    draws: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 0.5:
            raise InputError(f"the rate of a new type must lie above 0 and at most at 0.5, not {self.rate}")
        if self.images_per_month < 1000:
            raise InputError(f"at least 1000 images a month are needed, not {self.images_per_month:g}")
        if not 0 < self.false_alarms_per_month <= 10:
            raise InputError(
                f"false alarms a month must lie above 0 and at most at 10, not {self.false_alarms_per_month:g}"
            )
        if self.per_type < 1 or self.draws < 100 or self.seed < 0 or self.horizon_months <= 0:
            raise InputError(
                "per_type and horizon must be positive, draws at least 100, the seed not negative"
            )
