"""What a set of synthetic micrographs looks like."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

LayoutName = Literal["line_space", "contacts", "logic"]


class MicrographConfig(BaseModel):
    """One product, seen by one tool: pattern, process variation and imaging. Lengths are in pixels.

    Grey is in [0, 1]. With the default settings every defect can be seen by a person (`defects.Severity` says
    how clearly); with much noise and blur on a fine pattern some are too faint for that, as on a real tool.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    size: int = Field(256, ge=32, le=4096, description="Side of the square images.")
    layout: LayoutName = Field(
        "line_space",
        description="line_space: upright lines. contacts: a square array of round holes. logic: wires on a "
        "grid between wide rails.",
    )
    pitch: float | None = Field(
        None,
        ge=8,
        le=256,
        description="Distance of neighbouring lines, contacts or tracks. Default: 20, or a quarter of the "
        "size of images below 80 pixels.",
    )
    fill: float = Field(
        0.5, ge=0.35, le=0.65, description="Line width (contacts: diameter) as a share of the pitch."
    )
    pattern_seed: int = Field(
        0, ge=0, description="Fixes the wiring of layout logic: the product, not the sample."
    )
    roughness: float = Field(
        0.4,
        ge=0,
        le=1.5,
        description="Line-edge roughness: standard deviation of an edge's place (Gaussian autocorrelation).",
    )
    roughness_length: float = Field(
        10.0, ge=3, le=100, description="Correlation length of the roughness along an edge."
    )
    width_variation: float = Field(
        0.3, ge=0, le=1, description="Standard deviation, from image to image, of the line width."
    )
    contrast_variation: float = Field(
        0.05, ge=0, le=0.15, description="Relative standard deviation, from image to image, of the contrast."
    )
    brightness_variation: float = Field(
        0.015, ge=0, le=0.05, description="Standard deviation, from image to image, of the mean grey."
    )
    blur_low: float = Field(0.6, ge=0.3, le=2, description="Least defocus: sigma of a Gaussian blur.")
    blur_high: float = Field(1.2, ge=0.3, le=2, description="Largest defocus; each image draws its own.")
    noise: float = Field(
        0.04,
        ge=0.002,
        le=0.06,
        description="Standard deviation of the shot-like noise at grey 0.5; its variance grows with the grey.",
    )
    line_noise: float = Field(
        0.004, ge=0, le=0.01, description="Standard deviation of the offset of each scan line."
    )
    drift: float = Field(
        0.03,
        ge=0,
        le=0.1,
        description="Uneven illumination: standard deviation of a relative field, quadratic in x and y.",
    )
    jitter: float = Field(
        2.0, ge=0, le=16, description="Largest displacement of the field of view in x and in y, either way."
    )

    @property
    def pitch_px(self) -> float:
        """The pitch, also where it follows from the size."""
        return self.pitch if self.pitch is not None else min(20.0, self.size / 4)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.blur_low > self.blur_high:
            raise ValueError("blur_low must not exceed blur_high")
        if self.blur_high > self.pitch_px / 6:
            raise ValueError(
                f"a blur_high of {self.blur_high:g} pixels wipes out a pattern of {self.pitch_px:g} pixels pitch: "
                "choose at most a sixth of the pitch"
            )
        if self.size < 3 * self.pitch_px:
            raise ValueError(
                f"size={self.size} shows fewer than three pitches of {self.pitch_px:g} pixels: "
                "choose a larger size or a smaller pitch"
            )
        return self
