"""A prepared archive: the same face as `wafer_data.store.ImageStore`, with records and pixels read on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data import files
from wafer_data.arrays import to_grey
from wafer_data.errors import DataError
from wafer_data.imaging.levels import Levels
from wafer_data.shards.stacks import Stacks
from wafer_data.split import Split
from wafer_data.store import SPLIT, ImageRecord, ImageStore

SCHEMA = 1
INDEX, PARTS = "index.parquet", "parts"
SPLITS: tuple[Split, ...] = ("train", "calibration", "test")


class ShardRecords(Sequence[ImageRecord]):
    """One `ImageRecord` an image, made as it is asked for."""

    def __init__(self, table: pa.Table) -> None:
        self._columns = {name: table.column(name).combine_chunks() for name in ("path", "type", "sha256")}
        self.split = table.column("split").to_numpy()
        self.label = table.column("label").to_numpy()
        self.part = table.column("part").to_numpy()
        self.row = table.column("row").to_numpy()
        self.mask_row = table.column("mask_row").to_numpy()

    def __len__(self) -> int:
        return len(self.label)

    @overload
    def __getitem__(self, index: int) -> ImageRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[ImageRecord]: ...
    def __getitem__(self, index: int | slice) -> ImageRecord | list[ImageRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        path, kind, sha256 = (column[int(index) % len(self)].as_py() for column in self._columns.values())
        mask = f"{path}#mask" if self.mask_row[index] >= 0 else None
        return ImageRecord(path, SPLITS[self.split[index]], int(self.label[index]), kind, mask, sha256)


class ShardStore(ImageStore):
    """Reads what `prepare_shards` wrote. Attributes and methods are those of `ImageStore`."""

    def __init__(self, out_dir: Path) -> None:
        """Prefer `ImageStore.open`."""
        self.folder = Path(out_dir)
        content = files.read_json(out_dir / SPLIT)
        try:
            if content["sharded"] != SCHEMA:
                raise DataError(
                    f"{out_dir / SPLIT} is of another schema: remove the folder and prepare again"
                )
            self.name, self.fingerprint = str(content["name"]), str(content["fingerprint"])
            self.levels = Levels(**content["levels"])
            self.size = int(content["size"])
            self._counts = dict(content["counts"])
            folders = [out_dir / PARTS / part["folder"] for part in content["parts"]]
            self._bits = max(int(part["bits"]) for part in content["parts"])
            table = pq.read_table(out_dir / INDEX)
            self.records: ShardRecords = ShardRecords(table)  # type: ignore[assignment]
        except (KeyError, TypeError, ValueError, pa.ArrowException, OSError) as error:
            raise DataError(f"{out_dir} is incomplete ({error}): prepare the data again") from error
        self._images = Stacks([folder / "images.npy" for folder in folders])  # type: ignore[assignment]
        self._masks = Stacks([folder / "masks.npy" for folder in folders])  # type: ignore[assignment]

    @property
    def dtype(self) -> np.dtype:
        """What holds an image without loss."""
        return np.dtype(np.uint8 if self._bits == 8 and self.levels.unchanged else np.uint16)

    def indices(self, split: Split, label: int | None = None) -> np.ndarray:
        """Positions (int64, ascending) of the images of a split, of one label only if `label` is given."""
        if split not in SPLITS:
            raise ValueError(f"no split is called {split!r}")
        chosen = self.records.split == SPLITS.index(split)
        return np.flatnonzero(chosen if label is None else chosen & (self.records.label == label))

    def pixels(self, index: int) -> np.ndarray:
        """Image `index` as float32 (S, S) in [0, 1]."""
        return self.levels.apply(to_grey(self._images.row(self.records.part[index], self.records.row[index])))  # type: ignore[attr-defined]

    def mask(self, index: int) -> np.ndarray | None:
        """Ground truth of image `index` as bool (S, S), or None where no mask is recorded."""
        row = int(self.records.mask_row[index])
        return None if row < 0 else self._masks.row(self.records.part[index], row).astype(bool)  # type: ignore[attr-defined]

    def counts(self) -> dict[str, int]:
        """Numbers of images: train_normal, calibration_normal, test_normal, test_defect, labelled_defects."""
        return dict(self._counts)
