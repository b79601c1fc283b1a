"""Freed memory goes back to the system."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from service.memory import give_back, share_arenas

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


HEAPS = """
import ctypes, sys, threading
from service.memory import share_arenas
if sys.argv[2] == "shared":
    assert share_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)
def work():
    together.wait()
    libc.malloc(1000)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_threads_share_two_heaps_where_each_had_one(tmp_path: Path) -> None:
    counts = []
    for way in ("own", "shared"):
        subprocess.run([sys.executable, "-P", "-c", HEAPS, str(tmp_path / way), way], check=True)
        counts.append((tmp_path / way).read_text().count("<heap nr="))
    assert counts[0] > 4 and counts[1] <= 2


def test_a_c_library_without_the_call_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert not give_back()
    assert not share_arenas()
