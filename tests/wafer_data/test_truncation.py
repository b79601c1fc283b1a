"""Cut anywhere, no image file counts as complete; and no file keeps its reader busy for long."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from wafer_data.imaging.bmp_structure import Palette
from wafer_data.imaging.truncation import MOST_CHUNKS, MOST_SCANS, PNG_SIGNATURE, Structure, examine

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 30), dtype=np.uint8))


def encode(image_format: str, image: Image.Image = IMAGE, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def complete(data: bytes) -> bool:
    return examine(data).complete


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_rows": 1}),
        ("BMP", {}),
    ],
)
def test_the_whole_file_is_complete_and_no_shorter_one_is(image_format: str, options: dict) -> None:
    data = encode(image_format, **options)
    grey_size = (30, 24) if image_format == "PNG" else None
    expected = Structure(image_format, complete=True, grey_size=grey_size)
    assert examine(data)._replace(parts=(), palette=None, jpeg=None) == expected
    data = data[:-2] if image_format == "BMP" else data  # 30 pixels a row: the last two bytes hold none
    assert not [cut for cut in range(len(data)) if complete(data[:cut])]


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP", "TIFF"])
def test_bytes_after_the_end_do_no_harm(image_format: str) -> None:
    assert complete(encode(image_format) + b"\x00" * 7)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\x89PNG", b"\xff\xd8", b"II", b"text" * 100])
def test_anything_else_has_no_format(data: bytes) -> None:
    assert examine(data) == Structure(None)


class TestJPEG:
    def test_the_end_marker_of_an_embedded_thumbnail_does_not_count(self) -> None:
        data = encode("JPEG")
        thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data  # a segment that holds a whole JPEG
        with_thumbnail = data[:2] + thumbnail + data[2:]
        assert complete(with_thumbnail)
        assert not complete(with_thumbnail[:-2])

    def test_fill_bytes_before_a_marker_are_allowed(self) -> None:
        data = encode("JPEG")
        assert complete(data[:-2] + b"\xff" * 9 + data[-2:])

    def test_a_long_run_of_fill_bytes_is_read_once(self) -> None:
        """Searched for as a run, two megabytes of FF would take hours."""
        assert not complete(encode("JPEG")[:-2] + b"\xff" * 2_000_000)

    def test_more_scans_than_an_image_has_are_a_trap(self) -> None:
        data = encode("JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        scans = data.count(b"\xff\xda")
        allowed = data[:-2] + data[last:-2] * (MOST_SCANS - scans) + data[-2:]
        assert examine(allowed)._replace(jpeg=None) == Structure("JPEG", complete=True)
        assert examine(data[:-2] + data[last:-2] * 1000 + data[-2:]).trap == "more than 100 scans"


class TestPNG:
    def test_one_flipped_bit_is_noticed(self) -> None:
        data = bytearray(encode("PNG"))
        data[len(data) // 2] ^= 1
        assert not complete(bytes(data))

    def test_more_chunks_than_an_image_has_are_a_trap(self) -> None:
        start = PNG_SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 24, 8, 0, 0, 0, 0))
        end = chunk(b"IEND")
        assert complete(start + chunk(b"teSt") * (MOST_CHUNKS - 2) + end)
        assert examine(start + chunk(b"teSt") * MOST_CHUNKS + end).trap == "more than 100000 chunks"


class TestBMP:
    def test_one_that_does_not_state_its_size_needs_its_rows(self) -> None:
        data = encode("BMP")
        unstated = data[:2] + b"\x00" * 4 + data[6:]
        assert complete(unstated)
        assert not complete(unstated[:-3])

    def test_one_stored_from_the_top_too(self) -> None:
        data = encode("BMP")
        upside_down = data[:2] + b"\x00" * 4 + data[6:22] + struct.pack("<i", -24) + data[26:]
        assert complete(upside_down)
        assert not complete(upside_down[:-3])

    def test_a_stated_size_that_is_too_large_costs_nothing(self) -> None:
        data = encode("BMP")
        assert complete(data[:2] + struct.pack("<I", 10**6) + data[6:])

    def test_the_padding_of_the_last_row_may_lack(self) -> None:
        data = encode("BMP")
        found = examine(data[:-2])
        assert found == Structure("BMP", complete=True, missing=2, palette=Palette(54, 256, 4))

    @pytest.mark.parametrize(("place", "value", "words"), [(28, 64, "64-bit BMP"), (30, 5, "holds PNG data")])
    def test_unknown_kinds_are_named(self, place: int, value: int, words: str) -> None:
        data = encode("BMP")
        assert words in str(examine(data[:place] + bytes([value]) + data[place + 1 :]).unsupported)
