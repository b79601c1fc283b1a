"""Which stored images look most like a given one: nearest latent vectors, through FAISS.

Up to `EXACT` images every distance is computed. Beyond, an inverted file (Jegou, Douze and Schmid, "Product
quantization for nearest neighbor search", 2011, section 4, without the quantisation) compares with the vectors in the
`PROBES` nearest cells only: rarely, a near image in another cell is not found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tool_side.archive.nearest_rows import ROWS, Rows, write_rows
from tool_side.archive.results import BUNDLE, KEY, read_metadata
from wafer_data.errors import DataError, InputError, MissingPackageError, NotFoundError
from wafer_data.files import new_file, read_json, sha256_json, write_json

SCHEMA = 2
EXACT, PROBES = 20_000, 32
INDEX, ABOUT = "nearest.faiss", "nearest.json"
TRAINED_ON = 64
"""Vectors a cell that the cells are learned from."""
_UNUSABLE = (
    InputError,
    RuntimeError,
    MemoryError,
    OSError,
    pa.ArrowException,
    LookupError,
    TypeError,
    ValueError,
)
"""What a damaged or missing index raises: FAISS its RuntimeError, JSON of another form the last three."""


@dataclass(frozen=True)
class Neighbour:
    """A stored image: where its result stands, and its distance in the latent space.

    A distance of 1 is about one standard deviation of normal images in one coordinate.
    """

    source: str
    part: str
    row: int
    distance: float
    decision: str


class NearestImages:
    """An index over the results of `waferroute score`; built at first, kept beside them until they change.

    Args:
        results: folder that `score_archive` wrote, with latents.
        probes: cells of the inverted file that a search looks into: more find more of the true nearest and take longer.

    Raises:
        InputError: no results, or none with a latent vector.
    """

    def __init__(self, results: Path, probes: int = PROBES) -> None:
        self._faiss = _faiss()
        self._parts = sorted(results.glob("*.parquet"))
        if not self._parts:
            raise NotFoundError(f"{results} holds no results: run `waferroute score` first")
        metadata = [read_metadata(part) for part in self._parts]
        self.bundle = metadata[0][BUNDLE].decode()
        names = [[part.name, data[KEY].decode()] for part, data in zip(self._parts, metadata, strict=True)]
        key = sha256_json([SCHEMA, names])
        try:
            self._open(results, key)
        except _UNUSABLE:
            self._build(results, key)
            self._open(results, key)
        if self.count > EXACT:
            self._faiss.extract_index_ivf(self._index).nprobe = probes

    def search(self, latent: np.ndarray, k: int = 10) -> list[Neighbour]:
        """The `k` nearest images to a latent vector, float32 (d,), nearest first."""
        if latent.shape != (self._index.d,):
            raise DataError(f"a latent vector of {self._index.d} coordinates is needed, not {latent.shape}")
        distances, places = self._index.search(latent[None].astype(np.float32), min(k, self.count))
        found = [
            (int(p), math.sqrt(max(d, 0.0))) for d, p in zip(distances[0], places[0], strict=True) if p >= 0
        ]
        return [self._neighbour(place, distance) for place, distance in found]

    def _neighbour(self, place: int, distance: float) -> Neighbour:
        part = int(np.searchsorted(self._starts, place, side="right")) - 1
        row = self._rows[place]
        return Neighbour(row["source"], self._parts[part].name, int(row["row"]), distance, row["decision"])

    def _open(self, results: Path, key: str) -> None:
        """Read what `_build` wrote; raises one of `_UNUSABLE` where it is not there, damaged, or of other results."""
        about = read_json(results / ABOUT)
        if about["key"] != key:
            raise DataError(f"{results / INDEX} is of other results")
        self._starts = np.array(about["starts"], dtype=np.int64)
        self._index = self._faiss.read_index(str(results / INDEX))
        self._rows = Rows(results / ROWS)
        self.count = int(about["count"])
        if (self._index.ntotal, len(self._starts)) != (self.count, len(self._parts)):
            raise DataError(f"{results / ABOUT} does not fit its index")

    def _build(self, results: Path, key: str) -> None:
        counts = [pq.read_metadata(part).num_rows for part in self._parts]
        total, starts = sum(counts), np.concatenate([[0], np.cumsum(counts)])
        first = next((block for part in self._parts for _, block in _latents(part)), None)
        if first is None:
            raise DataError(f"{results} holds no latent vector: run `waferroute score` without --no-latents")
        width, faiss = first.shape[1], self._faiss
        if total <= EXACT:
            inner = faiss.IndexFlatL2(width)
        else:
            cells = int(4 * math.sqrt(total))
            quantiser = faiss.IndexFlatL2(width)
            inner = faiss.IndexIVFFlat(quantiser, width, cells)
            inner.cp.seed = 0
            inner.train(self._sample(cells * TRAINED_ON, total))
        index = inner if total > EXACT else faiss.IndexIDMap(inner)
        for part, start in zip(self._parts, starts, strict=False):
            for rows, block in _latents(part):
                index.add_with_ids(block, (start + rows).astype(np.int64))
        write_rows(self._parts, results / ROWS)
        with new_file(results / INDEX) as temporary:
            faiss.write_index(index, str(temporary))
        about = {"key": key, "count": int(index.ntotal), "starts": starts[:-1].tolist()}
        write_json(results / ABOUT, about)

    def _sample(self, wanted: int, total: int) -> np.ndarray:
        """Every n-th vector."""
        every, seen, chosen = max(1, total // wanted), 0, []
        for part in self._parts:
            for _, block in _latents(part):
                chosen.append(block[-seen % every :: every])
                seen += len(block)
        return np.concatenate(chosen)


def _latents(part: Path) -> Sequence[tuple[np.ndarray, np.ndarray]] | Any:
    """Rows and vectors, float32 (n, d), of the scored images of a part, some thousand at a time."""
    file, start = pq.ParquetFile(part), 0
    if "latent" not in file.schema_arrow.names:
        return
    for batch in file.iter_batches(8192, columns=["latent"], use_threads=False):
        column: pa.FixedSizeListArray = batch.column(0)
        present = np.flatnonzero(~np.asarray(column.is_null()))
        if len(present):
            flat = column.drop_null().flatten().to_numpy(zero_copy_only=False)
            yield start + present, np.ascontiguousarray(flat.reshape(len(present), -1), np.float32)
        start += batch.num_rows


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise MissingPackageError('searching needs FAISS: pip install "waferroute[archive]"') from error
    return faiss
