"""Large images in overlapping tiles: where they lie, how they are cut, and how their maps become one again.

An image is read at `scale` of its pixels to one of a tile (an antialiased resize of the whole, so that no tile knows
of a border that the image does not have) and cut into squares of `IMAGE_SIZE`. Neighbours share at least `overlap`
pixels, so a defect of at most that size lies whole in one of them, wherever it is. numpy and Pillow only: the same
functions cut for training and on the tool.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self, overload

import numpy as np
from PIL import Image

from wafer_data.errors import InputError
from wafer_data.image_size import IMAGE_SIZE
from wafer_data.image_size import TILE_CELL as CELL
from wafer_data.imaging.levels import Levels
from wafer_data.imaging.read import resized

OVERLAP = 64
LARGE = 512
"""Images whose shorter side has more pixels are tiled by default: one tile would shrink them more than twice."""
MOST_REDUCTION = 2.0
_MAP_SIDES = (32, 64, 128, 256)


@dataclass(frozen=True)
class Grid:
    """The tiles of one image.

    Attributes:
        source: (height, width) of the image, pixels.
        reduced: (height, width) that it is read at; multiples of `CELL`, the pixels of a cell of a 32 x 32 map: maps of
            tiles so add up without interpolation.
        rows, columns: where tiles start in the reduced image, pixels.
    """

    source: tuple[int, int]
    reduced: tuple[int, int]
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    @property
    def corners(self) -> tuple[tuple[int, int], ...]:
        """(top, left) of each tile in the reduced image, row by row."""
        return tuple((top, left) for top in self.rows for left in self.columns)

    def cut(self, reduced: np.ndarray) -> Iterator[np.ndarray]:
        """The tiles of a reduced image, (S, S) of its type, one at a time."""
        for top, left in self.corners:
            yield reduced[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]

    def box(self, tile: int) -> tuple[int, int, int, int]:
        """Left, top, width, height of a tile in pixels of the image."""
        top, left = self.corners[tile]
        down, across = (whole / part for whole, part in zip(self.source, self.reduced, strict=True))
        x0, y0 = round(left * across), round(top * down)
        return x0, y0, round((left + IMAGE_SIZE) * across) - x0, round((top + IMAGE_SIZE) * down) - y0

    def assemble(self, maps: Sequence[np.ndarray]) -> np.ndarray:
        """One map of the whole image from that of each tile, float32 (reduced height / p, reduced width / p).

        p is the pixels to a cell of the finest map (at most `CELL`). Where tiles overlap, the mean counts, each tile's
        answer with its distance from the tile's border: what lies at the border of one is farther inside another.

        Args:
            maps: (h, h) of each tile, in its order, all in one unit.
        """
        side = next(side for side in _MAP_SIDES if side >= max(one.shape[0] for one in maps))
        if len(maps) == 1 and self.reduced == (IMAGE_SIZE, IMAGE_SIZE):
            return np.asarray(maps[0], np.float32)
        pixels, weight = IMAGE_SIZE // side, _weight(side)
        shape = (self.reduced[0] // pixels, self.reduced[1] // pixels)
        total, weights = np.zeros(shape), np.zeros(shape)
        for (top, left), one in zip(self.corners, maps, strict=True):
            part = np.s_[top // pixels : top // pixels + side, left // pixels : left // pixels + side]
            total[part] += weight * _enlarged(one, side)
            weights[part] += weight
        return (total / weights).astype(np.float32)


@dataclass(frozen=True)
class Tiling:
    """How images of one data set are tiled.

    Attributes:
        scale: pixels of the image to one of a tile, at least 1.
        overlap: pixels of a tile that neighbours share at least; a multiple of `CELL`, at most half a tile.
    """

    scale: float
    overlap: int = OVERLAP

    def __post_init__(self) -> None:
        number = isinstance(self.scale, int | float) and not isinstance(self.scale, bool)
        if not number or not 1 <= self.scale < math.inf:
            raise InputError(
                f"tiling: scale must be at least 1 pixel of an image to one of a tile, got {self.scale!r}"
            )
        whole = isinstance(self.overlap, int) and not isinstance(self.overlap, bool)
        if not whole or self.overlap % CELL or not 0 <= self.overlap <= IMAGE_SIZE // 2:
            raise InputError(
                f"tiling: overlap must be a multiple of {CELL} from 0 to {IMAGE_SIZE // 2} pixels, got {self.overlap!r}"
            )

    @classmethod
    def chosen(
        cls,
        height: int,
        width: int,
        overlap: int = OVERLAP,
        scale: float | None = None,
        counts: Sequence[int] | None = None,
    ) -> Self:
        """The tiling of images of about this size.

        Args:
            height, width: pixels.
            overlap: see `Tiling`.
            scale: asked for; default: at most `MOST_REDUCTION`, and as much less as the same number of tiles allows.
            counts: (rows, columns) of tiles at most, which then decide the scale.
        """
        if counts is None and scale is not None:
            return cls(scale, overlap)
        most = math.inf
        if counts is None:
            most = max(1.0, min(MOST_REDUCTION, min(height, width) / IMAGE_SIZE))
            grid = cls(most, overlap).grid(height, width)
            counts = (len(grid.rows), len(grid.columns))
        room = [IMAGE_SIZE * count - overlap * (count - 1) for count in counts]
        return cls(min(most, round(max(1.0, height / room[0], width / room[1]), 6)), overlap)

    def grid(self, height: int, width: int) -> Grid:
        """The tiles of an image of this size, pixels; as few as keep the overlap, evenly spaced."""
        return _grid(self, height, width)

    def reduce(self, grey: np.ndarray) -> np.ndarray:
        """An image of `read_grey`, (H, W), at the scale of the tiles: uint8 where it is, else uint16.

        Rounded as `wafer_data.imaging.read.to_square` rounds, so that an image stored so and one on the tool are alike.
        """
        height, width = self.grid(*grey.shape).reduced
        if grey.dtype == np.uint8:
            return resized(grey, height, width)
        counts = grey.astype(np.float32) if grey.dtype == np.uint16 else grey * np.float32(65535)
        return np.clip(np.rint(resized(counts, height, width)), 0, 65535).astype(np.uint16)

    def to_dict(self) -> dict[str, float | int]:
        """JSON-ready form, read back by :meth:`from_dict`."""
        return {"scale": self.scale, "overlap": self.overlap}

    @classmethod
    def from_dict(cls, content: Any) -> Self:
        """Reads and checks what :meth:`to_dict` wrote.

        Raises:
            InputError: where it is malformed.
        """
        if not isinstance(content, Mapping) or set(content) != {"scale", "overlap"}:
            raise InputError(f"tiling: expected scale and overlap, got {content!r}")
        return cls(content["scale"], content["overlap"])

    def describe(self, height: int, width: int) -> str:
        """In words, for images of this size."""
        grid = self.grid(height, width)
        return (
            f"{len(grid)} tiles ({len(grid.rows)} x {len(grid.columns)}) of {IMAGE_SIZE} pixels an image of {height} x "
            f"{width} (height x width), {self.scale:.3g} pixels of the image to one of a tile, neighbours sharing "
            f"at least {self.overlap * self.scale:.0f} pixels of the image"
        )


def is_large(height: float, width: float) -> bool:
    """Whether images of this size, pixels, are tiled unless somebody says otherwise."""
    return min(height, width) > LARGE


@lru_cache(maxsize=256)
def _grid(tiling: Tiling, height: int, width: int) -> Grid:
    reduced = tuple(
        max(IMAGE_SIZE, CELL * math.floor(side / tiling.scale / CELL + 0.5)) for side in (height, width)
    )
    rows, columns = (_starts(side, tiling.overlap) for side in reduced)
    return Grid((height, width), (reduced[0], reduced[1]), rows, columns)


def _starts(side: int, overlap: int) -> tuple[int, ...]:
    """Multiples of CELL from 0 to `side` - IMAGE_SIZE, no farther apart than the overlap allows."""
    count = max(1, math.ceil((side - overlap) / (IMAGE_SIZE - overlap)))
    last = (side - IMAGE_SIZE) // CELL
    return tuple(CELL * round(i * last / (count - 1)) for i in range(count)) if count > 1 else (0,)


def _enlarged(one: np.ndarray, side: int) -> np.ndarray:
    if one.shape == (side, side):
        return one
    plane = Image.fromarray(np.ascontiguousarray(one, np.float32))
    return np.asarray(plane.resize((side, side), Image.Resampling.BILINEAR))


@lru_cache(maxsize=len(_MAP_SIDES))
def _weight(side: int) -> np.ndarray:
    """(side, side): distance from the nearer border along each side, multiplied."""
    ramp = np.minimum(np.arange(side) + 0.5, side - np.arange(side) - 0.5)
    return np.outer(ramp, ramp)


class Tiles(Sequence[np.ndarray]):
    """The tiles of one image as the models see them, float32 (S, S) in [0, 1], each made when it is asked for.

    Args:
        grid: of the image.
        counts: the reduced image, uint8 or uint16 (H, W).
        levels: grey levels of the data set.
    """

    def __init__(self, grid: Grid, counts: np.ndarray, levels: Levels) -> None:
        self.grid, self._counts, self._levels = grid, counts, levels

    def __len__(self) -> int:
        return len(self.grid)

    @overload
    def __getitem__(self, tile: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, tile: slice) -> list[np.ndarray]: ...
    def __getitem__(self, tile: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(tile, slice):
            return [self[i] for i in range(*tile.indices(len(self)))]
        top, left = self.grid.corners[tile]
        return self._grey(self._counts[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE])

    @property
    def whole(self) -> np.ndarray:
        """The reduced image, float32 (H, W) in [0, 1]."""
        return self._grey(self._counts)

    def _grey(self, counts: np.ndarray) -> np.ndarray:
        white = np.float32(np.iinfo(counts.dtype).max)
        return np.ascontiguousarray(self._levels.apply(counts.astype(np.float32) / white))


@dataclass(frozen=True)
class TiledImage:
    """An image that is looked at in tiles: what the quality gate and what the models are shown of it.

    Attributes:
        whole: shrunk to one square, float32 (S, S) in [0, 1].
        tiles: float32 (S, S) each.
    """

    whole: np.ndarray
    tiles: Sequence[np.ndarray]
