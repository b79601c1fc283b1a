"""Packing image files, or images made on the way, into Parquet shards."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wafer_data.errors import DataError
from wafer_data.files import sha256_json
from wafer_data.imaging.read import UnreadableImage
from wafer_data.masks import read_mask
from wafer_data.progress import track
from wafer_data.shards.item import Item
from wafer_data.sources import Candidate

SHARD_ROWS = 5000
_MOST_PIXELS = 178_000_000
KEY = "waferroute.content"


def pack(
    count: int, make: Callable[[int], Item], out: Path, content: str, shard_rows: int = SHARD_ROWS
) -> list[Path]:
    """Write items 0 to count - 1 as shards into `out`, each whole or not at all; shards that are there already stay.

    Args:
        count: number of items.
        make: the item of a number.
        out: folder; may hold shards of an interrupted call with the same `content`.
        content: what the items follow from; shards of another content are refused, not replaced.
        shard_rows: items a shard.

    Returns:
        The shards' paths.

    Raises:
        InputError: `out` holds other shards or cannot be written.
    """
    from wafer_data.shards.parquet import write_parquet

    shards = -(-count // shard_rows)
    paths = [out / f"shard-{number:06d}.parquet" for number in range(shards)]
    keys = [sha256_json([content, count, shard_rows, number]) for number in range(shards)]
    _require_own(out, dict(zip(paths, keys, strict=True)))
    for number in track(range(shards), "writing shards"):
        if not paths[number].exists():
            rows = range(number * shard_rows, min((number + 1) * shard_rows, count))
            write_parquet(paths[number], map(make, rows), {KEY: keys[number]})
    return paths


def pack_candidates(candidates: Sequence[Candidate], out: Path, shard_rows: int = SHARD_ROWS) -> list[Path]:
    """Pack image files that `wafer_data.sources.find_images` found; otherwise as `pack`."""
    looks = [
        [str(c.path), c.path.stat().st_size, c.path.stat().st_mtime_ns, c.side, c.label, c.type]
        for c in candidates
    ]

    def make(number: int) -> Item:
        candidate = candidates[number]
        about: dict[str, Any] = {"side": candidate.side, "label": candidate.label, "type": candidate.type}
        mask = _mask(candidate.mask) if candidate.mask is not None else None
        return Item(str(candidate.path), _read(candidate.path), mask, about)

    return pack(len(candidates), make, out, sha256_json(looks), shard_rows)


def _mask(path: Path) -> bytes:
    """A mask as one file, white on black: what its own file means by its colours is known here, not in the archive."""
    buffer = io.BytesIO()
    try:
        marked = read_mask(path, None, max_pixels=_MOST_PIXELS)
    except UnreadableImage:
        return _read(path)  # whoever reads the archive says what is wrong with it
    Image.fromarray(marked.astype(np.uint8) * 255).save(buffer, "PNG")
    return buffer.getvalue()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _require_own(out: Path, expected: dict[Path, str]) -> None:
    for path in _parquet_files(out):
        if expected.get(path) != _key_of(path):
            raise DataError(
                f"{path} is a shard of other images, or of the same in other shards: choose an empty folder"
            )


def _parquet_files(out: Path) -> Iterator[Path]:
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; a folder is needed")
    yield from sorted(out.glob("*.parquet")) if out.exists() else ()


def _key_of(path: Path) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file ({error}): remove it") from error
    return metadata.get(KEY.encode(), b"").decode() or None
