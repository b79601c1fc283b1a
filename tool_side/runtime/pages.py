"""One page of an image file that has several."""

from __future__ import annotations

import struct

from tool_side.bundle.load import Preprocessing
from wafer_data.imaging.read import UnreadableImage, largest_file
from wafer_data.imaging.refused import Refused
from wafer_data.imaging.tiff_structure import TIFF_SIGNATURES, one_page

MOST_PAGES = 10_000


def read_page(data: bytes, number: int, preprocessing: Preprocessing, name: str) -> bytes:
    """The page as the bytes of a file of its own, which are then read as any other file is.

    Args:
        data: a TIFF file. number: the page, from 1. preprocessing: its limits are asked before a pixel is decoded.
        name: how messages call the file.

    Returns:
        A TIFF file of this page alone.

    Raises:
        UnreadableImage: not a whole TIFF file, no such page, or a page that cannot be used.
    """
    if len(data) > MOST_PAGES * largest_file(preprocessing.max_pixels) or number > MOST_PAGES:
        raise UnreadableImage(name, f"page {number}: too large")
    if not data.startswith(TIFF_SIGNATURES):
        raise UnreadableImage(name, "not a TIFF file, which alone has pages")
    try:
        return one_page(data, number)
    except LookupError as error:
        raise UnreadableImage(name, f"it has no page {number}") from error
    except (Refused, struct.error) as error:
        raise UnreadableImage(name, f"page {number} is truncated or damaged ({error})") from error
