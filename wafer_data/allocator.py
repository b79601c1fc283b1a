"""Keeps freed memory in the process, which makes training on a CPU about three times as fast.

PyTorch allocates and frees every activation. By default glibc hands blocks of more than 128 KiB back to the
operating system at once, and the next layer pays for the page faults of getting them again.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # from malloc.h
_LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc not to return freed memory; False without glibc's `mallopt` (musl, macOS)."""
    return set_allocator(_M_MMAP_THRESHOLD, 1 << 30) and set_allocator(_M_TRIM_THRESHOLD, _LARGEST)


def set_allocator(parameter: int, value: int) -> bool:
    """One setting of glibc's allocator, as malloc.h numbers it; False where there is no `mallopt`, or it refuses."""
    try:
        return bool(ctypes.CDLL(None).mallopt(parameter, value))
    except (OSError, AttributeError, TypeError):
        return False
