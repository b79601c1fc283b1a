"""Large images at the scale of their tiles: decided and written by the data stage, read image by image.

Beside the squares that every data set has, `reduced.npy` holds each image as `Tiling.reduce` makes it, one after the
other; tiles are windows of it, cut as they are read. `reduced_masks.npy` holds the masks at the same scale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wafer_data.arrays import open_stack
from wafer_data.checks import CheckedImage, in_threads, pixel_digest
from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError
from wafer_data.image_size import IMAGE_SIZE
from wafer_data.imaging.read import read_grey
from wafer_data.imaging.tiling import Grid, Tiling, is_large
from wafer_data.masks import mask_to_size, read_mask
from wafer_data.problems import Problem
from wafer_data.progress import track

REDUCED, REDUCED_MASKS = "reduced.npy", "reduced_masks.npy"
_TYPES = {8: np.uint8, 16: np.uint16}


def choose_tiling(images: Sequence[CheckedImage], config: DataConfig) -> Tiling | None:
    """How the images are tiled, from the size of those that train (their median); None: each is one square."""
    shapes = [one.shape for one in images if one.candidate.label == 0 and one.candidate.side != "test"]
    if config.tiling == "never" or config.image_size != IMAGE_SIZE or not shapes:
        return None
    height, width = (int(side) for side in np.median(shapes, axis=0))
    if config.tiling == "auto" and not is_large(height, width):
        return None
    if config.colour:
        raise InputError(
            f"data.colour=true does not go with tiles, and these images of {height} x {width} pixels (height x width) "
            "would be cut into them: set data.tiling=never, or cut the images yourself"
        )
    found = Tiling.chosen(height, width, config.tile_overlap, config.tile_scale, config.tile_counts)
    return found if len(found.grid(height, width)) > 1 else None


def said(images: Sequence[CheckedImage], tiling: Tiling) -> Problem:
    """What was decided, in words, as a line among the remarks on a data set."""
    first = next(one for one in images if one.candidate.label == 0 and one.candidate.side != "test")
    unmasked = sum(one.candidate.label == 1 and not one.mask for one in images)
    more = (
        f"; {unmasked} defects have no mask, so nobody knows which of their tiles shows one: as labelled examples they "
        "calibrate but teach nothing"
        if unmasked
        else ""
    )
    detail = f"{tiling.describe(*first.shape)}; data.tiling=never shrinks each to one instead{more}"
    return Problem(path=str(first.candidate.path), problem="tiled", detail=detail)


def write_reduced(
    images: Sequence[CheckedImage], tiling: Tiling, bits: int, config: DataConfig, folder: Path
) -> dict[str, Any]:
    """Decode once more, and write every image and mask at the scale of the tiles; memory does not grow with them.

    Returns:
        The section `tiling` of split.json.

    Raises:
        DataError: an image is no longer the one that was checked.
    """
    grids = [tiling.grid(*one.shape) for one in images]
    masked = [one for one in images if one.mask]
    read = in_threads(lambda one: _reduced(one, tiling, bits, config), images)
    images_hash = _write(folder / REDUCED, track(read, "images for tiles", total=len(images)), grids, bits)
    mask_grids = [tiling.grid(*one.shape) for one in masked]
    masks_hash = _write(folder / REDUCED_MASKS, (_mask(one, tiling, config) for one in masked), mask_grids, 8)
    return {
        **tiling.to_dict(),
        "shapes": [list(one.shape) for one in images],
        "images_sha256": images_hash,
        "masks_sha256": masks_hash,
    }


class ReducedImages:
    """Reads what `write_reduced` wrote.

    Attributes:
        tiling: Of all images.
        grids: One an image.
    """

    def __init__(self, folder: Path, section: dict[str, Any], mask_rows: Sequence[int | None]) -> None:
        """Raises InputError where the section and the arrays do not belong together."""
        try:
            self.tiling = Tiling(section["scale"], section["overlap"])
            self.grids = [self.tiling.grid(int(height), int(width)) for height, width in section["shapes"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{folder}: its tiling is incomplete ({error}): prepare the data again"
            ) from error
        masked = [grid for grid, row in zip(self.grids, mask_rows, strict=True) if row is not None]
        self._images, self._starts = _opened(folder / REDUCED, self.grids)
        self._masks, self._mask_starts = _opened(folder / REDUCED_MASKS, masked)
        self._mask_rows = mask_rows

    def counts(self, image: int) -> np.ndarray:
        """Image `image` at the scale of the tiles, uint8 or uint16 (H, W), on disk until it is looked at."""
        return _at(self._images, self._starts[image], self.grids[image])

    def mask(self, image: int) -> np.ndarray | None:
        """Its mask, bool (H, W); None where it has none."""
        row = self._mask_rows[image]
        return (
            None if row is None else _at(self._masks, self._mask_starts[row], self.grids[image]).astype(bool)
        )


def _reduced(one: CheckedImage, tiling: Tiling, bits: int, config: DataConfig) -> np.ndarray:
    path = one.candidate.path
    grey = read_grey(path, max_pixels=config.max_pixels, min_side=config.min_side)
    if grey.shape != one.shape or pixel_digest(grey) != one.pixels:
        raise DataError(f"{path} was changed while the data were prepared: run the stage again")
    counts = tiling.reduce(grey)
    return counts if 8 * counts.dtype.itemsize == bits else counts.astype(np.uint16) * np.uint16(257)


def _mask(one: CheckedImage, tiling: Tiling, config: DataConfig) -> np.ndarray:
    assert one.candidate.mask is not None
    mask = read_mask(one.candidate.mask, one.shape, max_pixels=config.max_pixels)
    return mask_to_size(mask, *tiling.grid(*one.shape).reduced).astype(np.uint8)


def _write(path: Path, planes: Iterable[np.ndarray], grids: Sequence[Grid], bits: int) -> str:
    """All planes one after the other as a flat .npy file, by ordinary writes; its SHA-256."""
    dtype = np.dtype(_TYPES[bits])
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (int(_ends(grids)[-1]),),
    }
    with path.open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for plane, grid in zip(planes, grids, strict=True):
            assert plane.shape == grid.reduced
            file.write(np.ascontiguousarray(plane, dtype).tobytes())
        file.flush()
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path, grids: Sequence[Grid]) -> tuple[np.ndarray, np.ndarray]:
    flat, ends = open_stack(path), _ends(grids)
    if flat.ndim != 1 or len(flat) != ends[-1]:
        raise InputError(f"{path} is not of the size of its images: prepare the data again")
    return flat, ends


def _ends(grids: Sequence[Grid]) -> np.ndarray:
    """(N + 1,): where each plane starts, and the end of the last."""
    return np.r_[0, np.cumsum([grid.reduced[0] * grid.reduced[1] for grid in grids], dtype=np.int64)]


def _at(flat: np.ndarray, start: int, grid: Grid) -> np.ndarray:
    return flat[start : start + grid.reduced[0] * grid.reduced[1]].reshape(grid.reduced)
