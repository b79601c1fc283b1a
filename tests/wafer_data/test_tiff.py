"""TIFF: whatever a writer chose, the picture comes back with its own values, or is refused by name."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from wafer_data.imaging.read import UnreadableImage, read_grey
from wafer_data.imaging.tiff_structure import one_page

HEIGHT, WIDTH = 40, 51
GREY8 = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
FLOAT = np.random.default_rng(2).random((HEIGHT, WIDTH), dtype=np.float32)
RGB16 = np.random.default_rng(3).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16)
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
CODE = {1: "B", 3: "H", 4: "I"}  # types of tags


def unit(grey: np.ndarray) -> np.ndarray:
    return grey / {"uint8": 255, "uint16": 65535, "float32": 1}[grey.dtype.name]


def written(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, metadata=None, **options)
    return buffer.getvalue()


def by_pillow(image: np.ndarray | Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, "TIFF", **options)
    return buffer.getvalue()


def by_hand(tags: dict[int, tuple[int, list[int]]], *strips: bytes, order: str = "<") -> bytes:
    """A file of these strips (from byte 8 on) and tags (type, values); offsets and lengths are filled in."""
    offsets, place = [], 8
    for strip in strips:
        offsets.append(place)
        place += len(strip)
    tags = {273: (4, offsets), 279: (4, [len(strip) for strip in strips])} | tags
    tags = {tag: value for tag, value in tags.items() if value[1]}
    start, values = place, b""
    entries = b""
    behind = start + 2 + 12 * len(tags) + 4
    for tag, (kind, numbers) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(numbers)}{CODE[kind]}", *numbers)
        field = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", behind + len(values))
        values += data if len(data) > 4 else b""
        entries += struct.pack(order + "HHI", tag, kind, len(numbers)) + field
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return head + b"".join(strips) + struct.pack(order + "H", len(tags)) + entries + b"\0" * 4 + values


def plain(
    bits: int = 8, photometric: int = 1, samples: int = 1, **_: Any
) -> dict[int, tuple[int, list[int]]]:
    return {
        256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [bits] * samples), 259: (3, [1]), 262: (3, [photometric]),
        277: (3, [samples]), 278: (4, [HEIGHT]),
    }  # fmt: skip


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of `bits` bits a value, highest bit first, each row to a whole byte."""
    ones = (values[:, :, None] >> np.arange(bits)[::-1]) & 1
    return np.packbits(ones.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()


def reason(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_grey(data)
    return caught.value.reason


class TestMeaning:
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 32)}, {"bigtiff": True}])
    @pytest.mark.parametrize("picture", [GREY8, GREY16, FLOAT], ids=["8", "16", "float"])
    def test_zero_may_be_white(self, picture: np.ndarray, options: dict, order: str) -> None:
        data = written(picture, photometric="miniswhite", byteorder=order, **options)
        np.testing.assert_allclose(unit(read_grey(data)), 1 - unit(picture), atol=1e-7)

    def test_zero_may_be_white_in_lzw(self) -> None:
        """Pillow writes no 16-bit WhiteIsZero; the tag is changed in a file of its own."""
        data = by_pillow(GREY16, compression="tiff_lzw")
        tag = struct.pack("<HHI", 262, 3, 1)
        at = data.index(tag) + len(tag)
        np.testing.assert_array_equal(read_grey(data[:at] + b"\0\0" + data[at + 2 :]), 65535 - GREY16)

    def test_signed_numbers_of_8_and_16_bits_have_no_known_white(self) -> None:
        assert "signed 8-bit integers" in reason(written(GREY8.astype(np.int8)))
        assert "signed 16-bit integers" in reason(written((GREY16 // 2).astype(np.int16), byteorder=">"))

    @pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.uint64, np.int64])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_wider_integers_count_as_16_bits_if_they_fit(self, dtype: type, order: str) -> None:
        data = written(GREY16.astype(dtype), byteorder=order, photometric="minisblack")
        np.testing.assert_array_equal(read_grey(data), GREY16)
        far = written(GREY16.astype(dtype) * 2, byteorder=order, photometric="minisblack")
        assert "save it as 16 bit" in reason(far)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_other_floats_are_read(self, dtype: type, order: str) -> None:
        picture = FLOAT.astype(dtype)
        data = written(picture, byteorder=order, photometric="minisblack")
        np.testing.assert_allclose(unit(read_grey(data)), picture, atol=1e-7)

    @pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -0.5])
    def test_floats_that_are_no_grey_are_refused(self, value: float) -> None:
        broken = FLOAT.astype(np.float64)
        broken[3, 4] = value
        assert "values" in reason(written(broken, photometric="minisblack"))

    def test_complex_numbers_are_refused(self) -> None:
        assert "complex numbers" in reason(written(FLOAT.astype(np.complex64), photometric="minisblack"))

    @pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 24])
    @pytest.mark.parametrize("white_is_zero", [False, True])
    def test_any_number_of_bits_is_read_on_its_own_scale(self, bits: int, white_is_zero: bool) -> None:
        most = min((1 << bits) - 1, 65535)
        values = GREY16.astype(np.uint32) % (most + 1)
        data = by_hand(plain(bits, 0 if white_is_zero else 1), packed(values, bits), order=">")
        if bits == 24 and white_is_zero:
            assert "zero is white" in reason(data)
            return
        expected = 1 - values / most if white_is_zero else values / most
        np.testing.assert_allclose(unit(read_grey(data)), expected, atol=0.51 / (255 if bits < 8 else 65535))

    def test_bits_may_stand_in_the_other_order_in_each_byte(self) -> None:
        turned = np.packbits(np.unpackbits(GREY8, axis=1), axis=1, bitorder="little")
        data = by_hand(plain() | {266: (3, [2])}, turned.tobytes())
        np.testing.assert_array_equal(read_grey(data), GREY8)

    @pytest.mark.parametrize(
        ("photometric", "name"),
        [
            (4, "transparency mask"),
            (8, "L*a*b*"),
            (32803, "Bayer"),
            (32844, "log2"),
            (34892, "linear raw"),
            (77, "77"),
        ],
    )
    def test_other_meanings_are_named(self, photometric: int, name: str) -> None:
        samples = 3 if photometric == 8 else 1
        data = by_hand(plain(8, photometric, samples), bytes(HEIGHT * WIDTH * samples))
        assert name in reason(data)
        assert "damaged" not in reason(data)

    def test_a_file_that_does_not_say_what_is_white_is_refused(self) -> None:
        assert "PhotometricInterpretation" in reason(by_hand(plain() | {262: (3, [])}, GREY8.tobytes()))

    def test_samples_of_different_depth_are_refused(self) -> None:
        data = by_hand(plain(8, 2, 3) | {258: (3, [5, 6, 5])}, bytes(4 * HEIGHT * WIDTH))
        assert "differ in bits (5, 6, 5)" in reason(data)


