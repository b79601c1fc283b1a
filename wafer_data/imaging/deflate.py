"""Inflating the pixels of a PNG file: by igzip where the package isal is installed (extra `archive`), else by zlib.

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
    if packed[:1] > b"\x7f":  # a window larger than deflate has: zlib refuses it, igzip does not look
        return None
    stream = (zlib if fast is None else fast).decompressobj()
    try:
        found: bytes = stream.decompress(packed, size + 1)
    except _ERRORS:
        return None
    return found if len(found) == size and stream.eof and not stream.unused_data else None
