"""Cut anywhere, no image file counts as complete; and no file keeps its reader busy for long."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

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


def tiff(tags: dict[int, tuple[int, int, int]], body: bytes) -> bytes:
    """A little-endian TIFF: the body from byte 8 on, then one directory of tag: (type, count, value)."""
    entries = b"".join(
        struct.pack("<HHII", tag, kind, count, value) for tag, (kind, count, value) in sorted(tags.items())
    )
    return (
        b"II*\x00"
        + struct.pack("<I", 8 + len(body))
        + body
        + struct.pack("<H", len(tags))
        + entries
        + b"\x00" * 4
    )


def plain_page(width: int, height: int, length: int, **more: tuple[int, int, int]) -> dict:
    """Tags of an uncompressed 8-bit page in one strip of `length` bytes at byte 8."""
    return {
        256: (4, 1, width), 257: (4, 1, height), 258: (4, 1, 8), 259: (4, 1, 1), 262: (4, 1, 1),
        273: (4, 1, 8), 277: (4, 1, 1), 278: (4, 1, height), 279: (4, 1, length),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("image_format", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"restart_marker_rows": 1}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"big_tiff": True}),
    ],
)
def test_the_whole_file_is_complete_and_no_shorter_one_is(image_format: str, options: dict) -> None:
    data = encode(image_format, **options)
    assert examine(data) == Structure(image_format, complete=True)
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
        assert examine(allowed) == Structure("JPEG", complete=True)
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
        assert not complete(unstated[:-1])

    def test_one_stored_from_the_top_too(self) -> None:
        data = encode("BMP")
        upside_down = data[:2] + b"\x00" * 4 + data[6:22] + struct.pack("<i", -24) + data[26:]
        assert complete(upside_down)
        assert not complete(upside_down[:-1])


class TestTIFF:
    def test_strips_that_lie_outside_the_file(self) -> None:
        assert complete(tiff(plain_page(16, 20, 320), bytes(320)))
        assert not complete(tiff(plain_page(16, 20, 320) | {273: (4, 1, 500)}, bytes(320)))

    @pytest.mark.parametrize(
        "change",
        [
            {278: (4, 1, 10)},  # two strips are needed
            {257: (4, 1, 40), 278: (4, 1, 40)},  # twice as many rows as there are bytes
            {258: (4, 1, 16)},
            {284: (4, 1, 2), 277: (4, 1, 3)},  # three planes of one strip each
            {256: (4, 1, 0)},
            {273: (4, 1 << 30, 8)},
        ],
    )
    def test_strips_that_do_not_cover_the_page(self, change: dict) -> None:
        assert not complete(tiff(plain_page(16, 20, 320) | change, bytes(320)))

    @pytest.mark.parametrize("side", [16, 32])
    def test_tiles_must_cover_the_page_too(self, side: int) -> None:
        page = plain_page(32, 32, 0)
        for tag in (273, 278, 279):
            del page[tag]
        tiles = page | {322: (4, 1, side), 323: (4, 1, side), 324: (4, 1, 8), 325: (4, 1, 1024)}
        assert complete(tiff(tiles, bytes(1024))) == (side == 32)

    def test_tags_that_all_claim_the_same_bytes_are_a_trap(self) -> None:
        crowd = {40_000 + i: (1, 300, 8) for i in range(50)}
        assert "claim more data" in str(examine(tiff(plain_page(16, 20, 320) | crowd, bytes(320))).trap)

    def test_directories_that_point_to_each_other_are_a_trap(self) -> None:
        page = plain_page(16, 20, 320) | {34665: (4, 1, 328), 34853: (4, 1, 328)}  # both are the page itself
        assert "point to each other" in str(examine(tiff(page, bytes(320))).trap)

    def test_an_ordinary_nested_directory_is_none(self) -> None:
        exif = Image.Exif()
        exif.get_ifd(34665)[36867] = "2024:01:01 00:00:00"
        assert examine(encode("TIFF", exif=exif)) == Structure("TIFF", complete=True)
