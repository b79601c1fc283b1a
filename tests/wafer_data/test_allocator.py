"""Freed memory stays in the process where the C library allows it, and nothing breaks where it does not."""

import ctypes
import platform

import pytest

from wafer_data.allocator import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is a function of glibc")
def test_glibc_takes_both_settings():
    assert keep_freed_memory()


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not keep_freed_memory()
