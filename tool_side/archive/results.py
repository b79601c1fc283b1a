"""Results of an archive: a Parquet file for each of its shards.

A part is written whole or not at all. Its metadata say what it follows from, so that a run that was interrupted knows
which parts it need not make again, and hold the part's totals, so that nobody has to read the rows for a summary.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wafer_data.errors import DataError
from wafer_data.files import new_file

GROUP_ROWS = 4096
KEY, BUNDLE, TOTALS = b"waferroute.key", b"waferroute.bundle", b"waferroute.totals"
IDENTITY = ("tool", "layer", "lot", "wafer", "site", "time")


@dataclass
class Totals:
    """Counts and times of a part, or of several.

    Attributes:
        decisions: Images by decision.
        unjudged: Images without a score (all of them REVIEW).
        seconds: Wall time of the part.
        decode_seconds: Of it, reading pixels out of the image files.
    """

    images: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    escalated: int = 0
    unjudged: int = 0
    seconds: float = 0.0
    decode_seconds: float = 0.0

    def add(self, other: Totals) -> None:
        """Add the counts and times of another part."""
        self.images += other.images
        self.decisions += other.decisions
        self.escalated += other.escalated
        self.unjudged += other.unjudged
        self.seconds += other.seconds
        self.decode_seconds += other.decode_seconds

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; read back by `from_dict`."""
        return {**vars(self), "decisions": dict(self.decisions)}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Totals:
        """What `to_dict` wrote."""
        return cls(**{**content, "decisions": Counter(content["decisions"])})


def schema(latent: int | None) -> pa.Schema:
    """Columns of a part.

    Args:
        latent: Length of the latent vectors, None to leave them out.
    """
    columns = [
        ("source", pa.string()), ("row", pa.int32()), ("sha256", pa.string()), ("decision", pa.string()),
        ("route", pa.string()), ("score", pa.float64()), ("lowres_score", pa.float64()),
        ("full_score", pa.float64()), ("reasons", pa.list_(pa.string())), ("unreadable", pa.bool_()),
        ("recipe", pa.string()), *((name, pa.string()) for name in IDENTITY),
    ]  # fmt: skip
    if latent is not None:
        columns.append(("latent", pa.list_(pa.float32(), latent)))
    return pa.schema(columns)


def write_part(
    path: Path, rows: Iterable[dict[str, Any]], totals: Totals, latent: int | None, key: str, bundle: str
) -> None:
    """Write a part. `totals` are read after the last row, so `rows` may fill them on the way.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    columns = schema(latent)
    # vectors and hashes hardly repeat or compress: trying would take as long as scoring
    compression = {name: "none" if name in ("latent", "sha256") else "zstd" for name in columns.names}
    repeating = [
        name for name in columns.names if columns.field(name).type == pa.string() and name != "sha256"
    ]
    with (
        new_file(path) as temporary,
        pq.ParquetWriter(temporary, columns, compression=compression, use_dictionary=repeating) as writer,
    ):
        waiting: list[dict[str, Any]] = []
        for row in rows:
            waiting.append(row)
            if len(waiting) == GROUP_ROWS:
                writer.write_table(_table(waiting, columns))
                waiting = []
        if waiting:
            writer.write_table(_table(waiting, columns))
        writer.add_key_value_metadata({KEY: key, BUNDLE: bundle, TOTALS: json.dumps(totals.to_dict())})


def _table(rows: list[dict[str, Any]], columns: pa.Schema) -> pa.Table:
    """Rows as columns; vectors are taken as arrays, not number by number."""
    if columns.names[-1] != "latent":
        return pa.Table.from_pylist(rows, columns)
    vectors = [row["latent"] for row in rows]
    width = columns.field("latent").type.list_size
    flat = np.zeros((len(rows), width), np.float32)
    missing = np.array([vector is None for vector in vectors])
    for place in np.flatnonzero(~missing):
        flat[place] = vectors[place]
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), width, mask=pa.array(missing))
    others = pa.schema(list(columns)[:-1])
    plain = [{name: row.get(name) for name in others.names} for row in rows]
    return pa.Table.from_pylist(plain, others).append_column(columns.field("latent"), column)


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """The metadata of a part; empty if there is no such file.

    Raises:
        DataError: For a file that is none of these.
    """
    if not path.exists():
        return {}
    try:
        metadata = pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file ({error}): remove it and run again") from error
    if KEY not in metadata:
        raise DataError(f"{path} holds no results of `waferroute score`: choose another folder")
    return dict(metadata)


def totals_of(path: Path) -> Totals:
    """The totals of a finished part."""
    return Totals.from_dict(json.loads(read_metadata(path)[TOTALS]))
