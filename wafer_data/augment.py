"""Label-preserving augmentation of images."""

import math
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import ndimage


class AugmentConfig(BaseModel):
    """Which changes leave a normal image normal. Everything is off by default, because only the user knows.

    Mirror and rotation are safe where the pattern has that symmetry and the camera could have seen it so:
    blank wafers and random texture take all of them; solar cells with busbars mirror both ways but do not
    turn by 90 degrees; printed circuits, dies with a fixed orientation and anything with text take none. A
    wrong symmetry teaches the model to accept a turned part. Where the teacher has measured which of them the
    surface has (`teacher.symmetry`), null leaves the choice to that.

    Brightness and contrast are safe up to the spread that the tool's lamps and cameras really show; a few
    percent is what a lamp loses between two services. Beyond it a faint stain is no longer darker than what
    counts as an ordinary change of light, and so becomes normal.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    horizontal_flip: bool | None = Field(
        None,
        description="Mirror left and right in half of the cases. null: as measured where that is done, else no.",
    )
    vertical_flip: bool | None = Field(
        None,
        description="Mirror top and bottom in half of the cases. null: as measured where that is done, else no.",
    )
    rotate90: bool | None = Field(
        None,
        description="Turn by 0, 90, 180 or 270 degrees; square images only. null: as measured where that is done, "
        "else no.",
    )
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
    """A randomly changed copy of `image`, float32 (..., H, W) in [0, 1], of the same shape, type and range.

    Raises:
        ValueError: If `rotate90` meets an image that is not square.
    """
    result = mirror_and_turn(image.astype(np.float32), rng, config)
    if config.contrast:
        mean = result.mean()
        result = mean + np.float32(1 + rng.uniform(-config.contrast, config.contrast)) * (result - mean)
    if config.brightness:
        result = result + np.float32(rng.uniform(-config.brightness, config.brightness))
    if config.noise:
        strength = np.float32(rng.uniform(0, config.noise))
        result = result + strength * rng.standard_normal(result.shape, dtype=np.float32)
    return np.ascontiguousarray(np.clip(result, 0, 1), dtype=np.float32)


def mirror_and_turn(images: np.ndarray, rng: np.random.Generator, config: AugmentConfig) -> np.ndarray:
    """One of the symmetries that `config` allows, the same one for all of `images`: any type, (..., H, W).

    May be a view of `images`.

    Raises:
        ValueError: If `rotate90` meets images that are not square.
    """
    height, width = images.shape[-2:]
    if config.horizontal_flip and rng.random() < 0.5:
        images = images[..., ::-1]
    if config.vertical_flip and rng.random() < 0.5:
        images = images[..., ::-1, :]
    if config.rotate90:
        if height != width:
            raise ValueError(f"rotate90 needs square images, not {height} x {width}")
        images = np.rot90(images, int(rng.integers(4)), axes=(-2, -1))
    return images


def warp(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A copy turned by any angle, enlarged or shrunk by at most an eighth and moved by at most a tenth of its sides.

    What comes in from outside is the image's reflection. Float32 (H, W) or (3, H, W) in [0, 1], of the same shape.
    """
    angle, zoom = rng.uniform(0, math.tau), math.exp(rng.uniform(-0.125, 0.125))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / zoom
    middle = (np.array(image.shape[-2:]) - 1) / 2
    moved = middle + rng.uniform(-0.1, 0.1, 2) * image.shape[-2:]

    def warped(plane: np.ndarray) -> np.ndarray:
        return ndimage.affine_transform(
            plane.astype(np.float32), turn, moved - turn @ middle, order=1, mode="reflect"
        )

    return np.clip(warped(image) if image.ndim == 2 else np.stack([warped(plane) for plane in image]), 0, 1)
