"""Parquet files of images: reading and writing through pyarrow.

Columns: `image`, the bytes of an image file, or Hugging Face's {bytes, path}; if there, `source` (or `path`), `mask`,
and any others, which describe the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data.errors import DataError
from wafer_data.files import new_file
from wafer_data.shards.item import IMAGE, MASK, SOURCE, Item

if TYPE_CHECKING:
    from wafer_data.shards.archive import Entry

READ_ROWS = 64
GROUP_ROWS = 256
"""Rows of a row group, which is what a reader holds in memory: some 10 MB of 256-pixel PNG images."""
ABOUT = {
    "side": pa.string(), "label": pa.int8(), "type": pa.string(), "tool": pa.string(), "layer": pa.string(),
    "recipe": pa.string(), "lot": pa.string(), "wafer": pa.string(), "site": pa.string(), "time": pa.string(),
}  # fmt: skip
"""Columns that are written where any image of a shard has them."""


class ParquetShard:
    """See `wafer_data.shards.archive.Shard`."""

    def __init__(self, name: str, entry: Entry) -> None:
        self._entry = entry
        self.name = name
        self.identity = entry.look

    def items(self) -> Iterator[Item]:
        """Images row by row; memory holds one row group."""
        where, row = self._entry.path, 0
        try:
            with self._entry.filesystem.open_input_file(where) as file:
                table = pq.ParquetFile(file)
                if IMAGE not in table.schema_arrow.names:
                    raise DataError(
                        f"{where} has no column {IMAGE} (it has {', '.join(table.schema_arrow.names)})"
                    )
                for batch in table.iter_batches(READ_ROWS, use_threads=False):
                    for cells in batch.to_pylist():
                        yield _item(cells, self.name, row)
                        row += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{where} is damaged after {row} images ({error}): restore it") from error


def _item(cells: dict[str, Any], shard: str, row: int) -> Item:
    image: Any = cells.pop(IMAGE)
    path = cells.pop("path", None)
    if isinstance(image, dict):  # the image feature of Hugging Face's datasets
        image, path = image.get("bytes"), path or image.get("path")
    source = cells.pop(SOURCE, None) or path or f"{shard}/{row:06d}"
    mask = cells.pop(MASK, None)
    about = {name: value for name, value in cells.items() if value is not None}
    return Item(str(source), image if isinstance(image, bytes) else b"", mask, about)


def write_parquet(path: Path, items: Iterable[Item], metadata: dict[str, str] | None = None) -> int:
    """Write a shard whole or not at all; return the number of its images.

    metadata: kept in the file's own key-value metadata. Memory holds one row group. Image files are compressed
    already, so their column is not.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    schema = pa.schema(
        [(SOURCE, pa.string()), (IMAGE, pa.binary()), (MASK, pa.binary()), *ABOUT.items()],
        metadata=dict(metadata or {}),
    )
    compression = {name: "none" if name in (IMAGE, MASK) else "zstd" for name in schema.names}
    count = 0
    with new_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression=compression) as writer:
        rows: list[dict[str, Any]] = []
        for item in items:
            about = {name: _cell(item.about.get(name), kind) for name, kind in ABOUT.items()}
            rows.append({SOURCE: item.source, IMAGE: item.data, MASK: item.mask, **about})
            count += 1
            if len(rows) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    return count


def _cell(value: Any, kind: pa.DataType) -> Any:
    return str(value) if value is not None and kind == pa.string() else value
