"""Inflating the pixels of a PNG or TIFF file: by igzip where isal is installed (extra `archive`), else by zlib.

igzip takes half the time and gives the same bytes. What runs on the tool does without it.
"""

from __future__ import annotations

import zlib
from types import ModuleType

fast: ModuleType | None
try:
    from isal import isal_zlib as fast
except ImportError:
    fast = None

_ERRORS = (zlib.error,) if fast is None else (zlib.error, fast.error)


def inflated(packed: bytes, size: int) -> bytes | None:
    """The `size` bytes that a zlib stream holds; None for one that is broken, holds more or less, or goes on.

    Its checksum has been compared. No more than a byte beyond `size` is ever made of it.
    """
    found = _inflated(packed, size)
    if found is None:
        return None
    data, ended, more = found
    return data if len(data) == size and ended and not more else None


def inflated_start(packed: bytes, size: int) -> bytes | None:
    """The first `size` bytes of a zlib stream; None for one that is broken or holds fewer.

    The checksum of one that holds no more has been compared, unless it is cut off.
    """
    found = _inflated(packed, size)
    return None if found is None or len(found[0]) < size else found[0][:size]


def _inflated(packed: bytes, size: int) -> tuple[bytes, bool, bytes] | None:
    """At most a byte beyond `size`, whether the stream ended, and what lies behind it."""
    if packed[:1] > b"\x7f":  # a window larger than deflate has: zlib refuses it, igzip does not look
        return None
    stream = (zlib if fast is None else fast).decompressobj()
    try:
        data: bytes = stream.decompress(packed, size + 1)
    except _ERRORS:
        return None
    return data, stream.eof, stream.unused_data
