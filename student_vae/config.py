"""Configuration of a student: its trunk and the likelihood of its features."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from likelihood.config import LikelihoodConfig


class StudentConfig(BaseModel):
    """Architecture of a convolutional VAE student."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    input_size: int = Field(
        256, ge=32, le=1024, description="side of the square input in pixels; 256 / input_size is whole"
    )
    map_size: int = Field(
        32, ge=8, le=128, description="side of the feature map; input_size / map_size is 2, 4, 8 or 16"
    )
    width: float = Field(1.0, gt=0, le=8, description="factor on all numbers of channels")
    channels: list[int] | None = Field(
        None,
        min_length=2,
        max_length=5,
        description="channels of each strided layer of the stem, as many as input_size / map_size has halvings, and of "
        "the branch at half the map's resolution (null: 16, 32, 48 and 64 for three halvings)",
    )
    fine_blocks: int = Field(1, ge=0, le=12, description="blocks at the map's resolution")
    deep_blocks: int = Field(1, ge=0, le=12, description="blocks at half the map's resolution")
    block: Literal["residual", "inverted"] = Field(
        "residual",
        description="residual: two 3x3 convolutions around a shortcut; inverted: 1x1, depthwise 3x3, 1x1 with more "
        "channels inside, which costs a fraction of the operations",
    )
    expansion: int = Field(2, ge=1, le=8, description="inverted blocks: factor on the channels inside")
    likelihood: LikelihoodConfig = Field(
        default_factory=LikelihoodConfig, description="the conditional Gaussian"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> StudentConfig:
        if 256 % self.input_size:
            raise ValueError(f"student.input_size={self.input_size} must divide 256 (64, 128 or 256)")
        if self.input_size / self.map_size not in (2, 4, 8, 16):
            raise ValueError("student.input_size / student.map_size must be 2, 4, 8 or 16")
        if self.channels is not None:
            if len(self.channels) != self.halvings + 1:
                raise ValueError(
                    f"student.channels has {len(self.channels)} numbers; with input_size={self.input_size} and "
                    f"map_size={self.map_size} it needs {self.halvings + 1}: {self.halvings} of the stem and one of "
                    "the deep branch"
                )
            if min(self.channels) < 1:
                raise ValueError("student.channels must be positive")
        self.likelihood.check_map(self.map_size, "student")
        return self

    @property
    def halvings(self) -> int:
        """How often the stem halves the resolution."""
        return int(math.log2(self.input_size // self.map_size))
