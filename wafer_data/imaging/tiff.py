"""A TIFF file's bytes in, one grey or colour array out; read right, or refused by the name of what was found."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from wafer_data.imaging import tiff_layout as kinds
from wafer_data.imaging.depth import checked_floats, grey_of, in_colour, smallest_type
from wafer_data.imaging.refused import Refused, damaged, unsupported
from wafer_data.imaging.tiff_layout import Layout, layout_of
from wafer_data.imaging.tiff_pixels import colour_map, samples_of
from wafer_data.imaging.tiff_structure import find_picture


def read_tiff(data: bytes, check_size: Callable[[int, int], None], *, colour: bool = False) -> np.ndarray:
    """Decode the one picture of a TIFF file to (height, width) uint8, uint16 or float32 in [0, 1].

    Args:
        data: the whole file.
        check_size: called with width and height before any pixel is decoded; may raise.
        colour: keep it, (height, width, 3), where the picture has some.

    Raises:
        Refused: damaged, of several pages, or of a kind that is not read.
    """
    try:
        layout = layout_of(find_picture(data))
        check_size(layout.width, layout.height)
        samples = samples_of(layout)
        _check_extras(layout, samples[:, :, layout.colours :])
        return _pixels(layout, samples[:, :, : layout.colours], colour)
    except struct.error as error:  # a directory, or the values of a tag, lie outside the file
        raise damaged("the file does not reach its own end") from error


def stored_channels(data: bytes) -> tuple[np.ndarray, np.ndarray | None] | None:
    """What a file that `read_tiff` reads stores of each pixel: numbers of colours or channels of colour, and alpha.

    Returns:
        (height, width, channels) and, where there is one, (height, width); None where zero is white, and of ink, luma
        and JPEG, whose stored numbers are not what is shown.
    """
    layout = layout_of(find_picture(data))
    if (
        layout.photometric not in (kinds.BLACK_IS_ZERO, kinds.RGB, kinds.PALETTE)
        or layout.compression == kinds.JPEG
    ):
        return None
    samples, transparent = samples_of(layout), (kinds.ALPHA, kinds.PREMULTIPLIED)
    places = [layout.colours + place for place, kind in enumerate(layout.extras) if kind in transparent]
    return samples[:, :, : layout.colours], samples[:, :, places[0]] if places else None


def _pixels(layout: Layout, samples: np.ndarray, colour: bool) -> np.ndarray:
    photometric, kept = layout.photometric, in_colour if colour else grey_of
    if photometric == kinds.PALETTE:
        return kept(colour_map(layout)[samples[:, :, 0]])
    values = _as_picture(layout, samples)
    if photometric == kinds.RGB or (photometric == kinds.YCBCR and layout.compression == kinds.JPEG):
        return kept(values)
    if photometric == kinds.CMYK:
        most = np.iinfo(values.dtype).max
        ink = most - values.astype(np.float64)
        return kept(np.rint(ink[:, :, :3] * ink[:, :, 3:] / most).astype(values.dtype))
    if photometric == kinds.YCBCR and colour:
        return in_colour(_red_green_blue(values))
    grey = values[:, :, 0]  # of YCbCr, Y
    if photometric == kinds.WHITE_IS_ZERO:
        grey = (1 if layout.kind == kinds.FLOAT else np.iinfo(grey.dtype).max) - grey
    return smallest_type(np.ascontiguousarray(grey))


def _red_green_blue(values: np.ndarray) -> np.ndarray:
    """Of Y, Cb and Cr (ITU-R BT.601 at full range, the default of TIFF 6.0, section 21), uint8."""
    most = 255.0
    luma, blue, red = np.moveaxis(values.astype(np.float64), 2, 0)
    blue, red = blue - (most + 1) / 2, red - (most + 1) / 2
    planes = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    return np.clip(np.rint(np.stack(planes, axis=2)), 0, most).astype(values.dtype)


def _as_picture(layout: Layout, samples: np.ndarray) -> np.ndarray:
    """Samples on the scale of their type: uint8, uint16, or floating point in [0, 1]."""
    bits = layout.bits
    if layout.kind == kinds.FLOAT:
        problem = checked_floats(samples)
        if problem is not None:
            raise Refused(problem)
        return np.clip(samples, 0, 1)
    if layout.kind == kinds.SIGNED or bits > 16:
        low, high = int(samples.min()), int(samples.max())
        if low < 0 or high > 65535:  # which grey would be white? No rule fits all programs.
            raise unsupported(f"{bits}-bit integers {low}..{high}", "save it as 16 bit or float in [0, 1]")
        return samples.astype(np.uint16)
    if bits in (8, 16):
        return samples.astype(f"u{bits // 8}", copy=False)
    white, most = (1 << bits) - 1, 255 if bits < 8 else 65535
    scaled = (samples.astype(np.uint32) * np.uint32(most) + np.uint32(white // 2)) // np.uint32(white)
    return scaled.astype(np.uint8 if bits < 8 else np.uint16)


def _check_extras(layout: Layout, samples: np.ndarray) -> None:
    """Alpha is dropped. Not so colours that it has darkened, nor a channel of unknown meaning that shows something."""
    for number, kind in enumerate(layout.extras):
        if kind == kinds.ALPHA:
            continue
        channel = samples[:, :, number]
        if (channel == channel[0, 0]).all() and (
            kind != kinds.PREMULTIPLIED or channel[0, 0] == _opaque(layout)
        ):
            continue
        what = (
            "premultiplied alpha" if kind == kinds.PREMULTIPLIED else "a further channel of unknown meaning"
        )
        raise unsupported(f"TIFF with {what}", "save it as grey or RGB")


def _opaque(layout: Layout) -> float:
    return 1.0 if layout.kind == kinds.FLOAT else float((1 << layout.bits) - 1)
