"""What an image file says about itself, read before any decoder sees it: is it complete, is it a trap?

Decoders are lenient: a JPEG without its end marker or a PNG without its last chunk may decode to a picture
whose lower part is grey, and `LOAD_TRUNCATED_IMAGES` of Pillow, a switch for the whole process, makes that
the rule. On an inspection tool such a picture must never be judged. Decoders are also patient: a small file
of many parts keeps them busy for minutes. Standard library only.
"""

from collections.abc import Sequence
from typing import NamedTuple

from wafer_data.imaging.bmp_structure import Palette, examine_bmp
from wafer_data.imaging.jpeg_structure import MOST_SCANS, JpegStructure, examine_jpeg
from wafer_data.imaging.png_structure import MOST_CHUNKS, PNG_SIGNATURE, examine_png
from wafer_data.imaging.tiff_structure import TIFF_SIGNATURES

__all__ = ["MOST_CHUNKS", "MOST_SCANS", "PNG_SIGNATURE", "Structure", "examine"]


class Structure(NamedTuple):
    """What :func:`examine` found.

    Attributes:
        image_format: "PNG", "JPEG", "BMP", "TIFF" (Pillow's names), or None for anything else.
        complete: Whether the file reaches its own end; a PNG must also carry correct checksums (of a TIFF
            file, whose directories point all over it, `imaging.tiff` finds out while it reads).
        trap: Why no decoder should be given the file, or None.
        unsupported: What kind of file it is that is not read, or None.
        pictures: How many it holds.
        missing: Bytes without pixels that its end lacks.
        damage: What is wrong with a complete file.
        parts: Where the compressed pixels of a PNG file lie, (start, end) in bytes.
        grey_size: Of a PNG file, see `imaging.png_structure`.
        palette: Of a BMP file, see `imaging.bmp_structure`.
        jpeg: What the markers of a JPEG file say.
    """

    image_format: str | None
    complete: bool = False
    trap: str | None = None
    unsupported: str | None = None
    pictures: int = 1
    missing: int = 0
    damage: str | None = None
    parts: Sequence[tuple[int, int]] = ()
    grey_size: tuple[int, int] | None = None
    palette: Palette | None = None
    jpeg: JpegStructure | None = None


def examine(data: bytes) -> Structure:
    """Read the structure of a whole file's bytes, in time and memory proportional to their number."""
    if data.startswith(PNG_SIGNATURE):
        png = examine_png(data)
        return Structure(
            "PNG",
            png.complete,
            png.trap,
            pictures=png.pictures,
            damage=png.damage,
            parts=png.parts,
            grey_size=png.grey_size,
        )
    if data.startswith(b"\xff\xd8\xff"):
        jpeg = examine_jpeg(data)
        return Structure("JPEG", jpeg.complete, jpeg.trap, jpeg.unsupported, jpeg.pictures, jpeg=jpeg)
    if data.startswith(b"BM"):
        bmp = examine_bmp(data)
        return Structure(
            "BMP", bmp.complete, unsupported=bmp.unsupported, missing=bmp.missing, palette=bmp.palette
        )
    if data.startswith(TIFF_SIGNATURES):
        return Structure("TIFF", complete=True)
    return Structure(None)
