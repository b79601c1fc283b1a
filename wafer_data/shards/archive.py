"""What an archive consists of, wherever it lies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from wafer_data.errors import DataError, MissingPackageError, NotFoundError
from wafer_data.imaging.read import IMAGE_SUFFIXES
from wafer_data.shards.item import Item
from wafer_data.shards.names import shard_names

FOLDER_SHARD = 1000
"""Image files of a folder that make a shard together."""


class Shard(Protocol):
    """A part of an archive that is read from front to back.

    Attributes:
        name: Unique in the archive, fit for a file name.
        identity: Changes when the content does.
    """

    name: str
    identity: str

    def items(self) -> Iterator[Item]:
        """Its images in order, a few in memory at a time.

        Raises:
            InputError: If the shard is damaged.
        """
        ...


def open_archive(location: str | Path, filesystem: Any = None) -> list[Shard]:
    """The shards of an archive, sorted by name.

    Args:
        location: a folder or an address that pyarrow understands (s3://bucket/folder, gs://...), holding Parquet or
            tar files, also in sub-folders; one such file; or a local folder of image files. A shard's own files are
            not opened.
        filesystem: a `pyarrow.fs.FileSystem` that `location` is a path in; default: the one of its address.

    Raises:
        InputError: nothing is there, the store cannot be reached, or the folder holds none of these.
    """
    found = _listing(str(location), filesystem)
    shards = [info for info in found if info.path.endswith((".parquet", ".tar"))]
    if shards:
        kinds = {PurePosixPath(info.path).suffix for info in shards}
        if len(kinds) > 1:
            raise DataError(f"{location} holds Parquet and tar files; give a folder with one kind")
        names = shard_names([info.relative for info in shards])
        return [_shard(name, info) for name, info in zip(names, shards, strict=True)]
    images = [info for info in found if info.path.lower().endswith(IMAGE_SUFFIXES)]
    if not images:
        raise DataError(
            f"{location} holds no Parquet file (.parquet), tar file (.tar) or image ({' '.join(IMAGE_SUFFIXES)})"
        )
    from wafer_data.shards.folder import FolderShard

    return [
        FolderShard(f"files-{start // FOLDER_SHARD:06d}", images[start : start + FOLDER_SHARD])
        for start in range(0, len(images), FOLDER_SHARD)
    ]


class Entry:
    """A file of an archive: its path, what opens it, and how it looks from outside."""

    __slots__ = ("filesystem", "look", "path", "relative")

    def __init__(self, filesystem: Any, path: str, relative: str, look: str) -> None:
        self.filesystem, self.path, self.relative, self.look = filesystem, path, relative, look


def _shard(name: str, entry: Entry) -> Shard:
    from wafer_data.shards.parquet import ParquetShard
    from wafer_data.shards.tar import TarShard

    return ParquetShard(name, entry) if entry.path.endswith(".parquet") else TarShard(name, entry)


def _listing(location: str, filesystem: Any) -> list[Entry]:
    """Files below `location`, sorted, without hidden ones."""
    try:
        from pyarrow import fs
    except ModuleNotFoundError as error:
        raise MissingPackageError('archives need pyarrow: pip install "waferroute[archive]"') from error
    try:
        if filesystem is None:
            if "://" in location:
                filesystem, location = fs.FileSystem.from_uri(location)
            else:
                filesystem, location = fs.LocalFileSystem(), os.path.abspath(location)  # noqa: PTH100 (links stay)
        top = filesystem.get_file_info(location)
        if top.type == fs.FileType.NotFound:
            raise NotFoundError(f"{location} does not exist: give a folder or the address of an archive")
        infos = [top] if top.is_file else filesystem.get_file_info(fs.FileSelector(location, recursive=True))
    except (OSError, ValueError) as error:  # pyarrow's own errors are of these two kinds
        raise DataError(f"{location} cannot be listed: {error}") from error
    base = str(PurePosixPath(location).parent) if top.is_file else location
    found = []
    for info in infos:
        relative = str(PurePosixPath(info.path).relative_to(base))
        if info.is_file and not any(part.startswith(".") for part in PurePosixPath(relative).parts):
            found.append(Entry(filesystem, info.path, relative, f"{info.size} {info.mtime_ns}"))
    return sorted(found, key=lambda entry: entry.relative)
