"""BMP of at most 8 bits a pixel: numbers of colours, looked up in the file's palette.

Pillow drops a palette that looks grey and takes the numbers for greys of as many bits as a grey picture usually has:
black and white at 8 bits a pixel is noise then, and 16 greys at 4 bits seem cut short.
"""

from __future__ import annotations

import numpy as np

from wafer_data.imaging.bmp_structure import Palette
from wafer_data.imaging.depth import grey_of, in_colour
from wafer_data.imaging.refused import damaged


def as_palette(data: bytes, palette: Palette) -> bytes:
    """The file with a first colour that is no grey, so that Pillow keeps the numbers of the pixels as they are."""
    return data[: palette.place] + bytes([data[palette.place] ^ 1]) + data[palette.place + 1 :]


def looked_up(numbers: np.ndarray, data: bytes, palette: Palette, *, colour: bool) -> np.ndarray:
    """The picture, grey or with `colour` (height, width, 3).

    Args:
        numbers: (height, width) uint8, those of the pixels' colours.
        data: the whole file, as it was.
        palette: of it.
        colour: keep it.

    Raises:
        Refused: a number beyond the palette.
    """
    stored = np.frombuffer(data, np.uint8, palette.colours * palette.size, palette.place)
    blue_first = stored.reshape(palette.colours, palette.size)[:, :3]
    table = np.ascontiguousarray(blue_first[:256, ::-1])
    if len(table) < 256 and (highest := int(numbers.max())) >= len(table):
        raise damaged(f"pixels of colour {highest}, where the palette has {palette.colours}")
    if colour:
        return in_colour(table[numbers])
    greys = grey_of(table[None])[0]
    same = len(greys) == 256 and (greys == np.arange(256)).all()  # the usual grey camera
    return np.array(numbers) if same else greys[numbers]
