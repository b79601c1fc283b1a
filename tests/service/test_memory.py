"""Freed memory goes back to the system."""

import ctypes
import platform
from pathlib import Path

import pytest

from service.memory import give_back

BLOCK, COUNT = 40_000, 2_000
"""Below glibc's threshold for memory of its own (128 KB), 80 MB together."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_was_freed_below_something_still_in_use_is_given_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    give_back()
    blocks = [libc.malloc(BLOCK) for _ in range(COUNT)]
    for block in blocks:
        ctypes.memset(block, 1, BLOCK)
    for block in blocks[:-1]:  # the last one keeps the top of the heap
        libc.free(block)
    before = resident_mb()
    assert give_back()
    assert before - resident_mb() > 0.5 * BLOCK * COUNT / 2**20
    libc.free(blocks[-1])


def test_a_c_library_without_the_call_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not give_back()
