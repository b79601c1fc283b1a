"""What a TIFF directory says about its pixels: everything that decides what they mean, or why they are not read.

The rule is that of TIFF 6.0 where it has one. Where writers disagree about the meaning (no PhotometricInterpretation,
signed 8 bits, a second channel of unknown meaning) the file is refused by the name of what was found: a guess would be
a wrong picture without a word. Standard library only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wafer_data.imaging.refused import Refused, damaged, unsupported
from wafer_data.imaging.tiff_structure import Directory

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
UNCOMPRESSED, JPEG = 1, 7
GROUP_3 = 3
CCITT = (2, GROUP_3, 4)
LOSSLESS = {5: "LZW", 8: "deflate", 32946: "deflate", 32773: "PackBits", 34925: "LZMA", 50000: "Zstandard"}
_PREDICTED = {number for number, name in LOSSLESS.items() if name != "PackBits"}
"""Compressions to which the tag Predictor applies (TIFF 6.0, section 14): of others it says nothing, as for libtiff."""
NO_PREDICTOR, DIFFERENCES, FLOAT_DIFFERENCES = 1, 2, 3
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
UNKNOWN_SAMPLE, PREMULTIPLIED, ALPHA = 0, 1, 2
MOST_SAMPLES = 16
"""Channels that are looked at: four of colour, and some of alpha or masks. The tag could state a thousand million."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _STRIP_ROWS, _STRIP_LENGTHS, _PLANAR = 273, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_LENGTHS = 317, 322, 323, 324, 325
_INK_SET, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _SUBSAMPLING = 332, 338, 339, 530
_YCBCR_COEFFICIENTS, _REFERENCE_BLACK_WHITE = 529, 532

_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}
_OTHER_PHOTOMETRIC = {
    4: "a transparency mask", 8: "CIE L*a*b* colour", 9: "ICC L*a*b* colour", 10: "ITU L*a*b* colour",
    32803: "raw data of a colour filter array (Bayer)", 32844: "CIE log2(L)", 32845: "CIE log2(L) colour",
    34892: "linear raw data", 51177: "a depth map",
}  # fmt: skip
_OTHER_COMPRESSION = {
    6: "old-style JPEG", 9: "JBIG", 10: "JBIG", 99: "JPEG", 32766: "NeXT", 32771: "CCITT word-aligned",
    32809: "ThunderScan", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG",
    34676: "SGI LogLuv", 34677: "SGI LogLuv", 34712: "JPEG 2000", 34887: "LERC", 34892: "lossy JPEG",
    34933: "PNG", 34934: "JPEG XR", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 22610: "JPEG XR",
}  # fmt: skip
_SAMPLE_FORMATS = {4: "samples of undefined format", 5: "complex integers", 6: "complex numbers"}


