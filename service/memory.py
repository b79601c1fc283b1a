"""Memory that a worker no longer uses goes back to the system: it lives for months, beside other programs."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> bool:
    """Let the C library return what it keeps of freed memory; some milliseconds, without the interpreter's lock.

    glibc keeps freed blocks of each thread for that thread, so that a worker with ten of them grows to ten times what
    one burst took. Other C libraries give back by themselves and have no such call.

    Returns:
        Whether anything was given back.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        return bool(ctypes.CDLL(None).malloc_trim(0))
    return False
