"""Small grey PNG files: the pixels that Pillow gives, whoever wrote the file, and its words for what is damaged."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from wafer_data.imaging import deflate, png_small, read
from wafer_data.imaging.read import UnreadableImage, read_grey

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width, height, rows, *, parts=1, bits=8, interlaced=0, before=b"", between=b"", after=b""):
    """A PNG file of grey from its filtered rows, the compressed pixels in `parts` chunks."""
    packed = rows if isinstance(rows, bytes) else zlib.compress(b"".join(rows))
    step = -(-len(packed) // parts)
    pixels = [_chunk(b"IDAT", packed[i : i + step]) for i in range(0, len(packed), step)]
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, interlaced)
    return b"".join(
        [SIGNATURE, _chunk(b"IHDR", header), before, between.join(pixels), after, _chunk(b"IEND", b"")]
    )


def _rows(width, height, kinds, seed=0):
    """Random bytes under filters of `kinds`, row after row from the first again: any bytes are some picture."""
    rng = np.random.default_rng(seed)
    return [
        bytes([kinds[y % len(kinds)]]) + rng.integers(0, 256, width, np.uint8).tobytes()
        for y in range(height)
    ]


@pytest.fixture(params=["igzip", "zlib"], autouse=True)
def _library(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(deflate, "fast", None)
    elif deflate.fast is None:
        pytest.skip("isal is not installed")


@pytest.fixture
def taken(monkeypatch):
    """What the short way gave, image after image."""
    found = []
    short = png_small.small_grey_pixels
    monkeypatch.setattr(read, "small_grey_pixels", lambda *args: found.append(short(*args)) or found[-1])
    return found


def _by_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("first", [None, 0, 1, 4])
@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 0, 3, 1, 2], [2, 2, 4]])
@pytest.mark.parametrize(("width", "height"), [(256, 256), (16, 40), (257, 300), (512, 19), (32, 5000)])
def test_pixels_are_pillows_whatever_the_filters(kinds, first, width, height, taken):
    rows = _rows(width, height, kinds)
    if first is not None:
        rows[0] = bytes([first]) + rows[0][1:]
    data = _png(width, height, rows, parts=3)
    pixels = read_grey(data)
    assert taken[-1] is pixels and pixels.dtype == np.uint8 and pixels.flags.writeable
    assert np.array_equal(pixels, _by_pillow(data))


def test_files_as_pillow_writes_them_go_the_short_way(taken):
    grey = np.random.default_rng(3).normal(120, 20, (256, 256)).clip(0, 255).astype(np.uint8)
    about = PngImagePlugin.PngInfo()
    about.add_text("tool", "T1")
    for options in ({}, {"optimize": True}, {"compress_level": 0}, {"pnginfo": about, "dpi": (96, 96)}):
        file = io.BytesIO()
        Image.fromarray(grey).save(file, "PNG", **options)
        assert np.array_equal(read_grey(file.getvalue()), grey) and taken[-1] is not None


def test_a_file_of_nothing_but_its_pixels_is_not_opened(taken, monkeypatch):
    monkeypatch.setattr(read, "_open", None)
    rows = _rows(40, 20, [2])
    assert read_grey(_png(40, 20, rows, parts=2)).shape == (20, 40) and len(taken) == 1


def test_a_black_picture_is_complete(taken):
    assert not read_grey(_png(32, 32, [bytes(33)] * 32)).any() and taken[-1] is not None


def test_other_kinds_are_left_to_pillow(taken):
    wide, tall = _png(513, 20, _rows(513, 20, [2])), _png(512, 2049, _rows(512, 2049, [2]))
    four_bits = _png(32, 20, _rows(16, 20, [1]), bits=4)
    text_behind = _png(32, 20, _rows(32, 20, [1]), after=_chunk(b"tEXt", b"a\0b"))
    for data in (wide, tall, four_bits, text_behind):
        assert np.array_equal(_by_pillow(data), read_grey(data)) and not taken
    file = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(file, "PNG")
    read_grey(file.getvalue())
    assert not taken


def _header_with(place, value):
    """The header chunk of a grey file of 64 x 64 pixels, and the same with another value of a byte."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return _chunk(b"IHDR", header), _chunk(b"IHDR", header[:place] + bytes([value]) + header[place + 1 :])


def _hostile():
    rows = _rows(64, 64, [2])
    good = zlib.compress(b"".join(rows))
    yield "short", _png(64, 64, zlib.compress(b"".join(rows[:-1])))
    yield "long", _png(64, 64, zlib.compress(b"".join([*rows, b"more"])))
    yield "bomb", _png(64, 64, zlib.compress(bytes(10_000_000)))
    yield "wrong checksum", _png(64, 64, good[:-1] + bytes([good[-1] ^ 1]))
    yield "cut", _png(64, 64, good[:-9])
    yield "no zlib", _png(64, 64, b"no compressed pixels at all")
    yield "bytes behind", _png(64, 64, good + b"behind")
    yield "filter 9", _png(64, 64, [b"\x09" + rows[0][1:], *rows[1:]])
    yield "apart", _png(64, 64, good, parts=2, between=_chunk(b"tEXt", b"a\0b"))
    yield "interlaced", _png(64, 64, good, interlaced=1)
    yield (
        "two headers",
        _png(64, 64, good, before=_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 4, 0, 0, 0, 0))),
    )
    yield "animated", _png(64, 64, good, before=_chunk(b"acTL", struct.pack(">II", 2, 0)))
    yield "no width", _png(0, 64, good)
    yield "few pixels", _png(8, 64, zlib.compress(b"".join(_rows(8, 64, [2]))))
    yield "two pictures", _png(64, 64, good) + _png(64, 64, good)
    yield "another compression", _png(64, 64, good).replace(*_header_with(10, 1))
    yield "bad text before", _png(64, 64, good, before=_chunk(b"iTXt", b"\xff"))
    yield "unknown chunk", _png(64, 64, good, before=_chunk(b"abCd", b"1"))
    yield "bad text behind", _png(64, 64, good, after=_chunk(b"iTXt", b"\xff"))


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in _hostile()])
def test_what_is_unusual_ends_as_it_does_without_the_short_way(data, monkeypatch):
    def outcome():
        try:
            return read_grey(data).tolist()
        except UnreadableImage as error:
            return error.reason

    found = outcome()
    monkeypatch.setattr(read, "small_grey_pixels", lambda *_: None)
    assert found == outcome()
