"""What watch mode remembers of every inspected file, in about 250 bytes each."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import NamedTuple, Self

from wafer_data.image_ref import ImageRef

_STATE = struct.Struct("<QqQ")
_WORD = 2**64 - 1
_NO_CONTENT = bytes(32)


class FileState(NamedTuple):
    """Size in bytes, modification time in nanoseconds and inode: as long as they stay, so does the file."""

    size: int
    mtime_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The state that `os.stat` or `os.fstat` found."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino & _WORD)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrivedFile(ImageRef):
    """An image file in a watched folder. state: in which it was read."""

    state: FileState


class Done:
    """The last inspected state and content of every path.

    A file is a new image if its content differs from what was last inspected under its path. Its state only
    spares reading it again: a file that was touched, or copied to another disk, is compared by content.
    """

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def add(self, path: str, state: FileState, sha256: str | None) -> None:
        """Remember a result; sha256: hexadecimal, None for a file whose bytes could not be read."""
        self._packed[path] = _STATE.pack(*state) + (bytes.fromhex(sha256) if sha256 else _NO_CONTENT)

    def is_same_file(self, path: str, state: FileState) -> bool:
        """Whether the path was inspected in this very state."""
        packed = self._packed.get(path)
        return packed is not None and packed.startswith(_STATE.pack(*state))

    def is_same_content(self, path: str, sha256: str) -> bool:
        """Whether this content is what was last inspected under the path."""
        packed = self._packed.get(path)
        return packed is not None and packed.endswith(bytes.fromhex(sha256))
