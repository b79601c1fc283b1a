"""The images as they came, one file each, named by its SHA-256: no name comes from outside.

`Images` is what the service asks for; another keeper (S3) needs the same methods.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from wafer_data.files import unflushed_file

_SHA = re.compile(r"[0-9a-f]{64}")


class Images(Protocol):
    """Keeps images by the SHA-256 of their bytes."""

    def put_many(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Keep them all, on the disk when this returns.

        Raises:
            OSError: .
        """

    def get(self, sha256: str) -> bytes | None:
        """The image's bytes; None if it is not here."""

    def has(self, sha256: str) -> bool:
        """Whether it is here."""

    def remove(self, sha256: str) -> bool:
        """Delete it; whether it was there."""


class ImageFiles:
    """Images in a folder, two levels deep so that no folder grows too long."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, sha256: str) -> Path:
        """Where an image lies.

        Raises:
            ValueError: For anything but 64 hexadecimal digits.
        """
        if not _SHA.fullmatch(sha256):
            raise ValueError("not a SHA-256")
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def put_many(self, images: Iterable[tuple[str, bytes]]) -> None:
        """Keep them all, on the disk when this returns.

        One flush for all: a flush for each file would cost more than everything else. A file that a crash left
        half written is noticed and written again, because its entry is shipped again.
        """
        wrote = False
        for sha256, data in images:
            path = self.path_of(sha256)
            if self._is_whole(path, sha256):
                continue
            with unflushed_file(path) as temporary:
                temporary.write_bytes(data)
            wrote = True
        if wrote:
            _flush_file_system(self.root)

    def get(self, sha256: str) -> bytes | None:
        """The image's bytes; None if it is not here."""
        try:
            return self.path_of(sha256).read_bytes()
        except FileNotFoundError:
            return None

    def has(self, sha256: str) -> bool:
        """Whether it is here."""
        return self.path_of(sha256).is_file()

    def remove(self, sha256: str) -> bool:
        """Delete it; whether it was there."""
        try:
            self.path_of(sha256).unlink()
        except FileNotFoundError:
            return False
        return True

    @staticmethod
    def _is_whole(path: Path, sha256: str) -> bool:
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False


def _flush_file_system(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(handle) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(folder))
    finally:
        os.close(handle)