class TestColour:
    @pytest.mark.parametrize("planes", ["contig", "separate"])
    @pytest.mark.parametrize("order", ["<", ">"])
    @pytest.mark.parametrize(
        "options", [{}, {"compression": "zlib"}, {"tile": (32, 16)}, {"rowsperstrip": 7}]
    )
    def test_16_bit_colour_keeps_its_bits(self, planes: str, order: str, options: dict) -> None:
        stored = RGB16 if planes == "contig" else RGB16.transpose(2, 0, 1)
        grey = read_grey(written(stored, photometric="rgb", planarconfig=planes, byteorder=order, **options))
        assert grey.dtype == np.uint16
        np.testing.assert_allclose(grey, RGB16 @ LUMA, atol=1.5)

    def test_a_12_bit_picture_in_16_bit_colour_keeps_all_its_levels(self) -> None:
        twelve = GREY16 >> 4
        grey = read_grey(written(np.dstack([twelve] * 3), photometric="rgb"))
        np.testing.assert_array_equal(grey, twelve)

    def test_colour_of_floats(self) -> None:
        colour = (RGB16 / 65535).astype(np.float32)
        grey = read_grey(written(colour, photometric="rgb", planarconfig="contig"))
        np.testing.assert_allclose(unit(grey), colour @ LUMA, atol=2 / 65535)

    def test_8_bit_colour_is_as_in_any_other_file(self) -> None:
        colour = (RGB16 >> 8).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(colour).save(buffer, "PNG")
        np.testing.assert_array_equal(
            read_grey(written(colour, photometric="rgb")), read_grey(buffer.getvalue())
        )

    def test_alpha_is_dropped(self) -> None:
        with_alpha = np.dstack([GREY16, GREY16.T.reshape(HEIGHT, WIDTH)])
        stored = written(
            with_alpha, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
        )
        np.testing.assert_array_equal(read_grey(stored), GREY16)

    def test_premultiplied_alpha_only_where_it_changed_nothing(self) -> None:
        for alpha, fine in ((65535, True), (30000, False)):
            with_alpha = np.dstack([GREY16, np.full_like(GREY16, alpha)])
            stored = written(
                with_alpha, photometric="minisblack", planarconfig="contig", extrasamples=["assocalpha"]
            )
            if fine:
                np.testing.assert_array_equal(read_grey(stored), GREY16)
            else:
                assert "premultiplied" in reason(stored)

    def test_a_second_channel_that_shows_something_is_not_dropped(self) -> None:
        two = np.dstack([GREY16, GREY16[::-1]])
        stored = written(two, photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"])
        assert "channel of unknown meaning" in reason(stored)
        padded = np.dstack([GREY16, np.zeros_like(GREY16)])
        stored = written(
            padded, photometric="minisblack", planarconfig="contig", extrasamples=["unspecified"]
        )
        np.testing.assert_array_equal(read_grey(stored), GREY16)

    @pytest.mark.parametrize("bits", [1, 4, 8, 16])
    def test_palettes_are_looked_up(self, bits: int) -> None:
        table = np.random.default_rng(5).integers(0, 65536, (3, 1 << bits), dtype=np.uint16)
        index = GREY16.astype(np.uint32) % (1 << bits)
        tags = plain(bits, 3) | {320: (3, table.ravel().tolist())}
        grey = read_grey(by_hand(tags, packed(index, bits), order=">"))
        np.testing.assert_allclose(grey, (table.T @ LUMA)[index], atol=1.5)

    def test_palettes_of_8_bits_in_16_are_8_bits(self) -> None:
        image = Image.fromarray(GREY8, "P")
        image.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
        np.testing.assert_array_equal(read_grey(by_pillow(image)), GREY8)

    def test_a_palette_that_is_cut_short_is_damaged(self) -> None:
        assert "colour map" in reason(by_hand(plain(8, 3) | {320: (3, [0] * 300)}, GREY8.tobytes()))

    def test_a_palette_of_numbers_that_no_palette_has_is_damaged(self) -> None:
        data = by_hand(plain(8, 3) | {320: (4, [v * 70000 for v in range(256)] * 3)}, GREY8.tobytes())
        assert "damaged: a colour map" in reason(data)

    def test_more_channels_than_any_picture_has_are_refused_before_they_cost_anything(self) -> None:
        assert "4000000000 channels" in reason(
            by_hand(plain() | {277: (4, [4_000_000_000])}, GREY8.tobytes())
        )

    def test_print_colours_become_the_grey_that_they_print(self) -> None:
        ink = np.zeros((HEIGHT, WIDTH, 4), np.uint16)
        ink[..., 3] = GREY16
        np.testing.assert_array_equal(read_grey(written(ink, photometric="separated")), 65535 - GREY16)

    def test_luma_with_full_colour_is_read_and_other_is_refused(self) -> None:
        colour = np.dstack([GREY8, np.full_like(GREY8, 90), np.full_like(GREY8, 200)])
        whole = plain(8, 6, 3) | {530: (3, [1, 1])}
        np.testing.assert_array_equal(read_grey(by_hand(whole, colour.tobytes())), GREY8)
        assert "subsampled" in reason(by_hand(plain(8, 6, 3), colour.tobytes()))  # its default is 2 x 2

    @pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
    def test_jpeg_inside_is_as_jpeg_outside(self, mode: str) -> None:
        smooth = Image.fromarray(np.linspace(20, 230, 64 * 64).reshape(64, 64).astype(np.uint8)).convert(mode)
        grey = read_grey(by_pillow(smooth, compression="jpeg", quality=95))
        np.testing.assert_allclose(grey, np.asarray(smooth.convert("L")), atol=4)


class TestCompression:
    @pytest.mark.parametrize(
        "name", ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "lzma", "zstd", "raw"]
    )
    @pytest.mark.parametrize("picture", [GREY8, GREY16, FLOAT], ids=["8", "16", "float"])
    def test_lossless_ones_lose_nothing(self, name: str, picture: np.ndarray) -> None:
        np.testing.assert_array_equal(read_grey(by_pillow(picture, compression=name)), picture)

    @pytest.mark.parametrize("picture", [GREY8, GREY16], ids=["8", "16"])
    @pytest.mark.parametrize("order", ["<", ">"])
    def test_differences_are_summed(self, picture: np.ndarray, order: str) -> None:
        """The predictor as libtiff writes it (tag 317)."""
        data = by_pillow(picture, compression="tiff_lzw", tiffinfo={317: 2})
        np.testing.assert_array_equal(read_grey(data), picture)
        data = written(picture, compression="zlib", predictor=2, byteorder=order, photometric="minisblack")
        np.testing.assert_array_equal(read_grey(data), picture)

    def test_differences_of_colour_go_by_channel(self) -> None:
        data = written(RGB16, compression="zlib", predictor=2, photometric="rgb", tile=(16, 16))
        np.testing.assert_allclose(read_grey(data), RGB16 @ LUMA, atol=1.5)

    def test_the_floating_point_predictor(self) -> None:
        data = by_pillow(FLOAT, compression="tiff_adobe_deflate", tiffinfo={317: 3})
        np.testing.assert_array_equal(read_grey(data), FLOAT)

    @pytest.mark.parametrize("name", ["group3", "group4", "tiff_ccitt"])
    def test_fax(self, name: str) -> None:
        picture = Image.fromarray(GREY8).convert("1", dither=Image.Dither.NONE)
        np.testing.assert_array_equal(
            read_grey(by_pillow(picture, compression=name)), np.asarray(picture) * 255
        )

    @pytest.mark.parametrize(
        ("number", "name"), [(34712, "JPEG 2000"), (34887, "LERC"), (6, "old-style"), (123, "123")]
    )
    def test_others_are_named(self, number: int, name: str) -> None:
        why = reason(by_hand(plain() | {259: (3, [number])}, GREY8.tobytes()))
        assert f"TIFF with {'number ' if number == 123 else ''}{name}" in why
        assert "damaged" not in why


