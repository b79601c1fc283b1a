"""Tar files in WebDataset's layout: files of one stem, one after another, are one sample.

`000123.png` is the image, `000123.json` says what is known about it (an object with side, label, type, tool, ...),
`000123.mask.png` is its ground-truth mask. Read as a stream through the standard library.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wafer_data.errors import DataError
from wafer_data.imaging.read import IMAGE_SUFFIXES
from wafer_data.shards.item import Item
from wafer_data.shards.parquet import shard_name

if TYPE_CHECKING:
    from wafer_data.shards.archive import Entry


class TarShard:
    """See `wafer_data.shards.archive.Shard`."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self.name = shard_name(entry.relative)
        self.identity = entry.look

    def items(self) -> Iterator[Item]:
        """Images in the order of the file, one sample in memory at a time."""
        where, done = self._entry.path, 0
        try:
            with (
                self._entry.filesystem.open_input_stream(where) as file,
                tarfile.open(fileobj=file, mode="r|") as tar,
            ):
                stem = ""
                parts: dict[str, bytes] = {}
                for member in tar:
                    if not member.isfile():
                        continue
                    folder, slash, name = member.name.rpartition("/")
                    own, _, kind = name.partition(".")
                    if (own := folder + slash + own) != stem:
                        yield from self._sample(stem, parts)
                        done += bool(parts)
                        stem, parts = own, {}
                    content = tar.extractfile(member)
                    parts[kind.lower()] = content.read() if content else b""
                yield from self._sample(stem, parts)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise DataError(f"{where} is damaged after {done} samples ({error}): restore it") from error

    def _sample(self, stem: str, parts: dict[str, bytes]) -> Iterator[Item]:
        image = next((parts[kind] for kind in parts if f".{kind}" in IMAGE_SUFFIXES), None)
        if image is None:
            return
        mask = next((data for kind, data in parts.items() if kind.startswith("mask.")), None)
        source = f"{self.name}/{stem}"
        try:
            about = json.loads(parts.get("json", b"{}"))
            if not isinstance(about, dict):
                raise ValueError("no object")
        except ValueError as error:
            raise DataError(f"{self._entry.path}: {stem}.json is not a JSON object ({error})") from error
        yield Item(
            str(about.pop("source", source)), image, mask, {k: v for k, v in about.items() if v is not None}
        )