@dataclass(frozen=True)
class Layout:
    """The pixels of one directory.

    Attributes:
        width, height: Pixels.
        bits: Of each sample.
        kind: UNSIGNED, SIGNED or FLOAT.
        colours: Samples that are colour.
        extras: What each further sample of a pixel is.
        separate: Each sample has a plane of its own.
        part_width, part_height: Pixels of a strip or tile.
        tiled: Which of the two.
        reversed_bits: Lowest bit first in each byte.
        offsets, lengths: Place and size of each strip or tile in bytes; lengths is empty where the file does
            not say.
    """

    page: Directory
    width: int
    height: int
    bits: int
    kind: int
    photometric: int
    colours: int
    extras: tuple[int, ...]
    separate: bool
    compression: int
    predictor: int
    reversed_bits: bool
    tiled: bool
    part_width: int
    part_height: int
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def samples(self) -> int:
        """Samples of a pixel."""
        return self.colours + len(self.extras)

    @property
    def planes(self) -> int:
        """Planes that are stored one after the other."""
        return self.samples if self.separate else 1

    @property
    def part_samples(self) -> int:
        """Samples in a row of a strip or tile."""
        return self.part_width * self.samples // self.planes

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of a strip or tile, decompressed."""
        return -(-self.part_samples * self.bits // 8)

    @property
    def parts_down(self) -> int:
        """Strips or tiles from top to bottom."""
        return -(-self.height // self.part_height)

    @property
    def parts_across(self) -> int:
        """Strips or tiles from left to right."""
        return -(-self.width // self.part_width)

    def rows_of(self, part: int) -> int:
        """Rows of strip or tile `part` (counted within its plane); only the last strip may be shorter."""
        return (
            self.part_height if self.tiled else min(self.part_height, self.height - part * self.part_height)
        )


def layout_of(page: Directory) -> Layout:
    """Read and judge a directory.

    Raises:
        Refused: the file is damaged or of a kind that is not read; the reason names it.
        struct.error: the values of a tag lie outside the file.
    """
    layout = _read(page)
    _check_meaning(layout)
    if _BITS not in page.entries and layout.compression == UNCOMPRESSED:
        bytes_each = layout.part_samples * layout.rows_of(0)
        if max(layout.lengths, default=0) >= bytes_each:
            raise unsupported("TIFF without BitsPerSample, which means one bit, with a byte for each sample")
    return layout


def _read(page: Directory) -> Layout:
    width, height = page.number(_WIDTH, 0), page.number(_HEIGHT, 0)
    if width < 1 or height < 1:
        raise damaged("the TIFF header gives no width or height")
    photometric = page.number(_PHOTOMETRIC, -1)
    if photometric not in _COLOURS:
        raise _no_photometric(photometric)
    compression = page.number(_COMPRESSION, UNCOMPRESSED)
    if compression not in (UNCOMPRESSED, JPEG, *CCITT, *LOSSLESS):
        name = _OTHER_COMPRESSION.get(compression, f"number {compression}")
        raise unsupported(f"TIFF with {name} compression", "save it uncompressed, or with LZW or deflate")
    colours = _COLOURS[photometric]
    samples = page.number(_SAMPLES, 3 if compression == JPEG and photometric in (RGB, YCBCR) else 1)
    if samples < colours:
        raise damaged(f"{samples} samples a pixel, where the kind of picture needs {colours}")
    if samples > MOST_SAMPLES:  # before anything is made for each of them
        raise unsupported(f"TIFF of {samples} channels", "save it as grey or RGB")
    stated = tuple(page.numbers(_EXTRA_SAMPLES))[: samples - colours]
    extras = stated + (UNKNOWN_SAMPLE,) * (samples - colours - len(stated))
    if not stated and photometric == RGB and samples == 4:  # a frequent omission
        extras = (ALPHA,)
    separate = page.number(_PLANAR, 1) == 2 and samples > 1
    tiled = _TILE_WIDTH in page.entries
    rows = page.number(_STRIP_ROWS, height)
    strip_rows = min(rows, height) if rows else height  # old writers put 0 for "all in one"
    part_width, part_height = (
        (page.number(_TILE_WIDTH, 0), page.number(_TILE_HEIGHT, 0)) if tiled else (width, strip_rows)
    )
    if part_width < 1 or part_height < 1:
        raise damaged("tiles without width or height")
    offsets, lengths = page.numbers(_STRIP_OFFSETS), page.numbers(_STRIP_LENGTHS)
    if tiled and _TILE_OFFSETS in page.entries:
        offsets, lengths = page.numbers(_TILE_OFFSETS), page.numbers(_TILE_LENGTHS)
    return Layout(
        page=page,
        width=width,
        height=height,
        bits=_common(page, _BITS, samples, 1, "bits"),
        kind=_common(page, _SAMPLE_FORMAT, samples, UNSIGNED, "format"),
        photometric=photometric,
        colours=colours,
        extras=extras,
        separate=separate,
        compression=compression,
        predictor=page.number(_PREDICTOR, NO_PREDICTOR) if compression in _PREDICTED else NO_PREDICTOR,
        reversed_bits=page.number(_FILL_ORDER, 1) == 2,
        tiled=tiled,
        part_width=part_width,
        part_height=part_height,
        offsets=tuple(offsets),
        lengths=tuple(lengths) if any(lengths) else (),
    )


def _common(page: Directory, tag: int, samples: int, default: int, what: str) -> int:
    """The value that all samples of a pixel share."""
    values = tuple(page.numbers(tag))[:samples] or (default,)
    if len(set(values)) > 1:
        raise unsupported(f"TIFF whose samples differ in {what} ({', '.join(map(str, values))})")
    return values[0]


def _no_photometric(number: int) -> Refused:
    if number == -1:
        return unsupported("TIFF without PhotometricInterpretation, which says whether 0 is black or white")
    return unsupported(f"TIFF that holds {_OTHER_PHOTOMETRIC.get(number, f'photometric kind {number}')}")


def _check_meaning(layout: Layout) -> None:
    """Refuse what could only be guessed at."""
    bits, kind = layout.bits, layout.kind
    if kind in _SAMPLE_FORMATS or kind not in (UNSIGNED, SIGNED, FLOAT):
        raise unsupported(f"TIFF with {_SAMPLE_FORMATS.get(kind, f'sample format {kind}')}")
    if kind == FLOAT and bits not in (16, 32, 64):
        raise unsupported(f"{bits}-bit float TIFF", "save it as 32-bit float in [0, 1]")
    if kind == UNSIGNED and not (1 <= bits <= 32 or bits == 64):
        raise unsupported(f"{bits}-bit TIFF")
    if kind == SIGNED and bits not in (32, 64):
        raise unsupported(f"signed {bits}-bit integers, whose white is not known")
    if layout.photometric == WHITE_IS_ZERO and (kind == SIGNED or (kind == UNSIGNED and bits > 16)):
        raise unsupported(f"{bits}-bit integers where zero is white: which number is black is not known")
    if layout.colours > 1 and (kind == SIGNED or (kind == UNSIGNED and bits > 16)):
        raise unsupported(f"colour of {'signed ' if kind == SIGNED else ''}{bits}-bit integers")
    if layout.photometric == PALETTE and (kind != UNSIGNED or bits > 16):
        raise unsupported("a palette for anything but unsigned numbers of at most 16 bits")
    if layout.photometric == CMYK and layout.page.number(_INK_SET, 1) != 1:
        raise unsupported("TIFF of inks other than cyan, magenta, yellow and black")
    if layout.photometric == CMYK and kind == FLOAT:
        raise unsupported("CMYK colour as floating point")
    if layout.photometric == YCBCR and layout.compression != JPEG:
        _check_luma(layout)
    if layout.compression in CCITT and (bits != 1 or layout.samples != 1 or layout.tiled):
        raise unsupported("TIFF with CCITT compression of more than one bit a pixel")
    if layout.compression == JPEG and (bits != 8 or layout.photometric in (CMYK, PALETTE) or layout.extras):
        raise unsupported(f"TIFF with {bits}-bit JPEG compression of {layout.samples} channels")
    _check_predictor(layout)


def _check_luma(layout: Layout) -> None:
    """Of YCbCr that is not JPEG, Y is the grey picture only if it is neither subsampled nor squeezed."""
    page = layout.page
    # Missing tags have defaults (TIFF 6.0, section 21): colour at half the width and height.
    plain = tuple(page.numbers(_SUBSAMPLING)) == (1, 1) and layout.bits == 8 and layout.kind == UNSIGNED
    if not plain or _YCBCR_COEFFICIENTS in page.entries:
        raise unsupported(
            "YCbCr TIFF with subsampled colour or coefficients of its own", "save it as RGB or grey"
        )
    black_white = _rationals(page, _REFERENCE_BLACK_WHITE)
    if black_white and tuple(black_white[:2]) != (0.0, 255.0):
        raise unsupported("YCbCr TIFF with a reference black or white of its own", "save it as RGB or grey")


def _rationals(page: Directory, tag: int) -> list[float]:
    data = page.raw(tag)
    numbers = struct.unpack(f"{page.order}{len(data) // 8 * 2}I", data[: len(data) // 8 * 8])
    return [a / b if b else 0.0 for a, b in zip(numbers[::2], numbers[1::2], strict=True)]


def _check_predictor(layout: Layout) -> None:
    predictor = layout.predictor
    fits = (
        predictor == NO_PREDICTOR
        or (predictor == DIFFERENCES and layout.bits in (8, 16, 32, 64))
        or (predictor == FLOAT_DIFFERENCES and layout.kind == FLOAT)
    )  # fmt: skip
    if not fits:
        raise unsupported(f"TIFF with predictor {predictor} for {layout.bits}-bit samples")