class TestDataThatEndEarly:
    """Decoders fill up what is missing without a word."""

    JPEG, DEFLATE, FAX4 = 7, 8, 4

    @pytest.mark.parametrize("ended", [False, True])
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_jpeg(self, share: float, ended: bool) -> None:
        whole = self.jpeg(GREY8)
        cut = whole[: int(share * len(whole))].rstrip(b"\xff") + (b"\xff\xd9" if ended else b"")
        assert read_grey(by_hand(plain() | {259: (3, [self.JPEG])}, whole)).shape == (HEIGHT, WIDTH)
        assert "truncated or damaged" in reason(by_hand(plain() | {259: (3, [self.JPEG])}, cut))

    def test_a_strip_among_others(self) -> None:
        halves = [self.jpeg(GREY8[:16]), self.jpeg(GREY8[16:32]), self.jpeg(GREY8[32:])]
        tags = plain() | {259: (3, [self.JPEG]), 278: (4, [16])}
        assert read_grey(by_hand(tags, *halves)).shape == (HEIGHT, WIDTH)
        halves[1] = halves[1][:-300] + b"\xff\xd9"
        assert "truncated or damaged" in reason(by_hand(tags, *halves))

    def test_middle_grey_is_whole(self) -> None:
        grey = np.full((HEIGHT, WIDTH), 128, np.uint8)
        assert (read_grey(by_hand(plain() | {259: (3, [self.JPEG])}, self.jpeg(grey))) == 128).all()

    @pytest.mark.parametrize("broken", ["cut", "zeros", "one bit"])
    @pytest.mark.parametrize("fill_order", [1, 2])
    def test_deflate(self, broken: str, fill_order: int) -> None:
        tags = plain() | {259: (3, [self.DEFLATE]), 266: (3, [fill_order])}
        whole = zlib.compress(GREY8.tobytes())
        half = len(whole) // 2
        changed = {
            "cut": whole[:half],
            "zeros": whole[:half] + bytes(len(whole) - half),
            "one bit": whole[:half] + bytes([whole[half] ^ 4]) + whole[half + 1 :],
        }[broken]

        def filed(data: bytes) -> bytes:
            bits = np.unpackbits(
                np.frombuffer(data, np.uint8), bitorder="little" if fill_order == 2 else "big"
            )
            return by_hand(tags, np.packbits(bits).tobytes())

        np.testing.assert_array_equal(read_grey(filed(whole)), GREY8)
        assert "truncated or damaged" in reason(filed(changed))

    def test_deflate_that_holds_more_rows_than_the_last_strip_needs(self) -> None:
        tags = plain() | {259: (3, [self.DEFLATE]), 278: (4, [30])}
        padded = GREY8[30:].tobytes() + bytes(20 * WIDTH)
        data = by_hand(tags, zlib.compress(GREY8[:30].tobytes()), zlib.compress(padded))
        np.testing.assert_array_equal(read_grey(data), GREY8)

    @pytest.mark.parametrize("name", ["group3", "group4"])
    def test_fax(self, name: str) -> None:
        data = by_pillow(Image.fromarray(GREY8).convert("1"), compression=name)
        page = Image.open(io.BytesIO(data)).tag_v2  # type: ignore[attr-defined]
        (start,), (length,), number = page[273], page[279], page[259]
        tags = plain(1, page[262]) | {259: (3, [number])}
        assert read_grey(by_hand(tags, data[start : start + length])).shape == (HEIGHT, WIDTH)
        assert "truncated or damaged" in reason(by_hand(tags, data[start : start + length // 2]))

    def jpeg(self, grey: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, "JPEG", quality=95)
        return buffer.getvalue()


class TestPages:
    def test_a_defect_on_the_second_page_is_not_overlooked(self) -> None:
        pages = by_pillow(GREY8, save_all=True, append_images=[Image.fromarray(255 - GREY8)] * 2)
        assert reason(pages).startswith("3 pages in one file")

    def test_a_thumbnail_is_no_page(self) -> None:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write(GREY8[::4, ::4], subfiletype=1, metadata=None)
            writer.write(GREY16, metadata=None)
        np.testing.assert_array_equal(read_grey(buffer.getvalue()), GREY16)

    @pytest.mark.parametrize("reduced", [True, False])
    def test_pictures_within_the_picture(self, reduced: bool) -> None:
        buffer = io.BytesIO()
        with tifffile.TiffWriter(buffer) as writer:
            writer.write(GREY16, subifds=1, metadata=None)
            writer.write(GREY16[::2, ::2], subfiletype=int(reduced), metadata=None)
        if reduced:
            np.testing.assert_array_equal(read_grey(buffer.getvalue()), GREY16)
        else:
            assert "2 pages" in reason(buffer.getvalue())

    def test_a_stack_behind_one_directory_is_one_too(self) -> None:
        """ImageJ writes large stacks so; only its description tells."""
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, GREY16, metadata=None, description="ImageJ=1.54f\nimages=7\nslices=7\n")
        assert reason(buffer.getvalue()).startswith("a stack of 7 pages")
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, GREY16, metadata=None, description="ImageJ=1.54f\nimages=1\n")
        np.testing.assert_array_equal(read_grey(buffer.getvalue()), GREY16)

    def test_planes_in_depth_are_a_stack(self) -> None:
        volume = np.stack([GREY8, 255 - GREY8])
        assert reason(written(volume, volumetric=True, tile=(16, 16, 16))).startswith("a volume of 2 planes")
        assert reason(by_hand({**plain(), 32997: (4, [3])}, GREY8.tobytes())).startswith(
            "a volume of 3 planes"
        )
        np.testing.assert_array_equal(
            read_grey(by_hand({**plain(), 32997: (4, [1])}, GREY8.tobytes())), GREY8
        )

    def test_a_stack_that_tifffile_cut_to_one_directory_is_one(self) -> None:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, np.stack([GREY8] * 3), photometric="minisblack", metadata={}, truncate=True)
        assert reason(buffer.getvalue()).startswith("a volume of 3 planes")

    def test_a_ring_of_pages_ends(self) -> None:
        data = by_hand(plain(), GREY8.tobytes())
        start = 8 + GREY8.size
        end = start + 2 + 12 * struct.unpack_from("<H", data, start)[0]
        assert "point to each other" in reason(data[:end] + struct.pack("<I", start) + data[end + 4 :])

    def test_thousands_of_pages_are_counted_to_a_thousand(self) -> None:
        page = by_hand(plain(), GREY8.tobytes())
        start = 8 + GREY8.size
        directory = page[start:]
        pages = page[:start]
        for _ in range(1200):
            after = len(pages) + len(directory)
            pages += directory[:110] + struct.pack("<I", after) + directory[114:]
        assert len(directory) == 114
        assert "1000 or more pages" in reason(pages + directory)


