"""Inflating: igzip and zlib give the same bytes and refuse the same streams."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wafer_data.imaging import deflate
from wafer_data.imaging.deflate import inflated

RAW = bytes(range(256)) * 4 + b"again and again " * 60


@pytest.fixture(params=["igzip", "zlib"])
def library(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(deflate, "fast", None)
    elif deflate.fast is None:
        pytest.skip("isal is not installed")
    return request.param


def _packed(raw, level=6, window=15):
    packer = zlib.compressobj(level, zlib.DEFLATED, window)
    return packer.compress(raw) + packer.flush()


@pytest.mark.parametrize("level", [0, 1, 6, 9])
@pytest.mark.parametrize("window", [9, 15])
def test_what_was_packed_comes_back(library, level, window):
    assert inflated(_packed(RAW, level, window), len(RAW)) == RAW


def _refused():
    good = _packed(RAW)
    with_dictionary = zlib.compressobj(zdict=RAW[:64])
    yield "shorter than expected", _packed(RAW[:-1])
    yield "longer than expected", _packed(RAW + b"!")
    yield "much longer", _packed(bytes(10_000_000))
    yield "wrong checksum", good[:-1] + bytes([good[-1] ^ 1])
    yield "cut", good[:-4]
    yield "bytes behind", good + b"behind"
    yield "nothing", b""
    yield "not packed", RAW
    yield "with a dictionary", with_dictionary.compress(RAW) + with_dictionary.flush()
    yield "a window of 64 KiB", b"\xf8\x00" + good[2:]
    yield "gzip", zlib.compressobj(wbits=31).compress(RAW)


@pytest.mark.parametrize("packed", [pytest.param(packed, id=name) for name, packed in _refused()])
def test_all_else_is_refused(library, packed):
    assert inflated(packed, len(RAW)) is None


@pytest.mark.skipif(deflate.fast is None, reason="isal is not installed")
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(2, 200), st.integers(1, 255)), min_size=1, max_size=3), st.booleans())
def test_damaged_streams_have_one_outcome(changes, checksum_right):
    damaged = bytearray(_packed(RAW))
    for place, bits in changes:
        damaged[place] ^= bits
    size = len(RAW)
    if checksum_right:  # or nearly all would be refused for that alone
        try:
            found = zlib.decompressobj(-15).decompress(bytes(damaged[2:]), 100_000)
            damaged[-4:], size = zlib.adler32(found).to_bytes(4, "big"), len(found)
        except zlib.error:
            pass
    found = inflated(bytes(damaged), size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflate, "fast", None)
        assert inflated(bytes(damaged), size) == found
