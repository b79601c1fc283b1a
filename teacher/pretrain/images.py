"""Images of the pretraining: the run's own training images, and those of archives, read at random places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from teacher.pretrain.config import PretrainConfig
from teacher.pretrain.task import UNKNOWN
from training.loop import Inputs, Part
from wafer_data.arrays import to_grey
from wafer_data.config import DataConfig
from wafer_data.errors import DataError
from wafer_data.files import sha256_json
from wafer_data.imaging.levels import find_levels
from wafer_data.progress import track
from wafer_data.spread import spread
from wafer_data.store import LEVEL_IMAGES, ImageStore


class ArchiveImages:
    """An archive as arrays beside the training; whatever cannot be read is left out.

    Decoded shard by shard; a call that was interrupted goes on with the next shard. Grey levels are found for each
    archive by itself, as for the images of a run.
    """

    def __init__(self, location: str, folder: Path, size: int) -> None:
        import pyarrow.parquet as pq

        from wafer_data.shards import open_archive
        from wafer_data.shards.part import is_done, part_key, write_part
        from wafer_data.shards.stacks import Stacks

        config = DataConfig(format="shards", root=location, skip_bad_images=True).at_size(size)
        shards = open_archive(location)
        folders = [folder / shard.name for shard in shards]
        for shard, part in zip(shards, track(folders, f"reading {location}"), strict=True):
            if not is_done(part, part_key(shard, config)):
                write_part(shard, config, part)
        self.key = sha256_json([part_key(shard, config) for shard in shards])
        tables = [pq.read_table(part / "rows.parquet", columns=["side", "type", "label"]) for part in folders]
        # images for a test are never trained on, labelled or not
        self.places = [
            (number, row)
            for number, table in enumerate(tables)
            for row, side in enumerate(table["side"].to_pylist())
            if side != "test"
        ]
        if not self.places:
            raise DataError(
                f"teacher.pretrain.archives: {location} holds no usable image that is not for a test"
            )
        self._stacks = Stacks([part / "images.npy" for part in folders])
        chosen = spread(np.arange(len(self.places)), LEVEL_IMAGES)
        self.levels = find_levels(self._stacks.row(*self.places[int(i)]) for i in chosen)

    def __len__(self) -> int:
        return len(self.places)

    def grey(self, index: int) -> np.ndarray:
        """Image `index`, float32 (S, S) in [0, 1]."""
        return self.levels.apply(to_grey(self._stacks.row(*self.places[index])))


class Images:
    """All images in one row of numbers: the run's training images first, then those of each archive.

    Attributes:
        kinds: Names of the label kinds that occur among the run's training images.
    """

    def __init__(self, store: ImageStore, archives: Sequence[ArchiveImages]) -> None:
        self._store, self._archives = store, archives
        self._own = store.indices("train")
        types = [store.records[int(i)].type for i in self._own]
        self.kinds = sorted(set(types))
        place = {name: number for number, name in enumerate(self.kinds)}
        self._labels = np.array([place[name] for name in types], dtype=np.int64)
        self._starts = np.cumsum([len(self._own), *map(len, archives)])
        self.key = sha256_json([store.fingerprint, [archive.key for archive in archives]])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def grey(self, row: int) -> np.ndarray:
        """Image of a row, float32 (S, S) in [0, 1]."""
        part = int(np.searchsorted(self._starts, row, side="right"))
        if part == 0:
            return self._store.grey(int(self._own[row]))
        return self._archives[part - 1].grey(row - int(self._starts[part - 1]))

    def label(self, row: int) -> int:
        """Number of the kind among `kinds`, or `UNKNOWN`."""
        return int(self._labels[row]) if row < len(self._labels) else UNKNOWN

    def inputs(self, parts: list[Part], config: PretrainConfig, seed: int) -> Iterable[Inputs]:
        """Images, masks and labels of each part; what is drawn depends on seed, epoch and row alone."""
        for part in parts:
            rows = [int(row) for row in part.rows]
            images = np.stack([self.grey(row) for row in rows])
            drawn = [
                np.random.default_rng((seed, 21, 0 if part.epoch is None else part.epoch + 1, row))
                for row in rows
            ]
            masks = np.stack([block_mask(rng, images.shape[-1], config) for rng in drawn])
            if part.epoch is not None:
                images = np.stack([_turned(image, rng) for image, rng in zip(images, drawn, strict=True)])
            labels = np.array([self.label(row) for row in rows])
            yield (
                torch.from_numpy(images[:, None]), torch.from_numpy(masks[:, None]), torch.from_numpy(labels)
            )  # fmt: skip


def block_mask(rng: np.random.Generator, size: int, config: PretrainConfig) -> np.ndarray:
    """Blocks of `mask_size` pixels that hide `mask_ratio` of a (size, size) image, uint8: 1 where hidden."""
    side = -(-size // config.mask_size)
    hidden = np.zeros(side * side, np.uint8)
    hidden[rng.permutation(side * side)[: max(1, round(config.mask_ratio * side * side))]] = 1
    return np.kron(hidden.reshape(side, side), np.ones((config.mask_size,) * 2, np.uint8))[:size, :size]


def _turned(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the image's eight mirrored and turned copies: nothing here says what is normal, so all are right."""
    image = np.rot90(image, int(rng.integers(4)))
    return np.ascontiguousarray(image[:, ::-1] if rng.random() < 0.5 else image)
