"""Configuration of a student: its trunk, its latent and its feature likelihood."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LikelihoodConfig(BaseModel):
    """The latent-conditional Gaussian over features (`student_vae.likelihood`)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    latent: int = Field(
        128, ge=1, le=1024, description="dimension k of the latent z (fewer if there are fewer images)"
    )
    latent_grid: int = Field(
        4, ge=1, le=32, description="features are pooled to this grid before the latent is taken"
    )
    mean_grid: int = Field(
        16,
        ge=1,
        le=128,
        description="grid on which the conditional mean m + W z is held; bilinear in between",
    )
    covariance_block: int = Field(
        2, ge=1, le=32, description="positions in blocks of this side share one residual covariance"
    )
    ridge: float = Field(
        10.0, gt=0, description="ridge penalty of the regression of features on z (whitened)"
    )
    floor: float = Field(0.03, gt=0, description="added to the diagonal of every residual covariance")
    folds: int = Field(
        5, ge=2, le=20, description="cross-fitting folds: residuals come from images the mean has not seen"
    )
    top_positions: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of the map's positions, the strangest ones, whose mean is the image score",
    )

    def check_map(self, map_size: int, section: str) -> None:
        """Raise ValueError, naming the keys, if a grid does not divide the map."""
        for key in ("latent_grid", "mean_grid", "covariance_block"):
            side = getattr(self, key)
            if map_size % side:
                raise ValueError(
                    f"{section}.map_size={map_size} must be a multiple of {section}.likelihood.{key}={side}"
                )


class StudentConfig(BaseModel):
    """Architecture of a convolutional VAE student."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    input_size: int = Field(
        256, ge=32, le=1024, description="side of the square input in pixels; 256 / input_size is whole"
    )
    map_size: int = Field(
        32, ge=8, le=128, description="side of the feature map; input_size / map_size is 2, 4, 8 or 16"
    )
    width: float = Field(
        1.0, gt=0, le=8, description="factor on the number of channels (1.0: 16, 32, 48 and 64)"
    )
    fine_blocks: int = Field(1, ge=0, le=12, description="residual blocks at the map's resolution")
    deep_blocks: int = Field(1, ge=0, le=12, description="residual blocks at half the map's resolution")
    directions: int | None = Field(
        None,
        ge=1,
        le=512,
        description="keep only this many of the teacher's principal directions, the first ones, for the likelihood "
        "(default: all); imitation learns all of them, which makes the first ones better",
    )
    likelihood: LikelihoodConfig = Field(
        default_factory=LikelihoodConfig, description="the conditional Gaussian"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> StudentConfig:
        if 256 % self.input_size:
            raise ValueError(f"student.input_size={self.input_size} must divide 256 (64, 128 or 256)")
        if self.input_size / self.map_size not in (2, 4, 8, 16):
            raise ValueError("student.input_size / student.map_size must be 2, 4, 8 or 16")
        self.likelihood.check_map(self.map_size, "student")
        return self
