"""The `eval.fab` section: the line for which the report reckons, and the budgets it answers."""

from pydantic import BaseModel, ConfigDict, Field, field_validator

from eval.tradeoff.budget import parse_budget
from wafer_data.errors import InputError

DEFAULT_BUDGETS = ("50 ms", "150 ms for the lot", "10 000 images an hour")


class FabConfig(BaseModel):
    """The user's own line. Prices of wrong decisions are those of `router.costs`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    images_a_month: int = Field(default=2_400_000, ge=1, description="Images that the line takes in a month.")
    defect_rate: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the line's images that show a defect. Default: unknown; the report then reckons "
        "with three assumed shares and says so.",
    )
    hours_a_month: float = Field(
        default=720.0, gt=0, le=744, description="Hours a month in which the tools inspect."
    )
    lot: int = Field(
        default=25, ge=1, description='Images of a lot, for a budget "for the lot" that names no number.'
    )
    budgets: list[str] = Field(
        default=list(DEFAULT_BUDGETS),
        description='Budgets to answer: "50 ms", "150 ms for the lot of 200", "10 000 images an hour".',
    )

    @field_validator("budgets")
    @classmethod
    def _readable(cls, budgets: list[str]) -> list[str]:
        for text in budgets:
            try:
                parse_budget(text)
            except InputError as error:
                raise ValueError(str(error)) from error
        return budgets
