"""Damaged and hostile files: read or refused with a reason, soon, and never anything else.

WAFERROUTE_FUZZ_EXAMPLES sets how many mutated files are tried (default 400, a few seconds);
`tests/stress/fuzz_images.py` tries a hundred thousand in a minute.
"""

import faulthandler
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from wafer_data.imaging.read import UnreadableImage, read_grey
from wafer_data.imaging.truncation import PNG_SIGNATURE

# Pillow warns about the broken TIFF files that these tests feed it on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

EXAMPLES = int(os.environ.get("WAFERROUTE_FUZZ_EXAMPLES", "400"))
RNG = np.random.default_rng(0)
GREY8 = RNG.integers(0, 256, (24, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (24, 30, 3), dtype=np.uint8)
ALPHA = np.dstack([RGB, RGB[:, :, 0]])
PICTURES = {
    "grey8": Image.fromarray(GREY8),
    "grey16": Image.fromarray(RNG.integers(0, 65536, (24, 30), dtype=np.uint16)),
    "grey32": Image.fromarray(RNG.integers(0, 65536, (24, 30)).astype(np.int32)),
    "float": Image.fromarray(RNG.random((24, 30), dtype=np.float32)),
    "black and white": Image.fromarray(GREY8).convert("1"),
    "rgb": Image.fromarray(RGB),
    "rgba": Image.fromarray(ALPHA),
    "grey alpha": Image.fromarray(np.ascontiguousarray(ALPHA[:, :, :2])),
    "palette": Image.fromarray(RGB).quantize(16),
    "cmyk": Image.fromarray(ALPHA, "CMYK"),
}
FILES = [
    *(("PNG", name, {}) for name in ("grey8", "grey16", "black and white", "rgb", "rgba", "palette")),
    ("PNG", "grey alpha", {}),
    *(("JPEG", name, options) for name in ("grey8", "rgb", "cmyk") for options in ({}, {"progressive": True})),
    *(("BMP", name, {}) for name in ("grey8", "rgb", "black and white", "palette")),
    *(("TIFF", name, {}) for name in PICTURES),
    *(("TIFF", "grey8", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
    *(("TIFF", name, {"compression": "tiff_lzw"}) for name in ("grey16", "float", "rgb", "cmyk")),
    ("TIFF", "black and white", {"compression": "group4"}),
    ("TIFF", "grey8", {"big_tiff": True}),
]  # fmt: skip


def encode(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


ORIGINALS = [encode(PICTURES[name], image_format, **options) for image_format, name, options in FILES]
IDS = [" ".join([image_format, name, *options]) for image_format, name, options in FILES]

# Lengths, offsets and counts are where decoders go wrong.
TELLING_BYTES = st.sampled_from(
    [struct.pack(code, value) for code in ("<I", ">I") for value in (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1)]
    + [b"\x00\x00", b"\xff\xff", b"\x00\x01", b"\x01\x00", b"\xff\xd9", b"\xff\xda", b"\xff\xc0"]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` after one to four changes: bytes replaced, put in, taken out, repeated or blanked."""
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        length = draw(st.sampled_from([1, 2, 4, 16, 64, 300]))
        piece = data[place : place + length]
        kind = draw(st.sampled_from(["replace", "insert", "remove", "repeat", "blank", "cut", "flip"]))
        if kind in ("replace", "insert"):
            new = draw(st.one_of(TELLING_BYTES, st.binary(min_size=1, max_size=8)))
            data = data[:place] + new + data[place + (len(new) if kind == "replace" else 0) :]
        elif kind == "flip":
            data = data[:place] + bytes([data[place] ^ (1 << draw(st.integers(0, 7)))]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place]
        else:
            new = {"remove": b"", "repeat": piece * draw(st.integers(2, 40)), "blank": bytes(len(piece))}[
                kind
            ]
            data = data[:place] + new + data[place + length :]
        if not data:
            break
    return data


def with_right_checksums(png: bytes) -> bytes:
    """A PNG whose chunks carry the checksums that their changed content asks for."""
    position, out = len(PNG_SIGNATURE), png[: len(PNG_SIGNATURE)]
    while position + 12 <= len(png):
        length = min(struct.unpack_from(">I", png, position)[0], len(png) - position - 12)
        body = png[position + 4 : position + 8 + length]
        out += struct.pack(">I", length) + body + struct.pack(">I", zlib.crc32(body))
        position += 12 + length
    return out


def read_or_refuse(data: bytes) -> np.ndarray | None:
    """The image, checked for what every image must be; or None if it was refused."""
    try:
        grey = read_grey(data)
    except UnreadableImage as error:
        assert error.reason
        return None
    assert grey.ndim == 2 and min(grey.shape) >= 16 and grey.size <= 64_000_000
    assert grey.dtype in (np.uint8, np.uint16, np.float32)
    assert grey.dtype != np.float32 or (grey.min() >= 0 and grey.max() <= 1)
    return grey


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """A reader that hangs, also inside a decoder's C code, ends the run with its traceback."""
    faulthandler.dump_traceback_later(60 + EXAMPLES // 10, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


fuzz = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("data", ORIGINALS, ids=IDS)
def test_the_originals_are_read(data: bytes) -> None:
    assert read_or_refuse(data) is not None


@given(st.sampled_from(ORIGINALS).flatmap(mutated))
@fuzz
def test_a_changed_file_is_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)


@given(st.sampled_from([data for data in ORIGINALS if data.startswith(PNG_SIGNATURE)]).flatmap(mutated))
@fuzz
def test_a_changed_png_with_right_checksums_is_read_or_refused(data: bytes) -> None:
    read_or_refuse(with_right_checksums(data))


@given(mutated(ORIGINALS[0]))
@fuzz
def test_a_changed_png_never_shows_other_pixels(data: bytes) -> None:
    grey = read_or_refuse(data)
    assert grey is None or np.array_equal(grey, GREY8)


@given(st.sampled_from([data[:4] for data in ORIGINALS] + [b""]), st.binary(max_size=300))
@fuzz
def test_noise_behind_the_right_first_bytes_is_no_image(start: bytes, noise: bytes) -> None:
    assert read_or_refuse(start + noise) is None


def patched(data: bytes, change: Callable[[bytearray], object]) -> bytes:
    copy = bytearray(data)
    change(copy)
    return bytes(copy)


def huge(data: bytes) -> bytes:
    """`data` with a header that says 20 000 x 20 000 pixels."""
    if data.startswith(PNG_SIGNATURE):
        return with_right_checksums(patched(data, lambda d: struct.pack_into(">II", d, 16, 20_000, 20_000)))
    if data.startswith(b"BM"):
        return patched(data, lambda d: struct.pack_into("<ii", d, 18, 20_000, 20_000))
    if data.startswith(b"\xff\xd8"):
        frame = next(data.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data)
        return patched(data, lambda d: struct.pack_into(">HH", d, frame + 5, 20_000, 20_000))
    big = data[2] == 43
    first = struct.unpack_from("<Q" if big else "<I", data, 8 if big else 4)[0] + (8 if big else 2)

    def resize(copy: bytearray) -> None:
        for at in range(first, len(copy) - 12, 20 if big else 12):
            if struct.unpack_from("<H", copy, at)[0] in (256, 257):
                struct.pack_into("<HI", copy, at + 2, 4, 1)
                struct.pack_into("<I", copy, at + (12 if big else 8), 20_000)

    return patched(data, resize)


class TestBombs:
    @pytest.mark.parametrize("data", ORIGINALS, ids=IDS)
    def test_a_huge_size_is_refused_before_any_pixel_is_decoded(
        self, data: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def decoded(*args: Any, **kwargs: Any) -> Never:
            raise AssertionError("pixels were decoded")

        monkeypatch.setattr(ImageFile.ImageFile, "load", decoded)
        monkeypatch.setattr(Image.Image, "load", decoded)
        with pytest.raises(UnreadableImage, match="too large"):
            read_grey(huge(data))

    def test_a_huge_second_page_is_never_decoded(self) -> None:
        large = Image.new("1", (9_000, 9_000))
        data = encode(PICTURES["grey8"], "TIFF", save_all=True, append_images=[large])
        with pytest.raises(UnreadableImage, match="2 pages"):
            read_grey(data)

    def test_compressed_text_beside_the_image_does_not_fill_the_memory(self) -> None:
        start, end = ORIGINALS[0][:33], ORIGINALS[0][33:]
        text = b"zTXtnote\x00\x00" + zlib.compress(bytes(20_000_000))
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        assert read_or_refuse(start + chunk * 3 + end) is None

    def test_a_file_larger_than_any_allowed_image_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "endless.png"
        path.write_bytes(ORIGINALS[0])
        os.truncate(path, 10**12)  # sparse: it takes no room
        with pytest.raises(UnreadableImage, match="a file of more than 1024 megabytes"):
            read_grey(path)

    def test_running_out_of_memory_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*args: Any) -> Never:
            raise MemoryError

        monkeypatch.setattr(ImageFile.ImageFile, "load", full)
        monkeypatch.setattr(Image, "frombytes", full)  # small ones
        with pytest.raises(UnreadableImage, match="not enough memory"):
            read_grey(ORIGINALS[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnreadableImage, match="not a regular file"):
        read_grey(tmp_path / "pipe.png")


def test_a_print_colour_jpeg_reads_as_its_luma() -> None:
    white = encode(Image.new("CMYK", (32, 32), (0, 0, 0, 0)), "JPEG", quality=95)
    black = encode(Image.new("CMYK", (32, 32), (0, 0, 0, 255)), "JPEG", quality=95)
    assert read_grey(white).min() >= 250
    assert read_grey(black).max() <= 5
