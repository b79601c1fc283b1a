"""Image files of a folder as a shard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from wafer_data.errors import DataError
from wafer_data.files import sha256_json
from wafer_data.shards.item import Item

if TYPE_CHECKING:
    from wafer_data.shards.archive import Entry


class FolderShard:
    """See `wafer_data.shards.archive.Shard`. Items are called by the files' full paths."""

    def __init__(self, name: str, entries: Sequence[Entry]) -> None:
        self.name = name
        self.identity = sha256_json([[entry.path, entry.look] for entry in entries])
        self._entries = entries

    def items(self) -> Iterator[Item]:
        """The files' bytes; an unreadable file is an item without bytes, which no reader takes for an image."""
        for entry in self._entries:
            try:
                with entry.filesystem.open_input_file(entry.path) as file:
                    data = file.read()
            except FileNotFoundError:
                raise DataError(f"{entry.path} has gone since the archive was listed; run again") from None
            except OSError:
                data = b""
            yield Item(entry.path, data)
