"""One picture, one array: what holds it does not matter, in files and out of them."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from wafer_data.imaging.arrays import image_from_array
from wafer_data.imaging.depth import grey_of, smallest_type
from wafer_data.imaging.read import UnreadableImage, read_grey, to_square

GREY8 = np.random.default_rng(0).integers(0, 256, (40, 51), dtype=np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 65536, (40, 51), dtype=np.uint16)
RGB8 = np.random.default_rng(2).integers(0, 256, (40, 51, 3), dtype=np.uint8)
LIMITS = {"max_pixels": 10**6, "min_side": 16}


def from_array(array: np.ndarray, **options: str) -> np.ndarray:
    return image_from_array(array, **LIMITS, **options)  # type: ignore[arg-type]


def png(array: np.ndarray) -> bytes:
    """A PNG of uint8 or uint16 (H, W) or (H, W, 2..4), written without Pillow; every row with filter 1 (Sub)."""
    deep = array if array.ndim == 3 else array[:, :, None]
    size, samples = deep.dtype.itemsize, deep.shape[2]
    rows = deep.astype(f">u{size}").reshape(len(deep), -1).view(np.uint8)
    left = np.pad(rows, ((0, 0), (size * samples, 0)))[:, : rows.shape[1]]
    lines = np.hstack([np.ones((len(rows), 1), np.uint8), rows - left])

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    colour = {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    head = struct.pack(">IIBBBBB", deep.shape[1], len(deep), 8 * size, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(lines.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def tiff(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(buffer, array, metadata=None, photometric=photometric)
    return buffer.getvalue()


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "array 8": from_array,
    "array 16": lambda a: from_array(a.astype(np.uint16) * 257),
    "array 16 big-endian": lambda a: from_array((a.astype(np.uint16) * 257).astype(">u2")),
    "array half": lambda a: from_array((a / 255).astype(np.float16)),
    "array single": lambda a: from_array(a.astype(np.float32) / np.float32(255)),
    "array single, times": lambda a: from_array(a.astype(np.float32) * np.float32(1 / 255)),
    "array double": lambda a: from_array(a / 255),
    "array turned": lambda a: from_array(np.ascontiguousarray(a[::-1])[::-1]),
    "png 8": lambda a: read_grey(png(a)),
    "png 16": lambda a: read_grey(png(a.astype(np.uint16) * 257)),
    "tiff 8": lambda a: read_grey(tiff(a)),
    "tiff 16": lambda a: read_grey(tiff(a.astype(np.uint16) * 257)),
    "tiff single": lambda a: read_grey(tiff((a / 255).astype(np.float32))),
    "tiff double": lambda a: read_grey(tiff(a / 255)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("picture", [GREY8, RGB8], ids=["grey", "colour"])
def test_an_8_bit_picture_is_the_same_to_the_last_bit_in_any_form(form: str, picture: np.ndarray) -> None:
    expected = picture if picture.ndim == 2 else np.asarray(Image.fromarray(picture).convert("L"))
    found = FORMS[form](picture)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(to_square(found), to_square(expected))


@pytest.mark.parametrize("colour", [False, True])
def test_so_is_a_16_bit_picture(colour: bool) -> None:
    picture = np.dstack([GREY16] * 3) if colour else GREY16
    single = (picture / 65535).astype(np.float32)
    for found in (
        from_array(picture),
        from_array(picture / 65535),
        from_array(single),
        read_grey(png(picture)),
        read_grey(tiff(picture)),
        read_grey(tiff(single)),
    ):
        assert found.dtype == np.uint16
        np.testing.assert_array_equal(found, GREY16)


@pytest.mark.parametrize("samples", [2, 3, 4])
def test_16_bit_colour_and_alpha_of_a_png_keep_their_bits(samples: int) -> None:
    """12 bits in a 16-bit file: Pillow would leave 16 levels of 4096."""
    twelve = GREY16 >> 4
    alpha = np.full_like(twelve, 1000)
    stored = np.dstack([twelve, alpha] if samples == 2 else [twelve] * 3 + [alpha] * (samples - 3))
    np.testing.assert_array_equal(read_grey(png(stored)), twelve)


def test_16_bit_colour_becomes_luma() -> None:
    colour = np.random.default_rng(3).integers(0, 65536, (40, 51, 3), dtype=np.uint16)
    luma = colour @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read_grey(png(colour)), luma, atol=1.5)
    np.testing.assert_allclose(from_array(colour), luma, atol=1.5)


@given(arrays(np.float32, (17, 16), elements=st.floats(0, 1, width=32)))
@settings(max_examples=50, deadline=None)
def test_floats_keep_their_values_whatever_type_holds_them(picture: np.ndarray) -> None:
    found = smallest_type(picture)
    scale = {"uint8": 255, "uint16": 65535, "float32": 1}[found.dtype.name]
    np.testing.assert_allclose(found / scale, picture, atol=0.03 / 65535)


@given(arrays(np.uint8, (9, 7)))
@settings(max_examples=50, deadline=None)
def test_grey_as_colour_is_that_grey(picture: np.ndarray) -> None:
    for scale, dtype in ((1, np.uint8), (257, np.uint16)):
        grey = grey_of(np.dstack([picture.astype(dtype) * dtype(scale)] * 3))
        np.testing.assert_array_equal(grey, picture)


class TestArrays:
    def test_blue_may_come_first(self) -> None:
        blue_first = RGB8[:, :, ::-1]
        np.testing.assert_array_equal(from_array(blue_first, channel_order="bgr"), from_array(RGB8))
        with_alpha = np.dstack([blue_first, GREY8])
        np.testing.assert_array_equal(from_array(with_alpha, channel_order="bgr"), from_array(RGB8))
        assert (from_array(blue_first) != from_array(RGB8)).any()

    @pytest.mark.parametrize(
        ("array", "words"),
        [
            (np.ma.masked_array(GREY8, GREY8 > 9), "masked array"),
            (np.ma.masked_array(GREY8), "masked array"),
            (GREY8 > 9, "pixel type bool"),
            (GREY8.astype(np.int8), "pixel type int8"),
            (GREY16.astype(np.int32), "pixel type int32"),
            (GREY8.astype(object), "pixel type object"),
            (GREY8.astype(complex), "pixel type complex128"),
            (RGB8.transpose(2, 0, 1), r"shape (3, 40, 51)"),
            (RGB8[None], "its channels last"),
            (GREY8[None, :, :, None], "one image"),
            (np.dstack([GREY8, GREY8]), "shape (40, 51, 2)"),
            (GREY8.ravel(), "shape"),
            (np.float32(3), "shape ()"),
            (GREY8[:0], "too small"),
            (np.where(GREY8 > 250, np.nan, 0.5), "not finite"),
            (GREY8.astype(float), "scale them to [0, 1]"),
        ],
    )
    def test_what_is_no_picture_is_refused_by_name(self, array: np.ndarray, words: str) -> None:
        with pytest.raises(UnreadableImage) as caught:
            from_array(np.asanyarray(array))
        assert words in caught.value.reason
