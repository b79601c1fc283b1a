"""Memory that a worker no longer uses goes back to the system: it lives for months, beside other programs."""

from __future__ import annotations

import contextlib
import ctypes

from wafer_data.allocator import set_allocator

_ARENAS = 2
_M_ARENA_MAX = -8  # of glibc's malloc.h


def share_arenas() -> bool:
    """Let the C library's threads share two heaps; to be called before there are threads.

    By default each thread gets one of its own, and every one of them keeps what its largest burst left in pieces: over
    a day a worker of ten threads grows although nothing in it does. The interpreter's lock lets threads ask for memory
    one after the other anyway, so that sharing costs nothing that can be measured.

    Returns:
        Whether the C library knows the setting; others than glibc do not.
    """
    return set_allocator(_M_ARENA_MAX, _ARENAS)


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
