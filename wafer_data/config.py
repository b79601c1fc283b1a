"""The `data` section of the configuration: where the images are and how they are split."""

import re
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from wafer_data.home import PathText
from wafer_data.image_size import IMAGE_SIZE, TILE_CELL
from wafer_data.imaging.planes import COLOURS


class DataConfig(BaseModel):
    """Which images to read, how to check and divide them. Unknown keys and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    _image_size: int = PrivateAttr(default=IMAGE_SIZE)

    format: Literal["mvtec", "folder", "elpv", "shards"] = Field(
        description="How the images lie on disk. mvtec: train/good, test/<type>, ground_truth/<type>. "
        "folder: a folder of normal images and, if given, one of defects. elpv: solar cells of the package "
        "elpv-dataset. shards: an archive of Parquet or tar (WebDataset) files that root names, also on an object "
        "store; `waferroute pack` makes one."
    )
    name: str | None = Field(None, description="Name shown in the report. Default: the folder's name.")
    root: PathText | None = Field(
        None,
        description="Folder of the images (format folder: of the normal ones; format shards: or an address such as "
        "s3://bucket/folder). Needed for all but elpv; "
        "elpv finds the installed package's data by itself.",
    )
    defects: PathText | None = Field(
        None,
        description="Format folder only: folder of defective images, flat or with a sub-folder a type.",
    )
    elpv_cells: Literal["mono", "poly", "both"] = Field(
        "mono", description="Format elpv only: monocrystalline cells, polycrystalline cells or both."
    )
    calibration_fraction: float = Field(
        0.2, description="Share of the train-side normal images kept for calibrating thresholds, in (0, 1)."
    )
    test_fraction: float = Field(
        0.25,
        description="Share of all normal images kept for the test, in (0, 1). Formats folder and elpv only: "
        "mvtec has a test folder of its own.",
    )
    labelled_defects_per_type: int = Field(
        0,
        ge=0,
        description="How many defects of each type leave the test as labelled examples, chosen by seed; at most "
        "half of a type.",
    )
    calibration_defect_fraction: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Share of the labelled defects of each type that calibrate instead of training: no model sees "
        "them, so they may certify a miss rate. The others train.",
    )
    same_part: str = Field(
        "auto",
        description="Images that show one part, or were cut from one photograph, go the same way: all train, all "
        "calibrate or all test. auto: tiles whose names end in row and column (scan7_y0240_x1200, scan7-r3-c12), if "
        "there are at least 10 of what they were cut from; never: every image for itself; else a regular expression: "
        "what its first group (or all of it) finds in a file's name is the part, as in (wafer[0-9]+)_.",
    )
    expected_size: list[int] | None = Field(
        None,
        description="[height, width] in pixels that every image must have, in training and on the tool. Default: the "
        "sizes of the training images; on the tool another size or aspect ratio is REVIEW.",
    )
    max_megapixels: float = Field(
        64.0,
        gt=0,
        le=178,
        description="Larger images are refused from their header, unopened (178: the decoder's own limit).",
    )
    colour: bool = Field(
        False,
        description="Whether all models see the images in colour, red, green and blue. false: in grey, which is "
        "enough for most surfaces and faster. See docs/colour.md.",
    )
    tiling: str = Field(
        "auto",
        description="Look at large images in overlapping tiles, at a scale at which small defects are seen. auto: "
        "where the shorter side of the training normals (median) exceeds 512 pixels; always: whatever needs more than "
        "one tile; never: every image is shrunk to one square of 256 pixels; 3x4: at most so many rows and columns of "
        "tiles; 1.5: so many pixels of an image to one of a tile. Archives (format shards) are never tiled.",
    )
    tile_overlap: int = Field(
        64,
        ge=0,
        le=128,
        description="Pixels of a tile that neighbours share at least, a multiple of 8: what is no larger lies whole in "
        "one of them.",
    )
    min_side: int = Field(16, ge=1, description="Images with a side below this many pixels are refused.")
    skip_bad_images: bool = Field(
        False, description="Leave unreadable, constant or wrongly sized images out instead of stopping."
    )
    seed: int = Field(0, ge=0, description="Fixes the split.")

    @property
    def max_pixels(self) -> int:
        """`max_megapixels` in pixels."""
        return int(self.max_megapixels * 1e6)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.format != "elpv" and not self.root:
            raise ValueError(f"format={self.format} needs root: the folder that holds the images")
        if self.defects is not None and self.format != "folder":
            raise ValueError(
                f"defects goes with format=folder only; format={self.format} knows its defects from root"
            )
        for key in ("calibration_fraction", "test_fraction"):
            if not 0 < getattr(self, key) < 1:
                raise ValueError(f"{key} must lie between 0 and 1, both excluded")
        if self.format != "mvtec" and self.calibration_fraction + self.test_fraction >= 1:
            raise ValueError(
                "calibration_fraction + test_fraction must stay below 1, or no image is left to train"
            )
        if self.expected_size is not None:
            if len(self.expected_size) != 2 or min(self.expected_size) < 1:
                raise ValueError("expected_size must be [height, width] in pixels")
            if min(self.expected_size) < self.min_side:
                raise ValueError("expected_size lies below min_side: every image would be refused")
            if self.expected_size[0] * self.expected_size[1] > self.max_pixels:
                raise ValueError("expected_size exceeds max_megapixels: every image would be refused")
        if self.colour and self.format == "shards":
            raise ValueError(
                "colour=true does not go with format=shards: archives are read in grey; use format=mvtec or folder"
            )
        self._possible_tiles()
        self._possible_parts()
        return self

    def _possible_parts(self) -> None:
        if self.same_part not in ("auto", "never"):
            try:
                re.compile(self.same_part)
            except re.error as error:
                raise ValueError(
                    "same_part must be auto, never or a regular expression that finds the part in a file's name, and "
                    f"{self.same_part!r} is none ({error})"
                ) from error

    def _possible_tiles(self) -> None:
        if self.tile_overlap % TILE_CELL:
            raise ValueError(f"tile_overlap must be a multiple of {TILE_CELL} pixels")
        known = self.tiling in ("auto", "always", "never")
        counts, scale = self.tile_counts, self.tile_scale
        asked = counts if counts is not None else (scale or 0,)
        if not known and not all(1 <= number <= 64 for number in asked):
            raise ValueError(
                "tiling must be auto, always, never, rows and columns of tiles such as 3x4 (each from 1 to 64), or the "
                f"pixels of an image to one of a tile such as 1.5 (from 1 to 64), not {self.tiling!r}"
            )
        if self.format == "shards" and self.tiling not in ("auto", "never"):
            raise ValueError(
                f"tiling={self.tiling} does not go with format=shards: archives hold images that are read as one "
                "square each; use format=mvtec or folder, or pack images that are cut already"
            )

    @property
    def channels(self) -> int:
        """Planes of an image as the models see it: 1 of grey, 3 of colour."""
        return COLOURS if self.colour else 1

    @property
    def tile_counts(self) -> tuple[int, int] | None:
        """Rows and columns of tiles that `tiling` asks for."""
        found = re.fullmatch(r"(\d{1,3})x(\d{1,3})", self.tiling)
        return None if found is None else (int(found[1]), int(found[2]))

    @property
    def tile_scale(self) -> float | None:
        """Pixels of an image to one of a tile that `tiling` asks for."""
        return float(self.tiling) if re.fullmatch(r"\d{1,3}(\.\d{1,6})?", self.tiling) else None

    @property
    def image_size(self) -> int:
        """Side in pixels of the stored square images: what the models see, but for :meth:`at_size`."""
        return self._image_size

    def at_size(self, pixels: int) -> Self:
        """The same settings with images of another side, to look at data or for tests: no model sees such images."""
        other = self.model_copy()
        other._image_size = pixels
        return other
