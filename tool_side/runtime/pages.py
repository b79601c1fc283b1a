"""One page of an image file that has several."""

from __future__ import annotations

import io

from PIL import Image

from tool_side.bundle.load import Preprocessing
from wafer_data.imaging.read import UnreadableImage, largest_file
from wafer_data.imaging.truncation import examine

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
    structure = examine(data)
    if structure.image_format != "TIFF" or structure.trap is not None or not structure.complete:
        raise UnreadableImage(name, structure.trap or "not a whole TIFF file")
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
            image.seek(number - 1)
            if image.width * image.height > preprocessing.max_pixels:
                raise UnreadableImage(
                    name, f"page {number}: {image.width} x {image.height} pixels are too many"
                )
            buffer = io.BytesIO()
            image.save(buffer, format="TIFF")
    except EOFError as error:
        raise UnreadableImage(name, f"it has no page {number}") from error
    except UnreadableImage:
        raise
    except MemoryError as error:
        raise UnreadableImage(name, "not enough memory to decode it") from error
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise UnreadableImage(name, f"page {number} is truncated or damaged ({error})") from error
    return buffer.getvalue()
