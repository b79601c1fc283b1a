"""One image file or byte string in, one grey or colour array out; and the square model input made from it.

The same two functions run in training and on the inspection tool, so an image gives the same numbers in both.
Pillow and numpy only.
"""

import contextlib
import io
import stat
from collections.abc import Callable
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

from wafer_data.imaging.bmp_palette import as_palette, looked_up
from wafer_data.imaging.depth import grey_of, in_colour, smallest_type, three_equal
from wafer_data.imaging.jpeg_ends import check_ends
from wafer_data.imaging.jpeg_structure import JpegStructure
from wafer_data.imaging.planes import COLOURS
from wafer_data.imaging.png_colour import decode_wide, wide_colour
from wafer_data.imaging.png_small import is_plain_grey, is_small, small_grey_pixels
from wafer_data.imaging.png_structure import examine_png, lacks_rows
from wafer_data.imaging.refused import Refused, UnreadableImage, damaged, unsupported
from wafer_data.imaging.signatures import other_format
from wafer_data.imaging.tiff import read_tiff
from wafer_data.imaging.truncation import examine
from wafer_data.listing import IMAGE_SUFFIXES

__all__ = [
    "IMAGE_SUFFIXES",
    "UnreadableImage",
    "largest_file",
    "read_grey",
    "read_image",
    "read_sized",
    "resized",
    "to_square",
]

# Loaded here, so that the first image need not wait for them, nor the first TIFF for all of Pillow's readers.
_READERS = (BmpImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin)
_COLOUR_MODES = ("RGB", "RGBA", "RGBX", "P", "PA", "CMYK", "YCbCr", "HSV")
# No image needs more bytes a pixel (four 32-bit channels); metadata of a small one may.
_MOST_BYTES_A_PIXEL, _METADATA_BYTES = 16, 64_000_000


def read_grey(
    source: str | Path | bytes,
    *,
    max_pixels: int = 64_000_000,
    min_side: int = 16,
    reduce_to: int | None = None,
) -> np.ndarray:
    """Decode a PNG, JPEG, BMP or TIFF file (or its bytes) to a 2-D grey array (height, width): see `read_image`."""
    return read_image(source, max_pixels=max_pixels, min_side=min_side, reduce_to=reduce_to)


def read_image(
    source: str | Path | bytes,
    *,
    colour: bool = False,
    max_pixels: int = 64_000_000,
    min_side: int = 16,
    reduce_to: int | None = None,
) -> np.ndarray:
    """Decode a PNG, JPEG, BMP or TIFF file (or its bytes) to a grey array (height, width), or to a colour one.

    Values keep the file's scale: nothing is stretched to the image's own range. White is the largest number of the
    file's depth (4095 of 12 bits that are packed, 65535 of 12 bits in a 16-bit file); integers of more than 16 bits
    count as 16-bit ones if they hold 0..65535. Colour becomes luma (ITU-R 601) in the file's depth, or with `colour`
    stays: (height, width, 3), red, green and blue, of a grey file three equal channels. Palettes are looked up, alpha
    is dropped. Stored values are taken as they are: gamma, colour profiles and orientation tags are not followed in any
    format (a camera that looks straight down writes a tag by chance). A file with several pages or pictures is refused.
    Size and structure are judged before any pixel is decoded.

    Args:
        source: path, or the bytes of a file.
        colour: keep it.
        max_pixels: more are refused from the header, and so is a file of more than 16 bytes for each.
        min_side: shortest side in pixels that is accepted.
        reduce_to: a JPEG file whose sides are both at least twice this many pixels is decoded at a half, a quarter or
            an eighth of its size, as long as both sides keep `reduce_to` pixels: its decoder then leaves out
            frequencies that a resize to that size would average away (scaled inverse DCT). Other formats, and smaller
            files, are decoded as without it. The pixels differ a little from those of decoding all and resizing.

    Returns:
        (height, width) or (height, width, 3), in the smallest of uint8, uint16 and float32 in [0, 1] that holds the
        picture: one picture gives one array, whatever held it (see `wafer_data.imaging.depth`).

    Raises:
        UnreadableImage: missing, not a regular file, no permission, empty, not an image, truncated or damaged, of a
            size out of range, more parts than an image has, of a kind that is not read (the reason names it),
            non-finite or out-of-scale values, not enough memory.
    """
    return read_sized(source, colour=colour, max_pixels=max_pixels, min_side=min_side, reduce_to=reduce_to)[0]


