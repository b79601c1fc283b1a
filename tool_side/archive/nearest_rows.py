"""Which image stands at a place of the index: a table beside it that is read by address, not searched.

An uncompressed Arrow file, mapped into memory: one row costs microseconds, where a compressed row group of the results'
Parquet files has to be unpacked as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data.files import new_file

ROWS = "nearest.arrow"
COLUMNS = ["source", "row", "decision"]
_SCHEMA = pa.schema([("source", pa.string()), ("row", pa.int32()), ("decision", pa.string())])
_BATCH = 65_536


def write_rows(parts: Sequence[Path], path: Path) -> None:
    """Write the rows of all parts, one after another, whole or not at all; memory holds one batch."""
    with (
        new_file(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_file(file, _SCHEMA) as writer,
    ):
        for part in parts:
            for batch in pq.ParquetFile(part).iter_batches(_BATCH, columns=COLUMNS, use_threads=False):
                writer.write_batch(batch.select(COLUMNS).cast(_SCHEMA))


class Rows:
    """The rows by place.

    Raises:
        pyarrow.ArrowException: The file is damaged or holds another table.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all().cast(_SCHEMA)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The row at a place: source, row and decision."""
        return {name: self._table.column(name)[place].as_py() for name in COLUMNS}
