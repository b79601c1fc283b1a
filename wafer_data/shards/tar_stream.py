"""A tar file read as a stream, in which damage is never taken for the end.

`tarfile` ends quietly at a header that it cannot read, unless it is the first one: what lies behind would be lost.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wafer_data.errors import DataError

if TYPE_CHECKING:
    from wafer_data.shards.archive import Entry

_AT_ONCE = 64 * 1024


def tar_files(entry: Entry) -> Iterator[tuple[str, bytes]]:
    """Path and content of each regular file, in order.

    Raises:
        DataError: The tar file is damaged, or does not end with the zeros that close an archive and nothing else.
    """
    done = 0
    try:
        with (
            entry.filesystem.open_input_stream(entry.path) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar,
        ):
            for member in tar:
                if member.isfile():
                    content = tar.extractfile(member)
                    yield member.name, content.read() if content else b""
                    done += 1
            rest: Any = tar.fileobj
            while block := rest.read(_AT_ONCE):
                if block.strip(b"\0"):
                    raise tarfile.ReadError("more lies behind a block of zeros, which closes an archive")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{entry.path} is damaged after {done} files ({error}): restore it") from error


class _Header(tarfile.TarInfo):
    """A member's header; what is none, and no block of zeros either, is an error wherever it stands."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Header:
        """As the library's.

        Raises:
            tarfile.TarError: Not a header. `TarFile` swallows a `HeaderError`, but no other.
        """
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # missing in typeshed
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error
