"""One image file or byte string in, one grey array out; and the square model input made from it.

The same two functions run in training and on the inspection tool, so an image gives the same numbers in both.
Pillow and numpy only.
"""

import contextlib
import io
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from wafer_data.errors import InputError
from wafer_data.truncation import is_complete

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_FLOAT_TOLERANCE = 1e-3  # rounding in the program that wrote the file may overshoot [0, 1] a little
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF tags: offsets, byte counts


class UnreadableImage(InputError):  # noqa: N818 (the name says what it is)
    """An image that cannot be used. `reason` is the short cause; the message also names the file."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.reason = reason


def read_grey(source: str | Path | bytes, *, max_pixels: int = 64_000_000, min_side: int = 16) -> np.ndarray:
    """Decode a PNG, JPEG, BMP or TIFF file (or its bytes) to a 2-D grey array (height, width).

    Returns uint8 for 8-bit files, uint16 for 16-bit ones (and 32-bit integers that hold 0..65535), float32
    in [0, 1] for float files. Values keep the file's scale: nothing is stretched to the image's own range.
    Colour becomes luma (ITU-R 601; 16-bit colour is read in 8 bits), palettes are looked up, alpha is
    dropped, orientation tags are ignored; of a file with several pages the first is read. The size is judged
    from the header, before any pixel is decoded.

    Raises UnreadableImage: missing, a folder, no permission, empty, not an image, truncated or damaged, more
    than `max_pixels` pixels, a side below `min_side` pixels, non-finite or out-of-scale values.
    """
    name = "image bytes" if isinstance(source, bytes) else str(source)
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            _check_header(file, name, max_pixels, min_side)
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise UnreadableImage(name, _why_unreadable(error)) from error
    return _to_array(_decode(data, name), name)


def to_square(grey: np.ndarray, size: int = 256) -> np.ndarray:
    """The model input: float32 (size, size) in [0, 1] from a 2-D array of `read_grey`.

    Both sides are resized to `size` (the aspect ratio is not kept) with an antialiased bilinear filter, and
    left alone when the size already fits. uint8 is resized in 8 bits, so the result is a multiple of 1/255;
    uint16 and float are resized in float and rounded to multiples of 1/65535. Stored in 8 or 16 bits and
    read back, the result is therefore the same to the last bit. Raises ValueError for another shape or type.
    """
    if grey.ndim != 2:
        raise ValueError(f"a grey image has two dimensions, not {grey.ndim}")
    if grey.dtype == np.uint8:
        return _resize(grey, size).astype(np.float32) / np.float32(255)
    if grey.dtype == np.uint16:
        counts = grey.astype(np.float32)
    elif grey.dtype == np.float32:
        counts = grey * np.float32(65535)
    else:
        raise ValueError(f"a grey image is uint8, uint16 or float32, not {grey.dtype}")
    return np.clip(np.rint(_resize(counts, size)), 0, 65535) / np.float32(65535)


def _check_header(file: BinaryIO, name: str, max_pixels: int, min_side: int) -> None:
    limit = f"more than {max_pixels / 1e6:g} megapixels"
    try:
        with Image.open(file, formats=_FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(name, f"too large: {limit}") from error
    except UnidentifiedImageError as error:
        reason = "not an image (PNG, JPEG, BMP or TIFF) or its header is damaged"
        raise UnreadableImage(name, reason if file.seek(0, io.SEEK_END) else "empty file") from error
    except OSError as error:
        if error.errno is not None:  # the disk's problem, not the image's
            raise
        raise UnreadableImage(name, f"damaged header ({error})") from error
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise UnreadableImage(name, f"damaged header ({error})") from error
    if width * height > max_pixels:
        raise UnreadableImage(name, f"too large: {width} x {height} pixels, {limit}")
    if min(width, height) < min_side:
        raise UnreadableImage(
            name, f"too small: {width} x {height} pixels, the shorter side needs at least {min_side}"
        )


def _decode(data: bytes, name: str) -> Image.Image:
    """Decode all pixels of a complete file; never a part of one."""
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        if not is_complete(data, str(image.format), _tiff_spans(image)):
            raise UnreadableImage(name, "truncated or damaged: the file does not reach its own end")
        image.load()
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(name, f"truncated or damaged ({error})") from error
    return image


def _tiff_spans(image: Image.Image) -> list[tuple[int, int]]:
    """(offset, length) in bytes of each strip or tile of a TIFF's first page."""
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return []
    for offsets, lengths in (_STRIPS, _TILES):
        if offsets in tags and lengths in tags:
            return list(zip(tags[offsets], tags[lengths], strict=True))
    return []


def _to_array(image: Image.Image, name: str) -> np.ndarray:
    if image.mode in _SIXTEEN_BIT_MODES:
        return np.asarray(image).astype(np.uint16)
    if image.mode == "I":
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:  # which grey would be white? No rule fits all programs.
            raise UnreadableImage(
                name, f"32-bit integers {low}..{high}: save it as 16 bit or float in [0, 1]"
            )
        return values.astype(np.uint16)
    if image.mode == "F":
        return _checked_floats(np.asarray(image, dtype=np.float32), name)
    try:
        if image.mode not in ("L", "1", "LA", "RGB", "RGBA", "P", "PA"):
            image = image.convert("RGB")
        return np.array(image if image.mode == "L" else image.convert("L"))
    except ValueError as error:
        raise UnreadableImage(name, f"unsupported pixel format {image.mode}") from error


def _checked_floats(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UnreadableImage(name, "non-finite values (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    if low < -_FLOAT_TOLERANCE or high > 1 + _FLOAT_TOLERANCE:
        raise UnreadableImage(name, f"float values {low:g}..{high:g}: scale them to [0, 1]")
    return np.clip(values, 0, 1)


def _resize(values: np.ndarray, size: int) -> np.ndarray:
    if values.shape == (size, size):
        return values
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))


def _why_unreadable(error: OSError) -> str:
    with contextlib.suppress(KeyError):
        return {
            FileNotFoundError: "does not exist",
            IsADirectoryError: "is a folder, not an image",
            PermissionError: "no permission to read it",
        }[type(error)]
    return f"cannot be read ({error.strerror or error})"
