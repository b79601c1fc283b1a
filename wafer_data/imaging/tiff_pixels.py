"""The pixels of a TIFF file as one grey array.

Strips and tiles in deflate are inflated here; other compressed ones are given to libtiff (through Pillow) as bytes, in
a small TIFF file of our own that says nothing about them but how they were compressed. What the bytes mean - their
order, depth, sign, predictor, planes, colour - is read here, by one rule for every compression; Pillow's own table of
TIFF kinds reads some of them as another picture (16-bit WhiteIsZero as its negative, signed bytes as unsigned,
compressed big-endian floats as noise).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from PIL import Image

from wafer_data.imaging import tiff_layout as kinds
from wafer_data.imaging.deflate import inflated_start
from wafer_data.imaging.jpeg_ends import FURTHER_DATA, check_ends
from wafer_data.imaging.jpeg_structure import examine_jpeg
from wafer_data.imaging.refused import Refused, damaged, unsupported
from wafer_data.imaging.tiff_layout import Layout

_BAND_BYTES = 1 << 24
_FAX_ROWS = b"\x00\x04\xd7" * 60  # of Group 3: end of line, no white pixel, two black ones
_COLOUR_MAP, _JPEG_TABLES, _SUBSAMPLING, _T4_OPTIONS, _T6_OPTIONS = 320, 347, 530, 292, 293
_REVERSED = np.packbits(
    np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little"), axis=1
)[:, 0]


def samples_of(layout: Layout) -> np.ndarray:
    """All samples as they are stored: (height, width, samples), in the computer's own byte order.

    Raises:
        Refused: strips or tiles are missing, outside the file, or cannot be decompressed.
    """
    parts = layout.parts_down * layout.parts_across
    if len(layout.offsets) < parts * layout.planes:
        raise damaged("strips or tiles are missing, the file does not reach its own end")
    planes = []
    for plane in range(layout.planes):
        pieces = list(_pieces(layout, plane * parts, parts))
        across = layout.parts_across
        rows = [np.concatenate(pieces[i : i + across], axis=1) for i in range(0, parts, across)]
        planes.append(np.concatenate(rows)[: layout.height, : layout.width])
    return planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)


def _pieces(layout: Layout, first: int, count: int) -> Iterator[np.ndarray]:
    """Strips or tiles first .. first + count - 1 as samples (rows, columns, samples of the plane)."""
    stored = [_stored(layout, first + part, layout.rows_of(part)) for part in range(count)]
    rows = [layout.rows_of(part) for part in range(count)]
    if layout.compression in (kinds.JPEG, *kinds.CCITT):
        yield from _decoded(layout, stored, rows)
        return
    for data, high in zip(_decompressed(layout, stored, rows), rows, strict=True):
        yield _unpacked(layout, data.reshape(high, layout.row_bytes))


def _stored(layout: Layout, part: int, rows: int) -> bytes:
    """The bytes of a strip or tile as they lie in the file."""
    data, start = layout.page.data, layout.offsets[part]
    if layout.compression == kinds.UNCOMPRESSED:  # how many there must be is known, whatever the file says
        needed = rows * layout.row_bytes
        if len(layout.lengths) > part and layout.lengths[part] < needed:
            raise damaged("a strip ends before its last row: the file does not reach its own end")
    elif len(layout.lengths) > part:
        needed = layout.lengths[part]
    elif layout.lengths:
        raise damaged(f"sizes of {len(layout.lengths)} strips or tiles, where there are more")
    else:
        raise unsupported("compressed TIFF without StripByteCounts")
    if start + needed > len(data):
        raise damaged("the file does not reach its own end")
    return data[start : start + needed]


def _decompressed(layout: Layout, stored: list[bytes], rows: list[int]) -> Iterator[np.ndarray]:
    """The bytes of each part, uint8, lowest bit last."""
    if layout.compression == kinds.UNCOMPRESSED:
        for data in stored:
            found = np.frombuffer(data, np.uint8)
            yield _REVERSED[found] if layout.reversed_bits else found
        return
    if kinds.LOSSLESS[layout.compression] == "deflate":  # libtiff does not compare its checksum
        for data, count in zip(stored, rows, strict=True):
            packed = _REVERSED[np.frombuffer(data, np.uint8)].tobytes() if layout.reversed_bits else data
            inflated = inflated_start(packed, count * layout.row_bytes)
            if inflated is None:
                raise damaged("the compressed pixels of a strip or tile end early or are broken")
            yield np.frombuffer(inflated, np.uint8)
        return
    # Many at once, for opening a file takes longer than a small strip; not all, for Pillow takes a wide one for a bomb.
    at_once = max(1, _BAND_BYTES // max(1, layout.row_bytes * layout.part_height))
    for i in range(0, len(stored), at_once):
        high = rows[i : i + at_once]
        # Four bytes a "pixel" (as CMYK, which nothing converts) keep large strips below Pillow's limit of pixels.
        wide = 4 if layout.row_bytes % 4 == 0 else 1
        tags = {
            256: layout.row_bytes // wide, 257: sum(high), 258: 8, 259: layout.compression, 262: 5 if wide == 4 else 1,
            277: wide, 278: high[0], 266: 2 if layout.reversed_bits else 1,
        }  # fmt: skip
        band = np.asarray(_libtiff(tags, {}, *stored[i : i + at_once])).reshape(-1)
        start = 0
        for number in high:
            yield band[start : start + number * layout.row_bytes]
            start += number * layout.row_bytes


def _decoded(layout: Layout, stored: list[bytes], rows: list[int]) -> Iterator[np.ndarray]:
    """Strips or tiles whose decoder makes pixels, not bytes: JPEG (YCbCr becomes RGB there) and CCITT."""
    page, jpeg = layout.page, layout.compression == kinds.JPEG
    colour = not layout.separate and layout.colours == 3
    for data, high in zip(stored, rows, strict=True):
        tags = {
            256: layout.part_width, 257: high, 258: layout.bits, 259: layout.compression, 262: 1, 277: 1, 278: high,
            266: 2 if layout.reversed_bits else 1,
        }  # fmt: skip
        more: dict[int, tuple[int, bytes]] = {}
        if jpeg:
            more[_JPEG_TABLES] = (7, page.raw(_JPEG_TABLES))
        if colour:
            tags |= {262: layout.photometric, 277: 3}
            if layout.photometric == kinds.YCBCR:
                down = tuple(page.numbers(_SUBSAMPLING)) or (2, 2)
                more[_SUBSAMPLING] = (3, struct.pack("<2H", *down[:2]))
        for tag in (_T4_OPTIONS, _T6_OPTIONS):
            if tag in page.entries:
                tags[tag] = page.number(tag, 0)
        decode = partial(_libtiff, tags, more)
        image = decode(data)
        _check_end(layout.compression, data, image, decode)
        yield np.asarray(image).astype(np.uint8).reshape(high, layout.part_width, -1)


def _check_end(
    compression: int, data: bytes, image: Image.Image, decode: Callable[[bytes], Image.Image]
) -> None:
    """Refuse a strip or tile whose data end before its last row: libtiff fills up the rest without a word."""
    if compression == kinds.JPEG:
        structure = examine_jpeg(data)
        if not structure.complete:
            raise damaged("the JPEG data of a strip or tile do not reach their own end")
        check_ends(data, structure, image, decode)
        return
    further = _FAX_ROWS if compression == kinds.GROUP_3 else FURTHER_DATA
    if decode(data + further).tobytes() != image.tobytes():  # fax has no end mark that all writers put
        raise damaged("the compressed pixels end before the last row")


def _libtiff(tags: dict[int, int], more: dict[int, tuple[int, bytes]], *stored: bytes) -> Image.Image:
    """Decode a little-endian TIFF file of `tags` (whole numbers), `more` (type, bytes) and these strips."""
    place = 8
    offsets = []
    for data in stored:
        offsets.append(place)
        place += len(data)
    fields = {tag: (4, struct.pack("<I", value)) for tag, value in tags.items()}
    fields[258] = (3, struct.pack(f"<{tags[277]}H", *(tags[258],) * tags[277]))
    fields[273] = (4, struct.pack(f"<{len(offsets)}I", *offsets))
    fields[279] = (4, struct.pack(f"<{len(offsets)}I", *map(len, stored)))
    fields |= {tag: (kind, data) for tag, (kind, data) in more.items() if data}
    start = place + place % 2
    behind = start + 2 + 12 * len(fields) + 4
    entries, values = b"", b""
    for tag, (kind, data) in sorted(fields.items()):
        count = len(data) // {3: 2, 4: 4, 7: 1}[kind]
        if len(data) > 4:
            inline = struct.pack("<I", behind + len(values))
            values += data + b"\0" * (len(data) % 2)
        else:
            inline = data.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + inline
    head = b"II*\0" + struct.pack("<I", start)
    directory = struct.pack("<H", len(fields)) + entries + b"\0\0\0\0" + values
    file = b"".join([head, *stored, b"\0" * (place % 2), directory])
    try:
        image = Image.open(io.BytesIO(file), formats=("TIFF",))
        image.load()
    except MemoryError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused("too large: a strip or tile of more than 700 megabytes") from error
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise damaged(str(error)) from error
    return image


def _unpacked(layout: Layout, rows: np.ndarray) -> np.ndarray:
    """Rows of bytes -> samples (rows, columns, samples of the plane)."""
    bits, high = layout.bits, len(rows)
    shape = (high, layout.part_width, layout.part_samples // layout.part_width)
    order = layout.page.order
    if layout.predictor == kinds.FLOAT_DIFFERENCES:
        return _float_differences(rows, shape, bits // 8)
    if bits in (8, 16, 32, 64):
        whole = (
            rows.view(np.dtype(f"{order}u{bits // 8}")).astype(f"=u{bits // 8}", copy=False).reshape(shape)
        )
        if layout.predictor == kinds.DIFFERENCES:
            whole = np.cumsum(whole, axis=1, dtype=whole.dtype)
        kind = {kinds.UNSIGNED: "u", kinds.SIGNED: "i", kinds.FLOAT: "f"}[layout.kind]
        return whole.view(f"={kind}{bits // 8}")
    if bits == 24:
        low, middle, top = (rows.reshape(*shape, 3)[..., i].astype(np.uint32) for i in _triple(order))
        return low | middle << np.uint32(8) | top << np.uint32(16)
    found = np.empty((high, layout.part_samples), np.uint16 if bits <= 16 else np.uint32)
    weights = (1 << np.arange(bits)[::-1]).astype(found.dtype)
    band = max(1, _BAND_BYTES // (8 * layout.row_bytes))
    for i in range(0, high, band):
        ones = np.unpackbits(rows[i : i + band], axis=1, count=layout.part_samples * bits)
        found[i : i + band] = ones.reshape(-1, layout.part_samples, bits) @ weights
    return found.reshape(shape)


def _triple(order: str) -> tuple[int, int, int]:
    return (0, 1, 2) if order == "<" else (2, 1, 0)


def _float_differences(rows: np.ndarray, shape: tuple[int, int, int], size: int) -> np.ndarray:
    """Undo the floating-point predictor (TIFF technical note 3): byte planes, highest first, in differences."""
    high, wide, samples = shape
    summed = np.cumsum(rows.reshape(high, -1, samples), axis=1, dtype=np.uint8)
    planes = summed.reshape(high, size, wide * samples)
    joined = np.ascontiguousarray(planes.transpose(0, 2, 1))
    return joined.view(f">f{size}").astype(f"=f{size}").reshape(shape)


def colour_map(layout: Layout) -> np.ndarray:
    """The palette, (entries, 3), uint8 where it needs no more, else uint16."""
    numbers = layout.page.numbers(_COLOUR_MAP)
    if len(numbers) != 3 << layout.bits:
        raise Refused("damaged: a palette picture without its whole colour map")
    if max(numbers) > 65535:
        raise Refused("damaged: a colour map with numbers beyond 65535")
    table = np.array(numbers, np.uint16).reshape(3, -1).T
    if table.max() < 256:  # some writers put 8-bit values there
        return table.astype(np.uint8)
    high, low = table >> np.uint16(8), table & np.uint16(255)
    return high.astype(np.uint8) if ((low == 0) | (low == high)).all() else table
