"""What watch mode remembers of every inspected file, in about 400 bytes each."""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from typing import NamedTuple, Self

from wafer_data.image_ref import ImageRef

_STATE = struct.Struct("<QqQ")
_CHANGED = struct.Struct("<q")
COARSE_NS = 2_500_000_000
"""Time stamps may count in steps of two seconds (FAT and its kin): within one, a file can change unseen."""
_WORD = 2**64 - 1
_NO_CONTENT = bytes(32)


class FileState(NamedTuple):
    """Size in bytes, time of modification and inode: as long as they stay, so does the file.

    Attributes:
        ctime_ns: Time of the last change of anything, which no program can set; 0 where it is not known (a
            result of an older version). On Windows it is the time of creation. All times in nanoseconds.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The state that `os.stat` or `os.fstat` found."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino & _WORD, status.st_ctime_ns)


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrivedFile(ImageRef):
    """An image file in a watched folder.

    Attributes:
        state: In which it was read.
    """

    state: FileState


class Done:
    """The last inspected state and content of every path.

    A file is a new image if its content differs from what was last inspected under its path. Its state only
    spares reading it again: a file that was touched, or copied to another disk, is compared by content. So is, once
    more and a little later, a file that was read within a step of its time stamp (git calls that racily clean).
    """

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}
        self._first: dict[bytes, tuple[str, bytes]] = {}  # content to path and state
        self._unsure: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def add(self, path: str, state: FileState, sha256: str | None, read_ns: int | None = None) -> None:
        """Remember a result.

        Args:
            path: of the file.
            state: in which it was read.
            sha256: hexadecimal, None for a file whose bytes could not be read.
            read_ns: when it was read, nanoseconds since 1970; None for a file whose content was compared again.
        """
        content = bytes.fromhex(sha256) if sha256 else _NO_CONTENT
        self._packed[path] = _STATE.pack(*state[:3]) + _CHANGED.pack(state.ctime_ns) + content
        if sha256:
            self._first.setdefault(content, (path, _STATE.pack(*state[:3])))
        self._unsure.pop(path, None)
        if read_ns is not None and read_ns - max(state.mtime_ns, state.ctime_ns) < COARSE_NS:
            self._unsure[path] = read_ns + COARSE_NS

    def forget_doubts_before(self, read_ns: int) -> None:
        """Files that were read before: whoever read them had the time to compare them again."""
        self._unsure = {path: due for path, due in self._unsure.items() if due >= read_ns}

    def is_same_file(self, path: str, state: FileState) -> bool:
        """Whether the path was inspected in this very state, and read late enough to be sure of it."""
        packed = self._packed.get(path)
        if packed is None or not packed.startswith(_STATE.pack(*state[:3])):
            return False
        changed = _CHANGED.unpack_from(packed, _STATE.size)[0]
        if changed != state.ctime_ns and changed and state.ctime_ns:
            return False
        due = self._unsure.get(path)
        return due is None or time.time_ns() < due

    def is_same_content(self, path: str, sha256: str) -> bool:
        """Whether this content is what was last inspected under the path."""
        packed = self._packed.get(path)
        return packed is not None and packed.endswith(bytes.fromhex(sha256))

    def original(self, path: str, state: FileState, sha256: str) -> str | None:
        """The other path under which this content was first inspected. None if there is none: then it is this one.

        A file that was only renamed or moved - the same inode, size and time - is no second one.
        """
        packed = _STATE.pack(*state[:3])
        first, first_packed = self._first.setdefault(bytes.fromhex(sha256), (path, packed))
        return None if first == path or first_packed == packed else first
