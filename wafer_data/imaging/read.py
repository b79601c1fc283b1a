"""One image file or byte string in, one grey array out; and the square model input made from it.

The same two functions run in training and on the inspection tool, so an image gives the same numbers in both.
Pillow and numpy only.
"""

import contextlib
import io
import stat
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
)

from wafer_data.errors import DataError
from wafer_data.imaging.truncation import examine

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
# Loaded here, so that the first image need not wait for them, nor the first TIFF for all of Pillow's readers.
_READERS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin)
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
_FLOAT_TOLERANCE = 1e-3  # rounding in the program that wrote the file may overshoot [0, 1] a little
# No image needs more bytes a pixel (four 32-bit channels); metadata of a small one may.
_MOST_BYTES_A_PIXEL, _METADATA_BYTES = 16, 64_000_000


class UnreadableImage(DataError):  # noqa: N818 (the name says what it is)
    """An image that cannot be used. `reason` is the short cause; the message also names the file."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.reason = reason


def read_grey(
    source: str | Path | bytes,
    *,
    max_pixels: int = 64_000_000,
    min_side: int = 16,
    reduce_to: int | None = None,
) -> np.ndarray:
    """Decode a PNG, JPEG, BMP or TIFF file (or its bytes) to a 2-D grey array (height, width).

    Returns uint8 for 8-bit files, uint16 for 16-bit ones (and 32-bit integers that hold 0..65535), float32
    in [0, 1] for float files. Values keep the file's scale: nothing is stretched to the image's own range.
    Colour becomes luma (ITU-R 601; 16-bit colour is read in 8 bits), palettes are looked up, alpha is
    dropped, orientation tags are ignored (but Pillow follows those of TIFF files); of a file with several
    pages the first is read. Size and structure are judged before any pixel is decoded.

    reduce_to: a JPEG file whose sides are both at least twice this many pixels is decoded at a half, a quarter or an
    eighth of its size, as long as both sides keep `reduce_to` pixels: its decoder then leaves out frequencies that
    a resize to that size would average away (scaled inverse DCT). Other formats, and smaller files, are decoded
    as without it. The pixels differ a little from those of decoding all and resizing.

    Raises UnreadableImage: missing, not a regular file, no permission, empty, not an image, truncated or
    damaged, more than `max_pixels` pixels, a side below `min_side` pixels, a file of more than 16 bytes for
    each of `max_pixels`, more parts than an image has, non-finite or out-of-scale values, not enough memory.
    """
    name = "image bytes" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else _read_file(Path(source), name, max_pixels)
        return _to_array(_decode(data, name, max_pixels, min_side, reduce_to), name)
    except MemoryError as error:
        raise UnreadableImage(name, "not enough memory to decode it") from error


def largest_file(max_pixels: int) -> int:
    """Bytes that a file of at most `max_pixels` pixels may have; a larger one is not read at all."""
    return max(_MOST_BYTES_A_PIXEL * max_pixels, _METADATA_BYTES)


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
        square = _resize(grey, size).astype(np.float32)
        square /= np.float32(255)  # in place: a second array of this size would cost as much as the division
        return square
    if grey.dtype == np.uint16:
        counts = grey.astype(np.float32)
    elif grey.dtype == np.float32:
        counts = grey * np.float32(65535)
    else:
        raise ValueError(f"a grey image is uint8, uint16 or float32, not {grey.dtype}")
    return np.clip(np.rint(_resize(counts, size)), 0, 65535) / np.float32(65535)


def _read_file(path: Path, name: str, max_pixels: int) -> bytes:
    try:
        with contextlib.suppress(FileNotFoundError):  # opening it says so, too
            status = path.stat()
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise UnreadableImage(name, "not a regular file")  # opening a pipe would wait for its writer
            if status.st_size > largest_file(max_pixels):
                most = largest_file(max_pixels) / 1e6
                raise UnreadableImage(name, f"too large: a file of more than {most:g} megabytes")
        with path.open("rb") as file:
            return file.read()
    except OSError as error:
        raise UnreadableImage(name, _why_unreadable(error)) from error


def _decode(
    data: bytes, name: str, max_pixels: int, min_side: int, reduce_to: int | None = None
) -> Image.Image:
    """Decode all pixels of a complete file of an allowed size; never a part of one."""
    structure = examine(data)
    if structure.image_format is None:
        reason = "not an image (PNG, JPEG, BMP or TIFF) or its header is damaged"
        raise UnreadableImage(name, reason if data else "empty file")
    if structure.trap is not None:
        raise UnreadableImage(name, f"damaged or made to overload its reader: {structure.trap}")
    image = _open(data, name, structure.image_format, max_pixels)
    _check_size(image.size, name, max_pixels, min_side)
    if not structure.complete:
        raise UnreadableImage(name, "truncated or damaged: the file does not reach its own end")
    try:
        if reduce_to is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(image.mode, (reduce_to, reduce_to))
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise UnreadableImage(name, f"truncated or damaged ({error})") from error
    return image


def _open(data: bytes, name: str, image_format: str, max_pixels: int) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(io.BytesIO(data), formats=(image_format,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(name, f"too large: {_limit(max_pixels)}") from error
    except UnidentifiedImageError as error:
        raise UnreadableImage(name, f"the {image_format} header is damaged or of an unknown kind") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise UnreadableImage(name, f"damaged header ({error})") from error


def _check_size(size: tuple[int, int], name: str, max_pixels: int, min_side: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise UnreadableImage(name, f"too large: {width} x {height} pixels, {_limit(max_pixels)}")
    if min(width, height) < min_side:
        raise UnreadableImage(
            name, f"too small: {width} x {height} pixels, the shorter side needs at least {min_side}"
        )


def _limit(max_pixels: int) -> str:
    # Pillow has a limit of its own (twice MAX_IMAGE_PIXELS), which may be the lower one.
    own = Image.MAX_IMAGE_PIXELS
    return f"more than {(max_pixels if own is None else min(max_pixels, 2 * own)) / 1e6:g} megapixels"


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
