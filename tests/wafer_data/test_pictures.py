"""Pictures of Pillow as input: one picture gives one array, whatever holds it."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from wafer_data.image_ref import ImageRef
from wafer_data.imaging.arrays import image_from_picture
from wafer_data.imaging.read import UnreadableImage, read_grey

GREY = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
RGB = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
LIMITS = {"max_pixels": 10_000, "min_side": 16}


def reason(picture: Image.Image) -> str:
    with pytest.raises(UnreadableImage) as caught:
        image_from_picture(picture, **LIMITS)
    return caught.value.reason


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_a_picture_gives_what_its_file_gives(mode: str, tmp_path: Path) -> None:
    picture = (
        Image.fromarray(GREY.astype(np.uint16) * 201)
        if mode == "I;16"
        else Image.fromarray(RGB).convert(mode)
    )
    path = tmp_path / "picture.tif"
    picture.save(path)
    opened = Image.open(path)
    np.testing.assert_array_equal(image_from_picture(opened, **LIMITS), read_grey(path))
    np.testing.assert_array_equal(image_from_picture(picture, **LIMITS), read_grey(path))


TIFFS = {
    "zero is white": {"data": GREY.astype(np.uint16) * 201, "photometric": "miniswhite"},
    "an orientation": {"data": GREY, "extratags": [(274, 3, 1, 6, True)]},
    "more than 8 bits a channel": {"data": RGB.astype(np.uint16) * 201, "photometric": "rgb"},
    "signed numbers": {"data": GREY.astype(np.int16)},
}


@pytest.mark.parametrize("name", TIFFS)
def test_kinds_of_tiff_that_pillow_reads_as_another_picture(name: str, tmp_path: Path) -> None:
    """Not loaded yet, their file is read; loaded, nothing tells what they were, and they are refused."""
    path = tmp_path / "picture.tif"
    tifffile.imwrite(path, metadata=None, **TIFFS[name])
    opened = Image.open(path)
    if name == "signed numbers":
        assert "signed 16-bit integers" in reason(opened)
    else:
        np.testing.assert_array_equal(image_from_picture(opened, **LIMITS), read_grey(path))
    if name == "an orientation":  # Pillow takes the tag away
        return
    loaded = Image.open(path)
    loaded.load()
    assert name in reason(loaded) and "give the file" in reason(loaded)


def test_all_16_bits_of_a_coloured_png() -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in RGB.astype(np.uint16) * 201)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 50, 40, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
    found = image_from_picture(Image.open(io.BytesIO(data)), **LIMITS)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, read_grey(data))


def test_wider_numbers_count_as_in_files() -> None:
    wide = GREY.astype(np.int32) * 201
    np.testing.assert_array_equal(image_from_picture(Image.fromarray(wide), **LIMITS), wide.astype(np.uint16))
    floats = Image.fromarray(GREY.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(image_from_picture(floats, **LIMITS), GREY)
    assert "32-bit integers" in reason(Image.fromarray(wide - 1000))
    assert "scale them to [0, 1]" in reason(Image.fromarray(GREY.astype(np.float32)))


def test_what_is_no_single_sound_picture_is_refused() -> None:
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)])
    assert reason(Image.open(buffer)).startswith("several pictures")
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, "PNG")
    assert "damaged" in reason(Image.open(io.BytesIO(buffer.getvalue()[:-600])))
    assert "too small" in reason(Image.new("L", (15, 50)))
    assert "too large" in reason(Image.new("L", (200, 200)))
    assert "pixel format LAB" in reason(Image.fromarray(RGB).convert("LAB"))


def test_a_reference_holds_it() -> None:
    ref = ImageRef.of(Image.fromarray(GREY))
    assert ref.source == "<picture>" and ref.without_data().data is None


def test_a_buffer_of_bytes_is_bytes() -> None:
    for buffer in (bytearray(b"file"), memoryview(b"file")):
        assert ImageRef.of(buffer).data == b"file"
