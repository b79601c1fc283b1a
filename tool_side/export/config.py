"""Configuration of the export."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ExportConfig(BaseModel):
    """What the bundle for the tool holds."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    int8: bool = Field(
        False,
        description="also try graphs with 8-bit convolutions (takes a minute or two); a student's goes into the bundle "
        "instead of its float graph only if no decision changes and it is faster on this computer",
    )
