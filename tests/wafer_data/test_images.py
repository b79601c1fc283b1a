"""Decoding: what a file means, which files are refused, and that training and tool see the same numbers."""

import io
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile, PngImagePlugin

from wafer_data.arrays import to_counts, to_grey
from wafer_data.errors import InputError
from wafer_data.imaging.read import IMAGE_SUFFIXES, UnreadableImage, read_grey, to_square

# Pillow warns about the broken TIFF files that these tests feed it on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

GREY8 = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 65536, (40, 50), dtype=np.uint16)
FLOAT = np.random.default_rng(2).random((40, 50), dtype=np.float32)
RGB = np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def encode(image: np.ndarray | Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, image_format, **options)
    return buffer.getvalue()


def png(width: int, height: int, bits: int, colour: int, rows: list[bytes], palette: bytes = b"") -> bytes:
    """A PNG of these rows, filter byte first, whether they fill it or not."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    colours = chunk(b"PLTE", palette) if palette else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + head + colours + pixels + chunk(b"IEND", b"")


def png_header(width: int, height: int) -> bytes:
    """A PNG that states a size and holds almost no data."""
    return png(width, height, 8, 0, [bytes(64)])


def reason(source: bytes | Path | str, **limits: int | None) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_grey(source, **limits)
    assert isinstance(caught.value, InputError)
    return caught.value.reason


class TestDepthAndColour:
    @pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF"])
    def test_eight_bits_come_back_exactly(self, image_format: str) -> None:
        grey = read_grey(encode(GREY8, image_format))
        assert grey.dtype == np.uint8
        np.testing.assert_array_equal(grey, GREY8)

    @pytest.mark.parametrize(
        ("image_format", "options"), [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})]
    )
    def test_sixteen_bits_come_back_exactly(self, image_format: str, options: dict) -> None:
        grey = read_grey(encode(GREY16, image_format, **options))
        assert grey.dtype == np.uint16
        np.testing.assert_array_equal(grey, GREY16)

    def test_big_endian_sixteen_bits_come_back_exactly(self) -> None:
        image = Image.frombytes("I;16B", (50, 40), GREY16.astype(">u2").tobytes())
        np.testing.assert_array_equal(read_grey(encode(image, "TIFF")), GREY16)

    def test_floats_in_unit_range_come_back_exactly(self) -> None:
        grey = read_grey(encode(FLOAT, "TIFF"))
        assert grey.dtype == np.float32
        np.testing.assert_array_equal(grey, FLOAT)

    def test_32_bit_integers_count_as_16_bit_if_they_fit(self) -> None:
        grey = read_grey(encode(GREY16.astype(np.int32), "TIFF"))
        assert grey.dtype == np.uint16
        np.testing.assert_array_equal(grey, GREY16)
        assert "save it as 16 bit" in reason(encode(GREY16.astype(np.int32) * 70_000, "TIFF"))

    @pytest.mark.parametrize("image_format", ["PNG", "BMP", "TIFF"])
    def test_colour_becomes_luma(self, image_format: str) -> None:
        luma = RGB @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
        grey = read_grey(encode(RGB, image_format))
        assert grey.shape == (40, 50)
        np.testing.assert_allclose(grey, luma, atol=0.6)

    def test_colour_jpeg_is_read_as_luma(self) -> None:
        smooth = np.broadcast_to(np.array([200, 100, 50], np.uint8), (40, 50, 3))
        grey = read_grey(encode(np.ascontiguousarray(smooth), "JPEG", quality=95))
        np.testing.assert_allclose(grey, 124.2, atol=2)

    def test_alpha_is_dropped_not_blended(self) -> None:
        transparent = np.dstack([RGB, np.zeros((40, 50), np.uint8)])
        np.testing.assert_array_equal(read_grey(encode(transparent, "PNG")), read_grey(encode(RGB, "PNG")))
        grey_alpha = np.dstack([GREY8, np.zeros((40, 50), np.uint8)])
        np.testing.assert_array_equal(read_grey(encode(Image.fromarray(grey_alpha, "LA"), "PNG")), GREY8)

    def test_palettes_are_looked_up(self) -> None:
        image = Image.fromarray(GREY8 // 64, "P")
        image.putpalette([0, 0, 0, 80, 80, 80, 160, 160, 160, 240, 240, 240])
        np.testing.assert_array_equal(read_grey(encode(image, "PNG")), GREY8 // 64 * 80)

    def test_one_bit_is_black_and_white(self) -> None:
        assert set(np.unique(read_grey(encode(Image.fromarray(GREY8).convert("1"), "PNG")))) == {0, 255}

    @pytest.mark.parametrize("image_format", ["TIFF", "JPEG"])
    def test_print_colours_are_converted(self, image_format: str) -> None:
        white = Image.new("CMYK", (50, 40), (0, 0, 0, 0))
        assert read_grey(encode(white, image_format)).min() == 255

    @pytest.mark.parametrize("bits", [1, 2, 4])
    def test_pngs_of_few_bits_span_black_to_white(self, bits: int) -> None:
        image = Image.fromarray(GREY8 >> (8 - bits), "P")
        steps = np.linspace(0, 255, 1 << bits).astype(np.uint8)
        image.putpalette(np.repeat(steps, 3).tobytes())
        np.testing.assert_array_equal(read_grey(encode(image, "PNG", bits=bits)), steps[GREY8 >> (8 - bits)])

    def test_gamma_and_transparency_are_not_followed(self) -> None:
        info = PngImagePlugin.PngInfo()
        info.add(b"gAMA", struct.pack(">I", 100_000))
        data = encode(GREY8, "PNG", pnginfo=info, transparency=7)
        assert b"gAMA" in data
        assert b"tRNS" in data
        np.testing.assert_array_equal(read_grey(data), GREY8)

    def test_a_null_byte_in_a_name_is_refused(self) -> None:
        assert "no file can have this name" in reason("a\0b.png")

    def test_the_content_decides_not_the_suffix(self, tmp_path: Path) -> None:
        (tmp_path / "image.jpg").write_bytes(encode(GREY8, "PNG"))
        np.testing.assert_array_equal(read_grey(tmp_path / "image.jpg"), GREY8)

    @pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
    def test_every_announced_suffix_can_be_read(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"image{suffix}"
        Image.fromarray(GREY8).save(path)
        assert read_grey(str(path)).shape == (40, 50)


class TestRefused:
    def test_missing_file(self, tmp_path: Path) -> None:
        assert reason(tmp_path / "gone.png") == "does not exist"
        with pytest.raises(UnreadableImage, match=r"gone\.png: does not exist"):
            read_grey(tmp_path / "gone.png")

    def test_folder(self, tmp_path: Path) -> None:
        assert "folder" in reason(tmp_path)

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(*args: Any, **kwargs: Any) -> Never:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", denied)  # as root, file modes would stop nobody
        assert reason(tmp_path / "a.png") == "no permission to read it"

    def test_disk_error_while_reading(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*args: Any, **kwargs: Any) -> Never:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Path, "open", broken)
        assert reason(tmp_path / "a.png") == "cannot be read (Input/output error)"

    def test_empty_file(self) -> None:
        assert reason(b"") == "empty file"

    def test_text_named_png(self, tmp_path: Path) -> None:
        (tmp_path / "notes.png").write_text("These are my notes, not an image.\n" * 20)
        assert "not an image" in reason(tmp_path / "notes.png")

    def test_other_formats(self) -> None:
        assert reason(encode(GREY8, "GIF")) == "unsupported: a GIF picture; save it as PNG, TIFF, BMP or JPEG"
        assert "a WebP picture" in reason(b"RIFF\x00\x00\x00\x00WEBPVP8 ")
        assert "a HEIF picture" in reason(b"\x00\x00\x00\x18ftypheic")
        assert "a JPEG 2000 picture" in reason(b"\x00\x00\x00\x0cjP  \r\n\x87\n")
        assert "a TGA picture" in reason(bytes(60) + b"TRUEVISION-XFILE.\0")
        assert "run `git lfs pull`" in reason(b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n")

        assert "a web page" in reason(b"\r\n<!doctype html>\n<html>404")

    def test_pictures_that_were_sent_as_text(self) -> None:
        whole = encode(GREY8, "PNG")
        for changed in (whole.replace(b"\r\n", b"\n"), whole.replace(b"\n", b"\r\n")):
            assert "sent as text" in reason(changed)
        for image_format in ("PNG", "JPEG", "BMP", "TIFF"):
            assert "a byte-order mark" in reason(b"\xef\xbb\xbf" + encode(GREY8, image_format))

    @pytest.mark.parametrize("image_format", ["PNG", "MPO"])
    def test_several_pictures_in_one_file(self, image_format: str) -> None:
        """The second might show a defect; which one would count?"""
        other = Image.fromarray(255 - GREY8)
        data = encode(GREY8, image_format, save_all=True, append_images=[other])
        assert reason(data).startswith("several pictures in one file")

    @pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
    def test_pictures_one_behind_the_other(self, image_format: str) -> None:
        assert reason(encode(GREY8, image_format) * 2).startswith("several pictures in one file")

    def test_a_png_whose_rows_end_early(self) -> None:
        """Decoders fill it up with black, and its checksums are right."""
        half = png(50, 40, 8, 0, [b"\0" + row.tobytes() for row in GREY8[:20]])
        assert reason(half).endswith("the compressed pixels end before the last row")
        wide = png(50, 40, 16, 2, [b"\0" + bytes(300)] * 20)
        assert reason(wide).endswith("the compressed pixels end before the last row")
        black = GREY8.copy()
        black[20:] = 0
        np.testing.assert_array_equal(read_grey(encode(black, "PNG")), black)

    @pytest.mark.parametrize("colour", [False, True])
    @pytest.mark.parametrize("progressive", [False, True])
    @pytest.mark.parametrize("reduce_to", [None, 40])
    def test_a_jpeg_whose_data_end_early(
        self, colour: bool, progressive: bool, reduce_to: int | None
    ) -> None:
        """A transfer that broke off, and a program that closed the file all the same."""
        rng = np.random.default_rng(5)
        picture = rng.integers(0, 256, (160, 200, 3) if colour else (160, 200), dtype=np.uint8)
        whole = encode(picture, "JPEG", progressive=progressive, quality=90)
        start = whole.rindex(b"\xff\xda") if progressive else whole.index(b"\xff\xda")
        for share in (0.3, 0.6, 0.9):
            cut = whole[: start + int(share * (len(whole) - start))].rstrip(b"\xff") + b"\xff\xd9"
            if not progressive:  # of a progressive one every pixel has something by then
                assert reason(cut, reduce_to=reduce_to).endswith(
                    "the compressed pixels end before the last row"
                )
        assert read_grey(whole, reduce_to=reduce_to).size > 0

    @pytest.mark.parametrize("progressive", [False, True])
    def test_a_jpeg_that_ends_in_middle_grey_is_whole(self, progressive: bool) -> None:
        picture = np.full((160, 200), 128, np.uint8)
        picture[:80] = np.random.default_rng(5).integers(0, 256, (80, 200))
        assert (read_grey(encode(picture, "JPEG", progressive=progressive))[-8:] == 128).all()

    @pytest.mark.parametrize("colour", [False, True])
    @pytest.mark.parametrize("interval", [{"restart_marker_rows": 1}, {"restart_marker_blocks": 7}])
    @pytest.mark.parametrize("reduce_to", [None, 40])
    def test_a_jpeg_with_restart_markers_that_lacks_data_between_two_of_them(
        self, colour: bool, interval: dict, reduce_to: int | None
    ) -> None:
        """Decoders fill the band up to the next marker, and the last rows are whole."""
        rng = np.random.default_rng(5)
        picture = rng.integers(0, 256, (160, 200, 3) if colour else (160, 200), dtype=np.uint8)
        whole = encode(picture, "JPEG", quality=90, **interval)
        assert read_grey(whole, reduce_to=reduce_to).size > 0
        markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", whole)]
        one, other = markers[3:5]
        shorter = whole[: (one + other) // 2].rstrip(b"\xff") + whole[other:]
        assert reason(shorter, reduce_to=reduce_to).endswith("the compressed pixels end before the last row")
        assert reason(whole[:one] + whole[other:], reduce_to=reduce_to).endswith(
            "restart markers are missing"
        )

    def test_a_middle_grey_jpeg_with_restart_markers_is_whole(self) -> None:
        assert (
            read_grey(encode(np.full((160, 200), 128, np.uint8), "JPEG", restart_marker_rows=1)) == 128
        ).all()

    def test_a_jpeg_of_print_colours_whose_data_end_early(self) -> None:
        inks = np.random.default_rng(5).integers(0, 256, (160, 200, 4), dtype=np.uint8)
        whole = encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=90)
        assert read_grey(whole).size > 0
        assert reason(whole[: len(whole) // 2].rstrip(b"\xff") + b"\xff\xd9").endswith("before the last row")

    def test_a_png_without_its_palette_or_with_a_short_one(self) -> None:
        rows = [b"\0" + (row % 5).tobytes() for row in GREY8]
        assert "a palette is needed" in reason(png(50, 40, 8, 3, rows))
        assert "pixels of colour 4, where the palette has 4" in reason(
            png(50, 40, 8, 3, rows, bytes(range(12)))
        )
        assert read_grey(png(50, 40, 8, 3, rows, bytes(range(15)))).shape == (40, 50)

    def test_a_bitmap_with_colours_at_unusual_places_is_not_damaged(self) -> None:
        header = struct.pack(
            "<IiiHHIIiiIIIII", 40, 50, 40, 1, 32, 3, 8000, 0, 0, 0, 0, 0xFF, 0xFF00, 0xFF0000
        )
        bitmap = b"BM" + struct.pack("<IHHI", 8066, 0, 0, 66) + header + bytes(8000)
        assert reason(bitmap).startswith("unsupported: BMP whose kind of colours")

    @pytest.mark.parametrize(
        ("marker", "place", "value", "words"),
        [(0xC3, 0, 8, "lossless JPEG"), (0xF7, 0, 8, "JPEG-LS"), (0xC0, 3, 0, "states its height behind"),
         (0xC1, 2, 12, "12-bit JPEG"), (0xC5, 0, 8, "hierarchical JPEG"),
         (0xC0, 7, 2, "JPEG of 2 channels"), (0xC0, 7, 4, "four channels that does not say which")],
    )  # fmt: skip
    def test_kinds_of_jpeg_that_are_not_read_are_named(
        self, marker: int, place: int, value: int, words: str
    ) -> None:
        data = bytearray(encode(GREY8, "JPEG"))
        frame = data.index(b"\xff\xc0")
        data[frame + 1] = marker
        if place:
            data[frame + 2 + place] = value
        if place == 3:  # of a 16-bit number
            data[frame + 6] = 0
        assert "damaged" not in reason(bytes(data))
        assert words in reason(bytes(data))

    @pytest.mark.parametrize(
        ("image_format", "options"),
        [
            ("PNG", {}),
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("BMP", {}),
            ("TIFF", {}),
            ("TIFF", {"compression": "tiff_lzw"}),
            ("TIFF", {"compression": "tiff_adobe_deflate"}),
            ("TIFF", {"compression": "jpeg"}),
        ],
    )
    @pytest.mark.parametrize("lenient", [False, True])
    def test_truncated_anywhere(
        self, image_format: str, options: dict, lenient: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Some other library in the process may have told Pillow to fill up truncated files.
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
        data = encode(GREY8, image_format, **options)
        end = data.rindex(b"\xff\xd9") + 2 if image_format == "JPEG" else len(data)
        end -= 2 if image_format == "BMP" else 0  # the padding of the last row holds no pixel
        for cut in sorted({*range(1, end, max(1, end // 60)), *range(end - 20, end)}):
            assert "truncated" in (why := reason(data[:cut])) or "damaged" in why, cut

    def test_damaged_data_inside(self) -> None:
        data = bytearray(encode(GREY8, "PNG"))
        data[len(data) // 2] ^= 0x10
        assert "damaged" in reason(bytes(data))

    def test_too_small(self) -> None:
        assert reason(encode(GREY8[:1, :1], "PNG")).startswith("too small: 1 x 1 pixels")
        assert reason(encode(GREY8[:8], "PNG")).startswith("too small: 50 x 8 pixels")
        assert read_grey(encode(GREY8[:8], "PNG"), min_side=8).shape == (8, 50)

    def test_too_large_is_judged_from_the_header(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def decoded(*args: Any, **kwargs: Any) -> Never:
            raise AssertionError("pixels were decoded")

        monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
        assert reason(png_header(20_000, 20_000)).startswith(
            "too large: more than 64 megapixels: cut or shrink it"
        )
        assert reason(png_header(9_000, 9_000)).startswith("too large: 9000 x 9000 pixels")
        (tmp_path / "wafer.png").write_bytes(png_header(20_000, 20_000))
        assert "too large" in reason(tmp_path / "wafer.png")

    def test_a_complete_huge_image_too(self) -> None:
        """20 000 x 20 000 black pixels compress to a few hundred kilobytes, a decompression bomb."""
        rows = zlib.compressobj(1)
        body = b"".join(rows.compress(bytes(20_001 * 100)) for _ in range(200)) + rows.flush()
        data = png_header(20_000, 20_000)
        start = data.index(b"IDAT") - 4
        chunk = b"IDAT" + body
        whole = data[:start] + struct.pack(">I", len(body)) + chunk + struct.pack(">I", zlib.crc32(chunk))
        assert "too large" in reason(whole + data[data.index(b"IEND") - 4 :])

    def test_the_limit_can_be_set(self) -> None:
        assert "too large: 50 x 40 pixels" in reason(encode(GREY8, "PNG"), max_pixels=1999)
        assert read_grey(encode(GREY8, "PNG"), max_pixels=2000).shape == (40, 50)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_non_finite_floats(self, value: float) -> None:
        broken = FLOAT.copy()
        broken[3, 4] = value
        assert "non-finite" in reason(encode(broken, "TIFF"))

    def test_floats_on_another_scale(self) -> None:
        assert "scale them to [0, 1]" in reason(encode(FLOAT * 255, "TIFF"))
        slightly_over = FLOAT.copy()
        slightly_over[0, 0] = 1.0005
        assert read_grey(encode(slightly_over, "TIFF")).max() == 1

    @given(st.binary(max_size=200), st.sampled_from(["PNG", "JPEG", "BMP", "TIFF"]), st.integers(0, 400))
    @settings(max_examples=150, deadline=None)
    def test_hostile_bytes_never_raise_anything_else(
        self, noise: bytes, image_format: str, place: int
    ) -> None:
        data = encode(GREY8, image_format)
        try:
            grey = read_grey(data[:place] + noise + data[place + len(noise) :])
        except UnreadableImage:
            return
        assert grey.ndim == 2


class TestReducedDecoding:
    """JPEG files decoded at a part of their size."""

    @staticmethod
    def smooth(height: int, width: int) -> np.ndarray:
        coarse = np.random.default_rng(0).integers(40, 220, (8, 8), dtype=np.uint8)
        return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))

    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((512, 512), (256, 256)),
            ((1100, 2100), (275, 525)),
            ((511, 900), (511, 900)),
            ((4096, 4096), (512, 512)),
        ],
    )
    def test_both_sides_keep_what_is_asked_for(
        self, size: tuple[int, int], expected: tuple[int, int]
    ) -> None:
        data = encode(self.smooth(*size), "JPEG", quality=90)
        assert read_grey(data, reduce_to=256).shape == expected
        assert read_grey(data).shape == size

    def test_the_model_input_is_nearly_the_same(self) -> None:
        data = encode(self.smooth(1024, 1024), "JPEG", quality=90)
        reduced, whole = (to_square(read_grey(data, reduce_to=size)) for size in (256, None))
        assert np.abs(reduced - whole).mean() < 1 / 255

    def test_other_formats_and_colour_are_as_ever(self) -> None:
        picture = self.smooth(1024, 1024)
        for image_format in ("PNG", "BMP", "TIFF"):
            assert (read_grey(encode(picture, image_format), reduce_to=256) == picture).all()
        colour = Image.merge("RGB", [Image.fromarray(picture)] * 3)
        assert read_grey(encode(colour, "JPEG", quality=90), reduce_to=256).shape == (256, 256)

    def test_limits_speak_of_the_whole_image(self) -> None:
        data = encode(self.smooth(1024, 1024), "JPEG")
        with pytest.raises(UnreadableImage, match="too large"):
            read_grey(data, reduce_to=256, max_pixels=100_000)


class TestToSquare:
    def test_a_fitting_image_is_only_scaled(self) -> None:
        grey = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
        np.testing.assert_array_equal(to_square(grey, 32), grey.astype(np.float32) / np.float32(255))
        assert to_square(grey, 32).dtype == np.float32

    @pytest.mark.parametrize("grey", [GREY8, GREY16, FLOAT], ids=["uint8", "uint16", "float32"])
    @pytest.mark.parametrize("size", [16, 40, 64])
    def test_result_is_square_float_in_unit_range(self, grey: np.ndarray, size: int) -> None:
        square = to_square(grey, size)
        assert square.shape == (size, size)
        assert square.dtype == np.float32
        assert 0 <= square.min() < square.max() <= 1

    @given(
        st.one_of(
            arrays(np.uint8, (20, 28)),
            arrays(np.uint16, (20, 28)),
            arrays(np.float32, (20, 28), elements=st.floats(0, 1, width=32)),
        ),
        st.sampled_from([16, 28, 33]),
    )
    @settings(max_examples=40, deadline=None)
    def test_storing_it_in_its_own_depth_loses_no_bit(self, grey: np.ndarray, size: int) -> None:
        square = to_square(grey, size)
        bits = 8 if grey.dtype == np.uint8 else 16
        np.testing.assert_array_equal(to_grey(to_counts(square, bits)), square)
        np.testing.assert_array_equal(to_grey(to_counts(square, 16)), square)  # more bits hurt no 8-bit image

    def test_depths_agree(self) -> None:
        eight = to_square(GREY8, 25)
        one_step = 1.01 / 255  # in 8 bits, rows and columns are rounded one after the other
        np.testing.assert_allclose(to_square(GREY8.astype(np.uint16) * 257, 25), eight, atol=one_step)
        np.testing.assert_allclose(to_square(GREY8.astype(np.float32) / 255, 25), eight, atol=one_step)

    def test_shrinking_averages_instead_of_skipping_pixels(self) -> None:
        stripes = np.zeros((128, 128), np.uint8)
        stripes[:, ::2] = 255
        assert np.abs(to_square(stripes, 32) - 0.5).max() < 0.05

    @pytest.mark.parametrize("bad", [RGB[:, :, :2], GREY8.astype(np.float64), GREY8.astype(np.int32)])
    def test_other_arrays_are_a_programming_error(self, bad: np.ndarray) -> None:
        with pytest.raises(ValueError, match="image is"):
            to_square(bad)


def test_the_tool_side_modules_load_numpy_pillow_and_the_standard_library_only() -> None:
    code = (
        "import sys; sys.modules['isal'] = None\n"  # an extra, which the tool does without
        "import wafer_data, wafer_data.errors, wafer_data.files, wafer_data.imaging.read\n"
        "known = sys.stdlib_module_names | {'numpy', 'PIL', 'isal', 'wafer_data', '__main__'}\n"
        "print({m.split('.')[0] for m in sys.modules if not m.startswith('_')} - known)"
    )
    # -S leaves out the start-up files of site-packages, which load modules of their own.
    paths = repr([path for path in sys.path if path])
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {paths}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "set()", result.stdout