class TestOrientation:
    @pytest.mark.parametrize("tag", range(1, 9))
    def test_the_tag_is_not_followed_in_any_format(self, tag: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = tag
        for image_format in ("TIFF", "PNG", "JPEG"):
            plain_file, tagged = io.BytesIO(), io.BytesIO()
            Image.fromarray(GREY8).save(plain_file, image_format)
            Image.fromarray(GREY8).save(tagged, image_format, exif=exif)
            np.testing.assert_array_equal(read_grey(tagged.getvalue()), read_grey(plain_file.getvalue()))


class TestOldWriters:
    def test_no_counts_of_an_uncompressed_file(self) -> None:
        np.testing.assert_array_equal(read_grey(by_hand(plain() | {279: (4, [])}, GREY8.tobytes())), GREY8)
        np.testing.assert_array_equal(read_grey(by_hand(plain() | {279: (4, [0])}, GREY8.tobytes())), GREY8)

    def test_counts_of_some_strips_of_an_uncompressed_file(self) -> None:
        strips = [GREY8[i : i + 10].tobytes() for i in range(0, HEIGHT, 10)]
        tags = plain() | {278: (4, [10]), 279: (4, [10 * WIDTH])}
        np.testing.assert_array_equal(read_grey(by_hand(tags, *strips)), GREY8)
        assert "sizes of 1 strips" in reason(by_hand(tags | {259: (3, [32773])}, *strips))

    @pytest.mark.parametrize("compression", [1, 32773])
    def test_a_predictor_says_nothing_where_there_is_nothing_to_predict(self, compression: int) -> None:
        """Some writers put the tag into every file; libtiff, too, looks at it for LZW and its like alone."""
        lines = [
            bytes([WIDTH - 1]) + row.tobytes() for row in GREY8
        ]  # PackBits: a run of WIDTH bytes as they are
        stored = GREY8.tobytes() if compression == 1 else b"".join(lines)
        data = by_hand(plain() | {259: (3, [compression]), 317: (3, [2])}, stored)
        np.testing.assert_array_equal(read_grey(data), GREY8)

    def test_no_counts_of_a_compressed_one_are_named(self) -> None:
        data = by_hand(plain() | {259: (3, [5]), 279: (4, [])}, GREY8.tobytes())
        assert "without StripByteCounts" in reason(data)

    def test_no_bits_a_sample_where_there_is_a_byte_for_each(self) -> None:
        """By the letter it is a picture of one bit, in the first eighth of the strip."""
        bytes_each = by_hand(plain() | {258: (3, [])}, GREY8.tobytes())
        assert "without BitsPerSample" in reason(bytes_each)
        ones = GREY8 > 100
        one_bit = by_hand(plain() | {258: (3, [])}, np.packbits(ones, axis=1).tobytes())
        np.testing.assert_array_equal(read_grey(one_bit), ones * 255)

    def test_no_rows_a_strip(self) -> None:
        np.testing.assert_array_equal(read_grey(by_hand(plain() | {278: (4, [0])}, GREY8.tobytes())), GREY8)
        np.testing.assert_array_equal(
            read_grey(by_hand(plain() | {278: (4, [2**32 - 1])}, GREY8.tobytes())), GREY8
        )

    def test_a_count_that_is_too_large(self) -> None:
        data = by_hand(plain() | {279: (4, [10**6])}, GREY8.tobytes())
        np.testing.assert_array_equal(read_grey(data), GREY8)

    @pytest.mark.parametrize(
        "change",
        [
            {278: (4, [20])},  # two strips are needed
            {257: (4, [80]), 278: (4, [80])},  # twice as many rows as there are bytes
            {258: (3, [16])},
            {284: (3, [2]), 277: (3, [3]), 262: (3, [2])},  # three planes of one strip each
            {273: (4, [10**6])},
            {256: (4, [0])},
            {279: (4, [100])},
        ],
    )
    def test_pixels_that_are_not_there_are(self, change: dict) -> None:
        assert "damaged" in reason(by_hand(plain() | change, GREY8.tobytes()))

    def test_tiles_must_cover_the_picture(self) -> None:
        tiles = plain() | {322: (4, [64]), 323: (4, [16])}
        assert "damaged" in reason(by_hand(tiles, bytes(64 * 16), bytes(64 * 16)))
        assert read_grey(by_hand(tiles, *[bytes(64 * 16)] * 3)).shape == (HEIGHT, WIDTH)


@given(st.data())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_another_program_writes_is_read_or_refused_by_name(data: st.DataObject) -> None:
    """tifffile writes, and says what is in the file; 16 kinds of pixel times how they can be laid out."""
    draw = data.draw
    name = draw(st.sampled_from(["u1", "u2", "u4", "u8", "i1", "i2", "i4", "f2", "f4", "f8"]))
    samples = draw(st.sampled_from([1, 1, 3, 4]))
    height, width = draw(st.integers(16, 70)), draw(st.integers(16, 70))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    picture = random.random((height, width, samples))
    top = {"u1": 255, "i1": 127, "i2": 32767}.get(name, 1 if name[0] == "f" else 65535)
    stored = (picture * top).astype(name) if name[0] == "f" else np.rint(picture * top).astype(name)
    separate = samples > 1 and draw(st.booleans())
    photometric = "rgb" if samples > 1 else draw(st.sampled_from(["minisblack", "miniswhite"]))
    options: dict[str, Any] = {
        "byteorder": draw(st.sampled_from(["<", ">"])),
        "bigtiff": draw(st.booleans()),
        "compression": draw(st.sampled_from([None, "zlib", "lzma"])),
        "photometric": photometric,
    }
    options |= {"planarconfig": "separate" if separate else "contig"} if samples > 1 else {}
    options |= draw(st.sampled_from([{}, {"tile": (16, 32)}, {"rowsperstrip": 5}, {"tile": (64, 16)}]))
    options |= {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    array = stored.transpose(2, 0, 1) if separate else stored
    file = written(array[..., 0] if samples == 1 else array, **options)
    with tifffile.TiffFile(io.BytesIO(file)) as other:
        page = other.pages[0]
        assert (page.imagewidth, page.samplesperpixel) == (width, samples)
    expected = stored[..., 0] / top if samples == 1 else (stored[..., :3] / top) @ LUMA
    try:
        grey = read_grey(file)
    except UnreadableImage as error:
        assert name in ("i1", "i2", "i4", "u4", "u8")
        assert "integers" in error.reason
        assert name in ("i1", "i2") or samples > 1 or photometric == "miniswhite"
        return
    expected = 1 - expected if photometric == "miniswhite" else expected
    np.testing.assert_allclose(unit(grey), expected, atol=2e-3 if name == "u1" and samples > 1 else 3e-5)


@pytest.mark.parametrize("number", [-1, 0, 3])
def test_pages_are_counted_from_1_to_the_last(number: int):
    pages = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 20)]
    buffer = io.BytesIO()
    pages[0].save(buffer, format="TIFF", save_all=True, append_images=pages[1:])
    assert [read_grey(one_page(buffer.getvalue(), n), min_side=1)[0, 0] for n in (1, 2)] == [10, 20]
    with pytest.raises(LookupError):
        one_page(buffer.getvalue(), number)