def read_sized(
    source: str | Path | bytes,
    *,
    colour: bool,
    max_pixels: int,
    min_side: int,
    reduce_to: int | None,
) -> tuple[np.ndarray, tuple[int, int]]:
    """The array of `read_image`, and the size that the file has, (height, width): of a reduced JPEG the larger one."""
    name = "image bytes" if isinstance(source, bytes) else str(source)
    shape = (0, 0)

    def check_size(width: int, height: int) -> None:
        nonlocal shape
        shape = (height, width)
        if width * height > max_pixels:
            raise Refused(f"too large: {width} x {height} pixels, {_limit(max_pixels)}")
        if min(width, height) < min_side:
            raise Refused(f"too small: {width} x {height} pixels, the shorter side needs at least {min_side}")

    try:
        data = source if isinstance(source, bytes) else _read_file(Path(source), max_pixels)
        found = _decode(data, check_size, max_pixels, reduce_to, colour)
        return three_equal(found) if colour else found, shape
    except Refused as error:
        raise UnreadableImage(name, error.reason) from error.__cause__
    except MemoryError as error:
        raise UnreadableImage(name, "not enough memory to decode it") from error


def largest_file(max_pixels: int) -> int:
    """Bytes that a file of at most `max_pixels` pixels may have; a larger one is not read at all."""
    return max(_MOST_BYTES_A_PIXEL * max_pixels, _METADATA_BYTES)


def to_square(grey: np.ndarray, size: int = 256) -> np.ndarray:
    """The model input: float32 (size, size) in [0, 1] from a 2-D array of `read_image`; (3, size, size) from colour.

    Both sides are resized to `size` (the aspect ratio is not kept) with an antialiased bilinear filter, and
    left alone when the size already fits. uint8 is resized in 8 bits, so the result is a multiple of 1/255;
    uint16 and float are resized in float and rounded to multiples of 1/65535. Stored in 8 or 16 bits and read
    back, the result is therefore the same to the last bit. Of colour, (H, W, 3), each channel is treated so.

    Raises:
        ValueError: For another shape or type.
    """
    if grey.ndim == 3 and grey.shape[2] == COLOURS:
        return np.stack([to_square(channel, size) for channel in np.moveaxis(grey, 2, 0)])
    if grey.ndim != 2:
        raise ValueError(f"an image is grey, (H, W), or colour, (H, W, 3), not {grey.shape}")
    if grey.dtype == np.uint8:
        square = resized(grey, size, size).astype(np.float32)
        square /= np.float32(255)  # in place: a second array of this size would cost as much as the division
        return square
    if grey.dtype == np.uint16:
        counts = grey.astype(np.float32)
    elif grey.dtype == np.float32:
        counts = grey * np.float32(65535)
    else:
        raise ValueError(f"a grey image is uint8, uint16 or float32, not {grey.dtype}")
    return np.clip(np.rint(resized(counts, size, size)), 0, 65535) / np.float32(65535)


def _read_file(path: Path, max_pixels: int) -> bytes:
    try:
        with contextlib.suppress(FileNotFoundError):  # opening it says so, too
            status = path.stat()
            if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
                raise Refused("not a regular file")  # opening a pipe would wait for its writer
            if status.st_size > largest_file(max_pixels):
                raise Refused(f"too large: a file of more than {largest_file(max_pixels) / 1e6:g} megabytes")
        with path.open("rb") as file:
            return file.read()
    except OSError as error:
        raise Refused(_why_unreadable(error)) from error
    except ValueError as error:  # a null byte in the name
        raise Refused(f"no file can have this name ({error})") from error


