"""Label-preserving augmentation of normal images."""

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator


class AugmentConfig(BaseModel):
    """Which changes leave a normal image normal. Everything is off by default, because only the user knows.

    Mirror and rotation are safe where the pattern has that symmetry and the camera could have seen it so:
    blank wafers and random texture take all of them; solar cells with busbars mirror both ways but do not
    turn by 90 degrees; printed circuits, dies with a fixed orientation and anything with text take none. A
    wrong symmetry teaches the model to accept a turned part. Brightness and contrast are safe up to the
    spread that the tool's lamps and cameras really show: beyond it, faint stains become normal.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    horizontal_flip: bool = Field(False, description="Mirror left and right in half of the cases.")
    vertical_flip: bool = Field(False, description="Mirror top and bottom in half of the cases.")
    rotate90: bool = Field(False, description="Turn by 0, 90, 180 or 270 degrees; square images only.")
    brightness: float = Field(
        0.0, ge=0, le=1, description="Largest shift of the grey value, up or down; white is 1."
    )
    contrast: float = Field(
        0.0, ge=0, lt=1, description="Largest relative change of the spread around the image's mean."
    )
    noise: float = Field(
        0.0, ge=0, le=1, description="Largest standard deviation of added pixel noise; white is 1."
    )

    @model_validator(mode="after")
    def _not_blinding(self) -> Self:
        if self.brightness > 0.5 or self.noise > 0.5:
            raise ValueError("brightness and noise above 0.5 leave little of the image to see")
        return self


def augment(image: np.ndarray, rng: np.random.Generator, config: AugmentConfig) -> np.ndarray:
    """A randomly changed copy of `image`, float32 (H, W) in [0, 1], of the same shape, type and range.

    Raises ValueError if `rotate90` meets an image that is not square.
    """
    result = image.astype(np.float32)
    if config.horizontal_flip and rng.random() < 0.5:
        result = result[:, ::-1]
    if config.vertical_flip and rng.random() < 0.5:
        result = result[::-1]
    if config.rotate90:
        if image.shape[0] != image.shape[1]:
            raise ValueError(f"rotate90 needs square images, not {image.shape[0]} x {image.shape[1]}")
        result = np.rot90(result, int(rng.integers(4)))
    if config.contrast:
        mean = result.mean()
        result = mean + np.float32(1 + rng.uniform(-config.contrast, config.contrast)) * (result - mean)
    if config.brightness:
        result = result + np.float32(rng.uniform(-config.brightness, config.brightness))
    if config.noise:
        strength = np.float32(rng.uniform(0, config.noise))
        result = result + strength * rng.standard_normal(result.shape, dtype=np.float32)
    return np.ascontiguousarray(np.clip(result, 0, 1), dtype=np.float32)
