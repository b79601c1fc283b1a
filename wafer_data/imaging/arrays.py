"""Images that come as numpy arrays or pictures of Pillow: the checks that a file gets, and the same array out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from PIL import Image

from wafer_data.imaging.depth import checked_floats, grey_of, in_colour, smallest_type, three_equal
from wafer_data.imaging.read import pixels_of_picture, read_image
from wafer_data.imaging.refused import Refused, UnreadableImage, damaged, unsupported

_READ_OTHERWISE = ("TIFF", "PNG", "BMP")
SOURCE, PICTURE = "<array>", "<picture>"
ChannelOrder = Literal["rgb", "bgr"]


def image_from_array(
    array: np.ndarray,
    *,
    max_pixels: int,
    min_side: int,
    channel_order: ChannelOrder = "rgb",
    colour: bool = False,
) -> np.ndarray:
    """Grey image (H, W) from `array`, which is not changed; with `colour` (H, W, 3), of grey three equal channels.

    Args:
        array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) (alpha is dropped); uint8, uint16, or floating point in [0, 1].
        max_pixels, min_side: allowed size.
        channel_order: of colour; "rgb", or "bgr" as OpenCV and camera programs hand it out. No array tells.

    Returns:
        As `wafer_data.imaging.read.read_image` gives it for a file of the same picture.

    Raises:
        UnreadableImage: another shape or type, a masked array, a size out of range, pixels that are not finite or
            outside [0, 1].
    """
    try:
        _check_form(array)
        _check_size(array.shape[1], array.shape[0], max_pixels, min_side)
        array = np.asarray(array)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if array.dtype.kind == "f":
            problem = checked_floats(array)
            if problem is not None:
                raise Refused(problem)
            array = array if array.min() >= 0 and array.max() <= 1 else np.clip(array, 0, 1)
        if array.ndim == 2 or array.shape[2] == 1:
            grey = smallest_type(array.reshape(array.shape[:2]))
            return three_equal(grey) if colour else grey
        channels = array[:, :, :3] if channel_order == "rgb" else array[:, :, 2::-1]
        return in_colour(np.ascontiguousarray(channels)) if colour else grey_of(channels)
    except Refused as error:
        raise UnreadableImage(SOURCE, error.reason) from error.__cause__


def image_from_picture(
    picture: Image.Image, *, max_pixels: int, min_side: int, colour: bool = False
) -> np.ndarray:
    """Grey image, or with `colour` (H, W, 3), from a picture of Pillow, as `read_image` gives it for its file.

    Args:
        picture: of any mode that a file of a kind that is read may have; not changed but for being loaded. One that is
            not loaded yet is read as its file is.
        max_pixels, min_side: allowed size.

    Raises:
        UnreadableImage: several frames, a mode that is no grey or colour, a size out of range, numbers that are no
            picture, a file behind it that is damaged.
    """
    try:
        _check_size(picture.width, picture.height, max_pixels, min_side)
        if getattr(picture, "n_frames", 1) > 1:
            raise Refused("several pictures in one, and each would need a look: give them one by one")
        if (behind := _file_behind(picture)) is not None:
            return read_image(behind, colour=colour, max_pixels=max_pixels, min_side=min_side)
        try:
            picture.load()
        except Exception as error:  # decoders meet hostile bytes with many kinds of exception
            raise damaged(str(error)) from error
        if picture.mode == "F":
            return image_from_array(
                np.asarray(picture), max_pixels=max_pixels, min_side=min_side, colour=colour
            )
        if picture.mode == "I":
            numbers = np.asarray(picture)
            low, high = int(numbers.min()), int(numbers.max())
            if low < 0 or high > 65535:
                raise unsupported(f"32-bit integers {low}..{high}", "save it as 16 bit or float in [0, 1]")
            grey = smallest_type(numbers.astype(np.uint16))
            return three_equal(grey) if colour else grey
        found = pixels_of_picture(picture, colour=colour)
        return three_equal(found) if colour else found
    except Refused as error:
        raise UnreadableImage(PICTURE, error.reason) from error.__cause__
    except UnreadableImage as error:
        raise UnreadableImage(PICTURE, error.reason) from error


def _file_behind(picture: Image.Image) -> bytes | None:
    """The bytes of the file that a picture was opened from, as long as Pillow has made no pixels of it; else None.

    Pillow reads some kinds as another picture than they are (`tiff_pixels`, `bmp_palette`, `png_colour`). Once it has,
    nothing tells 16-bit colour of a PNG, the palette of a BMP and the orientation of a TIFF.

    Raises:
        Refused: pixels that Pillow has made of such a TIFF, or a file that cannot be read any more.
    """
    file = getattr(picture, "fp", None)
    if picture.format in _READ_OTHERWISE and file is not None and getattr(picture, "tile", None):
        try:
            place = file.tell()
            file.seek(0)
            data: bytes = file.read()
            file.seek(place)
        except (OSError, ValueError) as error:  # closed meanwhile
            raise damaged(str(error)) from error
        return data
    tags = getattr(picture, "tag_v2", None)
    if tags is not None and (name := _changed_by_pillow(tags)):
        raise unsupported(
            f"a picture that Pillow has loaded from a TIFF {name}", "give the file, or do not load it"
        )
    return None


def _changed_by_pillow(tags: Mapping[int, Any]) -> str | None:
    """What of a TIFF a loaded picture does not show as the file has it; None if it does."""
    bits, kinds = tags.get(258, (1,)), tags.get(339, (1,))
    if tags.get(262) == 0 and max(bits) > 8:
        return "where zero is white"
    if 2 in kinds and max(bits) <= 16:
        return "of signed numbers"
    return "of more than 8 bits a channel" if len(bits) > 1 and max(bits) > 8 else None


def _check_form(array: np.ndarray) -> None:
    if isinstance(array, np.ma.MaskedArray):
        raise unsupported("a masked array, whose hidden pixels would be judged", "fill it, or give its data")
    if array.dtype.kind != "f" and (array.dtype.kind != "u" or array.dtype.itemsize > 2):
        raise Refused(f"pixel type {array.dtype}: use uint8, uint16 or float in [0, 1]")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise Refused(
            f"shape {array.shape}: use (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): one image, its channels last, in the "
            'order red, green, blue (or channel_order="bgr")'
        )


def _check_size(width: int, height: int, max_pixels: int, min_side: int) -> None:
    if height * width > max_pixels:
        raise Refused(f"too large: {width} x {height}, at most {max_pixels / 1e6:g} megapixels")
    if min(height, width) < min_side:
        raise Refused(f"too small: {width} x {height}, at least {min_side} pixels a side")
