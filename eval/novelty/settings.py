"""What a novelty assessment assumes about the line."""

from dataclasses import dataclass

from router.monitor import FALSE_ALARMS
from wafer_data.errors import InputError

REPORTED_TODAY_DAYS = 11.0
"""How long the fab says a new type goes unnoticed today. As reported by the fab, not measured here."""


@dataclass(frozen=True)
class NoveltySettings:
    """Settings of `waferroute novelty`.

    Attributes:
        per_type: Labelled defects of each other type, at most half of it.
        images_per_month: Of 30 days.
        rate: Share of images that show the new type.
        false_alarms: Chance of one in an epoch of the tool's monitor.
        epochs: Of it, simulated for each figure.
        draws: Of all else that is simulated.
        seed: Of labels and draws.

    Raises:
        InputError: For values that make no sense.
    """

    per_type: int = 40
    images_per_month: float = 2.4e6
    rate: float = 1e-4
    false_alarms: float = FALSE_ALARMS
    epochs: int = 50
    draws: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 0.5:
            raise InputError(f"the rate of a new type must lie above 0 and at most at 0.5, not {self.rate}")
        if self.images_per_month < 1000:
            raise InputError(f"at least 1000 images a month are needed, not {self.images_per_month:g}")
        if not 0 < self.false_alarms < 1:
            raise InputError(
                f"the chance of a false alarm must lie between 0 and 1, not {self.false_alarms:g}"
            )
        if self.per_type < 1 or self.draws < 100 or self.seed < 0 or self.epochs < 1:
            raise InputError(
                "per_type and epochs must be positive, draws at least 100, the seed not negative"
            )