def _decode(
    data: bytes, check_size: Callable[[int, int], None], max_pixels: int, reduce_to: int | None, colour: bool
) -> np.ndarray:
    """Decode all pixels of a complete file of an allowed size; never a part of one."""
    structure = examine(data)
    if structure.image_format is None:
        known = other_format(data)
        unknown = known or "not an image (PNG, JPEG, BMP or TIFF) or its header is damaged"
        raise Refused(unknown if data else "empty file")
    if structure.trap is not None:
        raise Refused(f"damaged or made to overload its reader: {structure.trap}")
    if structure.image_format == "TIFF":
        return read_tiff(data, check_size, colour=colour)
    if structure.unsupported is not None:
        raise unsupported(structure.unsupported)
    bare = structure.grey_size if structure.pictures == 1 else None
    if bare is not None and is_small(*bare):  # opening it would tell nothing more
        check_size(*bare)
        if (found := small_grey_pixels(data, structure.parts, bare)) is not None:
            return found
    coded, palette = data, structure.palette
    if palette is not None:
        coded = as_palette(data, palette)
    image = _open(coded, structure.image_format, max_pixels)
    check_size(*image.size)
    if not structure.complete:
        raise damaged("the file does not reach its own end")
    if structure.damage is not None:
        raise damaged(structure.damage)
    pictures = max(structure.pictures, getattr(image, "n_frames", 1))
    if pictures > 1:
        raise Refused("several pictures in one file, and each would need a look: save one image a file")
    if (
        bare is None
        and is_small(*image.size)
        and structure.parts
        and is_plain_grey(image, data, structure.parts)
    ):
        small = small_grey_pixels(data, structure.parts, image.size)
        if small is not None:
            return small
    try:
        if structure.image_format == "PNG" and (kind := wide_colour(data)) is not None:
            found = decode_wide(image, kind, _open(data, "PNG", max_pixels), colour=colour)
            if not found[-1].any() and lacks_rows(data, examine_png(data)):
                raise _lacking()
            return found
        if structure.missing:
            image = _open(coded + b"\0" * structure.missing, structure.image_format, max_pixels)
        if reduce_to is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
            image.draft(image.mode, (reduce_to, reduce_to))
        image.load()
    except (MemoryError, Refused):
        raise
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        raise damaged(str(error)) from error
    if structure.image_format == "PNG":
        _check_decoded_png(data, image)
    elif isinstance(image, JpegImagePlugin.JpegImageFile) and structure.jpeg is not None:
        _check_decoded_jpeg(data, structure.jpeg, image, reduce_to)
    if palette is not None:
        return looked_up(np.asarray(image), data, palette, colour=colour)
    return pixels_of_picture(image, colour=colour)


def _check_decoded_png(data: bytes, image: Image.Image) -> None:
    """Refuse what Pillow fills up without a word: rows that are missing, and numbers of no colour of the palette."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    structure = examine_png(data) if image.mode == "P" or last.getbbox() is None else None
    if structure is None:
        return
    if image.mode == "P" and (highest := int(np.asarray(image).max())) >= structure.colours:
        raise damaged(f"pixels of colour {highest}, where the palette has {structure.colours}")
    if last.getbbox() is None and lacks_rows(data, structure):
        raise _lacking()


def _check_decoded_jpeg(
    data: bytes, structure: JpegStructure, image: JpegImagePlugin.JpegImageFile, reduce_to: int | None
) -> None:
    def decode(changed: bytes) -> Image.Image:
        again = _open(changed, "JPEG", image.width * image.height + 1)
        if reduce_to is not None:
            again.draft(image.mode, (reduce_to, reduce_to))
        try:
            again.load()
        except OSError as error:
            raise damaged(str(error)) from error
        return again

    check_ends(data, structure, image, decode)


def _lacking() -> Refused:
    return damaged("the compressed pixels end before the last row")


def pixels_of_picture(image: Image.Image, *, colour: bool = False) -> np.ndarray:
    """A loaded picture of Pillow as `read_image` decodes it: grey, or `colour` where it has some.

    Raises:
        Refused: a mode that is no grey or colour.
    """
    if image.mode == "L":
        return np.array(image)
    if image.mode.startswith("I;16"):
        return smallest_type(np.asarray(image).astype(np.uint16))
    if image.mode in ("1", "LA"):
        return np.array(image.convert("L"))
    if image.mode not in _COLOUR_MODES:
        raise unsupported(f"pixel format {image.mode}")
    pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return in_colour(pixels) if colour else grey_of(pixels)


def _open(data: bytes, image_format: str, max_pixels: int) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(io.BytesIO(data), formats=(image_format,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(f"too large: {_limit(max_pixels)}") from error
    except UnidentifiedImageError as error:
        raise Refused(f"the {image_format} header is damaged or of an unknown kind") from error
    except MemoryError:
        raise
    except Exception as error:  # decoders meet hostile bytes with many kinds of exception
        if "nsupported BMP" in str(error):  # colours at unusual places in a pixel
            raise unsupported(f"BMP whose kind of colours is not read ({error})") from error
        raise Refused(f"damaged header ({error})") from error


def _limit(max_pixels: int) -> str:
    # Pillow has a limit of its own (twice MAX_IMAGE_PIXELS), which may be the lower one.
    own = Image.MAX_IMAGE_PIXELS
    most = max_pixels if own is None else min(max_pixels, 2 * own)
    return f"more than {most / 1e6:g} megapixels: cut or shrink it, or raise data.max_megapixels"


def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """A uint8 or float32 plane at another size, by an antialiased bilinear filter; itself where it has that size."""
    if values.shape == (height, width):
        return values
    image = Image.fromarray(np.ascontiguousarray(values))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _why_unreadable(error: OSError) -> str:
    with contextlib.suppress(KeyError):
        return {
            FileNotFoundError: "does not exist",
            IsADirectoryError: "is a folder, not an image",
            PermissionError: "no permission to read it",
        }[type(error)]
    return f"cannot be read ({error.strerror or error})"
