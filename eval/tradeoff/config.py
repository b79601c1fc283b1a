"""The `eval.fab` section: the line whose month the report computes, and the time budgets it answers."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from eval.tradeoff.budget import Budget

Milliseconds = Annotated[float, Field(gt=0)]


class FabConfig(BaseModel):
    """The user's own line. Prices of wrong decisions are those of `router.costs`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    images_per_month: int = Field(
        default=2_400_000, ge=1, description="Images that the line takes in a month."
    )
    defect_rate: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of the line's images that show a defect. Default: unknown; the report then computes "
        "with three assumed shares and says so.",
    )
    hours_per_month: float = Field(
        default=720.0, gt=0, le=744, description="Hours a month in which the tools inspect."
    )
    lot_images: int = Field(default=25, ge=1, description="Images of a lot.")
    image_ms: list[Milliseconds] = Field(
        default=[50.0],
        description="Time budgets to answer, in milliseconds: each image is decided within it, 99 times in 100.",
    )
    lot_ms: list[Milliseconds] = Field(
        default=[150.0],
        description="Time budgets for a whole lot to answer, in milliseconds, by the mean time.",
    )
    images_per_hour: list[Annotated[float, Field(gt=0)]] = Field(
        default=[10_000.0], description="Rates to answer: images an hour, by the mean time."
    )

    @property
    def all_budgets(self) -> list[Budget]:
        """One a figure given."""
        return [
            *(Budget("image", one) for one in self.image_ms),
            *(Budget("lot", one, self.lot_images) for one in self.lot_ms),
            *(Budget("rate", per_second=one / 3600) for one in self.images_per_hour),
        ]
