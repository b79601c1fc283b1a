"""Cut anywhere, no image file counts as complete."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from wafer_data.truncation import is_complete

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 30), dtype=np.uint8))


def encode(image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, image_format, **options)
    return buffer.getvalue()


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
    assert is_complete(data, image_format)
    assert not [cut for cut in range(len(data)) if is_complete(data[:cut], image_format)]


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "BMP"])
def test_bytes_after_the_end_do_no_harm(image_format: str) -> None:
    assert is_complete(encode(image_format) + b"\x00" * 7, image_format)


def test_the_end_marker_of_an_embedded_thumbnail_does_not_count() -> None:
    data = encode("JPEG")
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data  # a segment that holds a whole JPEG
    with_thumbnail = data[:2] + thumbnail + data[2:]
    assert is_complete(with_thumbnail, "JPEG")
    assert not is_complete(with_thumbnail[:-2], "JPEG")


def test_one_flipped_bit_in_a_png_is_noticed() -> None:
    data = bytearray(encode("PNG"))
    data[len(data) // 2] ^= 1
    assert not is_complete(bytes(data), "PNG")


def test_a_bitmap_that_does_not_state_its_size_is_left_to_the_decoder() -> None:
    data = encode("BMP")
    assert is_complete(data[:2] + b"\x00" * 4 + data[6:], "BMP")


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}])
def test_a_tiff_needs_its_strips_and_its_directory(options: dict) -> None:
    data = encode("TIFF", **options)
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, TiffImageFile)
        spans = list(zip(image.tag_v2[273], image.tag_v2[279], strict=True))
    assert is_complete(data, "TIFF", spans)
    assert not [cut for cut in range(len(data)) if is_complete(data[:cut], "TIFF", spans)]
    assert not is_complete(data, "TIFF", [])
    assert not is_complete(data, "TIFF", [*spans, (len(data) - 1, 2)])


def test_other_formats_are_a_programming_error() -> None:
    with pytest.raises(ValueError, match="GIF"):
        is_complete(b"GIF89a", "GIF")
