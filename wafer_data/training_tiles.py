"""The training tiles of large images, with the face of an `ImageStore`: what teachers and students learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from wafer_data.arrays import to_grey
from wafer_data.files import sha256_json
from wafer_data.image_size import IMAGE_SIZE
from wafer_data.split import Split
from wafer_data.store import ImageStore
from wafer_data.tiled import ReducedImages

MOST_TILES = 20_000
"""So many tiles of normal images teach at most; of more, each image gives as many, at places drawn for it."""
_UNKNOWN = -1


class TrainingTiles(ImageStore):
    """Tiles of the images of the split "train", each as one image of `IMAGE_SIZE`; no others.

    Normal tiles come in an order in which a place, modulo `folds`, is that of its image, modulo `folds`, as far as
    there are whole groups of so many images: what is cross-fitted by place is cross-fitted by image. A tile of a
    labelled defect counts as one where its mask marks a pixel; its other tiles, and all tiles of a defect without mask,
    have no label: `indices` gives them for none.
    """

    def __init__(self, images: ImageStore, reduced: ReducedImages, folds: int) -> None:
        """Prefer `ImageStore.tiles`."""
        self._of, self._reduced, self.folds = images, reduced, folds
        self.folder = images.folder
        self.name, self.levels, self.size = images.name, images.levels, IMAGE_SIZE
        normals = images.indices("train", 0)
        rows = [(image, tile, 0) for image, tile in _in_folds(_chosen(normals, reduced), folds)]
        for image in (int(one) for one in images.indices("train", 1)):
            mask = reduced.mask(image)
            grid = reduced.grids[image]
            marked = [False] * len(grid) if mask is None else [bool(part.any()) for part in grid.cut(mask)]
            rows += [(image, tile, 1 if marked[tile] else _UNKNOWN) for tile in range(len(grid))]
        self._rows = np.array(rows, dtype=np.int64).reshape(-1, 3)
        self.records = [replace(images.records[image], label=max(label, 0)) for image, _, label in rows]
        self.fingerprint = sha256_json([images.fingerprint, "tiles", folds, MOST_TILES])

    @property
    def dtype(self) -> np.dtype:
        """What holds a tile without loss."""
        return self._of.dtype

    def indices(self, split: Split, label: int | None = None) -> np.ndarray:
        """Positions (int64, ascending) of the tiles of a split, of one label only if `label` is given."""
        if split not in ("train", "calibration", "test"):
            raise ValueError(f"no split is called {split!r}")
        if split != "train":
            return np.empty(0, np.int64)
        labels = self._rows[:, 2]
        return np.flatnonzero(labels == label if label is not None else labels != _UNKNOWN)

    def image_of(self, index: int) -> int:
        """Position of the image, in the store of images, that tile `index` is cut from."""
        return int(self._rows[index, 0])

    def pixels(self, index: int) -> np.ndarray:
        """Tile `index` as float32 (S, S) in [0, 1]: to the last bit as the tool cuts it."""
        image, tile, _ = (int(value) for value in self._rows[index])
        return self.levels.apply(to_grey(_cut(self._reduced.counts(image), self._reduced, image, tile)))

    def mask(self, index: int) -> np.ndarray | None:
        """Ground truth of tile `index` as bool (S, S), or None where no mask is recorded."""
        image, tile, _ = (int(value) for value in self._rows[index])
        mask = self._reduced.mask(image)
        return None if mask is None else _cut(mask, self._reduced, image, tile)

    def tiles(self, folds: int) -> ImageStore:
        """Itself: a tile is not cut again."""
        return self if folds == self.folds else TrainingTiles(self._of, self._reduced, folds)

    def counts(self) -> dict[str, int]:
        """Numbers of whole images, as of the store that the tiles are of."""
        return self._of.counts()


def _cut(plane: np.ndarray, reduced: ReducedImages, image: int, tile: int) -> np.ndarray:
    top, left = reduced.grids[image].corners[tile]
    return np.ascontiguousarray(plane[top : top + IMAGE_SIZE, left : left + IMAGE_SIZE])


def _chosen(normals: np.ndarray, reduced: ReducedImages) -> list[tuple[int, list[int]]]:
    """Which tiles of each image teach: all, while there is room for them."""
    total = sum(len(reduced.grids[int(image)]) for image in normals)
    each = max(1, MOST_TILES // max(1, len(normals)))
    found = []
    for image in (int(one) for one in normals):
        count = len(reduced.grids[image])
        tiles = range(count)
        if total > MOST_TILES and count > each:
            drawn = np.random.default_rng((17, image)).choice(count, each, replace=False)
            tiles = sorted(int(tile) for tile in drawn)  # type: ignore[assignment]
        found.append((image, list(tiles)))
    return found


def _in_folds(images: list[tuple[int, list[int]]], folds: int) -> Iterator[tuple[int, int]]:
    """(image, tile), see `TrainingTiles`; what no whole group has comes last."""
    rest: list[tuple[int, int]] = []
    whole = len(images) // folds * folds
    for start in range(0, whole, folds):
        group = images[start : start + folds]
        shared = min(len(tiles) for _, tiles in group)
        for turn in range(shared):
            yield from ((image, tiles[turn]) for image, tiles in group)
        rest += [(image, tile) for image, tiles in group for tile in tiles[shared:]]
    yield from rest
    yield from ((image, tile) for image, tiles in images[whole:] for tile in tiles)
