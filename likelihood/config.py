"""Configuration of the feature likelihood: latent, levels, prototypes, and how it is fitted."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class LevelConfig(BaseModel):
    """One resolution at which features are compared with what the latent predicts (`likelihood.level`)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    grid: int = Field(
        8, ge=1, le=128, description="features are averaged to this grid; divides the map's side"
    )
    directions: int | None = Field(
        None,
        ge=1,
        le=512,
        description="compare only this many principal directions, the first ones (default: all)",
    )
    mean_grid: int = Field(
        8,
        ge=1,
        le=128,
        description="grid that holds the conditional mean W z, bilinear in between; divides `grid`",
    )
    covariance_block: int = Field(
        1,
        ge=1,
        le=128,
        description="cells in blocks of this side share one residual covariance; divides `grid`",
    )

    scored: bool = Field(True, description="false: this level is part of the heat map, not of the score")

    @model_validator(mode="after")
    def _divides(self) -> LevelConfig:
        for key in ("mean_grid", "covariance_block"):
            if self.grid % getattr(self, key):
                raise ValueError(f"level of grid {self.grid}: {key}={getattr(self, key)} must divide it")
        return self

    def within(self, side: int) -> LevelConfig:
        """The same level on a map of `side`: a finer grid than the map's own would see nothing more."""
        grid = min(self.grid, side)
        finer = {"mean_grid": min(self.mean_grid, grid), "covariance_block": min(self.covariance_block, grid)}
        return self.model_copy(update={"grid": grid, **finer})


def _levels() -> list[LevelConfig]:
    """Coarse with every direction, for what is wide; finer with the first six, for what is small.

    The coarsest and the finest only draw: wide defects are better placed by very coarse cells, edges by very fine ones,
    and both blur the score (docs/LOG.md has the figures).
    """
    drawn_coarse = LevelConfig(grid=2, mean_grid=2, scored=False)
    fine = LevelConfig(grid=16, directions=6, mean_grid=16)
    drawn_fine = LevelConfig(grid=32, directions=8, mean_grid=8, covariance_block=2, scored=False)
    return [LevelConfig(), drawn_coarse, fine, drawn_fine]


class LikelihoodConfig(BaseModel):
    """The latent-conditional Gaussian over features (`likelihood.model`)."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    latent: int = Field(
        128, ge=1, le=1024, description="dimension of the latent z (fewer if there are fewer images)"
    )
    extra_coordinates: int = Field(
        32,
        ge=0,
        le=2048,
        description="so many further principal coordinates, beyond the latent, take part in the conditional mean; "
        "reported and decoded is the latent alone",
    )
    latent_grid: int = Field(
        4, ge=1, le=32, description="features are pooled to this grid before the latent is taken"
    )
    latent_directions: int | None = Field(
        None,
        ge=1,
        le=512,
        description="the latent is taken from this many directions, the first ones (null: all)",
    )
    levels: list[LevelConfig] = Field(
        default_factory=_levels,
        min_length=1,
        description="resolutions of the comparison; at the first one, a coarse one, labelled defects are learned",
    )
    ridge: float = Field(
        10.0, gt=0, description="ridge penalty of the regression of features on z (whitened)"
    )
    floor: float = Field(
        0.03,
        gt=0,
        description="added to the diagonal of every residual covariance, as a share of the level's mean variance",
    )
    folds: int = Field(
        5, ge=2, le=20, description="cross-fitting folds: residuals come from images the mean has not seen"
    )
    top_positions: float = Field(
        0.05,
        gt=0,
        le=1,
        description="share of a level's cells, the top-k ones, whose mean is the level's score",
    )
    map_smoothing: int = Field(
        5,
        ge=1,
        le=15,
        description="side of the square of map cells that the heat map is averaged over; odd, 1: none",
    )
    prototypes: int = Field(
        256,
        ge=0,
        le=4096,
        description="the heat map also asks how far a cell is from the nearest of so many appearances that normal "
        "cells have anywhere (0: it does not); fewer with few images",
    )
    contamination: float = Field(
        0.0,
        ge=0,
        le=0.3,
        description="robust fit: leave out at most this share of the training normals, those far beyond the others by "
        "a likelihood that has not seen them (0: keep all)",
    )

    head_strength: float = Field(
        0.1,
        gt=0,
        description="where there are labelled defects: inverse penalty of the logistic regression that learns them "
        "(larger: closer to the labels, less careful)",
    )

    @model_validator(mode="after")
    def _fits(self) -> LikelihoodConfig:
        if not self.levels[0].scored:
            raise ValueError(
                "likelihood.levels: the first level must be scored; labelled defects are learned there"
            )
        if self.map_smoothing % 2 == 0:
            raise ValueError(f"likelihood.map_smoothing={self.map_smoothing} must be odd")
        return self

    @property
    def coordinates(self) -> int:
        """How many principal coordinates the conditional mean may use: the latent and those beyond it."""
        return self.latent + self.extra_coordinates

    def for_images(self, images: int, copies: int = 1, loose: bool = False) -> LikelihoodConfig:
        """The same with as many coordinates as a fit to `images` images, each in `copies` ways round, can use.

        A surface that is met in four or eight ways round is so many surfaces: two and three times the coordinates
        tell them apart. So is one that is `loose`, placed a little otherwise in every image: three times. More than
        three quarters of the images would learn the images; copies make them go further, to as many as there are
        images (docs/LOG.md has the figures).
        """
        wanted, bound = self.coordinates, 3 * images // 4
        if copies >= 4:
            wanted, bound = wanted * (1 + copies // 4), images
        if loose:
            wanted = 3 * self.coordinates
        most = max(1, min(wanted, bound))
        latent = min(self.latent, most)
        return self.model_copy(update={"latent": latent, "extra_coordinates": most - latent})

    @property
    def map_side(self) -> int:
        """Side of the heat map: the finest level's grid."""
        return max(level.grid for level in self.levels)

    def within(self, map_size: int) -> LikelihoodConfig:
        """The same on a map of `map_size`: no grid is finer than the map."""
        levels = [level.within(map_size) for level in self.levels]
        return self.model_copy(update={"levels": levels, "latent_grid": min(self.latent_grid, map_size)})

    def check_map(self, map_size: int, section: str) -> None:
        """Raise ValueError, naming the keys, if a grid does not divide the map."""
        fitted = self.within(map_size)
        sides = {"latent_grid": fitted.latent_grid}
        sides |= {f"levels[{i}].grid": level.grid for i, level in enumerate(fitted.levels)}
        for key, side in sides.items():
            if map_size % side:
                raise ValueError(
                    f"{section}.map_size={map_size} must be a multiple of {section}.likelihood.{key}={side}"
                )
        for i, level in enumerate(fitted.levels):
            for key in ("mean_grid", "covariance_block"):
                if level.grid % getattr(level, key):
                    raise ValueError(
                        f"{section}.likelihood.levels[{i}].{key}={getattr(level, key)} must divide {level.grid}, the "
                        f"grid of that level on {section}.map_size={map_size}"
                    )
        if any(fitted.map_side % level.grid for level in fitted.levels):
            raise ValueError(
                f"{section}.likelihood.levels: every grid must divide the finest one, {fitted.map_side}"
            )

    def channels_used(self, available: int) -> int:
        """How many of the `available` directions any level or the latent looks at."""
        asked = [level.directions for level in self.levels] + [self.latent_directions]
        return max(available if count is None else min(count, available) for count in asked)
