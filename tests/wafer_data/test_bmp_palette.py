"""BMP with a palette: each pixel is a number of a colour, whatever the colours are and however many bits it has."""

import struct

import numpy as np
import pytest

from wafer_data.imaging.read import UnreadableImage, read_grey, read_image
from wafer_data.masks import read_mask

HEIGHT, WIDTH = 20, 31
BLACK_AND_WHITE = [(0, 0, 0), (255, 255, 255)]


def bitmap(
    numbers: np.ndarray, bits: int, palette: list[tuple[int, int, int]], stated: int | None = None
) -> bytes:
    """An uncompressed file; `stated`: how many colours its header states."""
    ones = (numbers[::-1, :, None] >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(ones.reshape(len(numbers), -1).astype(np.uint8), axis=1)
    pixels = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    colours = b"".join(bytes([blue, green, red, 0]) for red, green, blue in palette)
    start = 54 + len(colours)
    used = len(palette) if stated is None else stated
    header = struct.pack(
        "<IiiHHIIiiII", 40, numbers.shape[1], numbers.shape[0], 1, bits, 0, len(pixels), 0, 0, used, 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + colours + pixels


def numbers_below(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, count, (HEIGHT, WIDTH), dtype=np.uint8)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("palette", [BLACK_AND_WHITE, BLACK_AND_WHITE[::-1], [(9, 9, 9), (1, 1, 1)]])
def test_two_colours_at_any_depth(bits: int, palette: list[tuple[int, int, int]]) -> None:
    numbers = numbers_below(2)
    expected = np.array([grey for grey, _, _ in palette])[numbers]
    np.testing.assert_array_equal(read_grey(bitmap(numbers, bits, palette)), expected)


@pytest.mark.parametrize(("bits", "count"), [(4, 16), (8, 16), (8, 128), (8, 256)])
def test_greys_that_are_their_own_numbers(bits: int, count: int) -> None:
    numbers = numbers_below(count)
    palette = [(grey, grey, grey) for grey in range(count)]
    np.testing.assert_array_equal(read_grey(bitmap(numbers, bits, palette)), numbers)


def test_colours_stay_where_they_are_asked_for() -> None:
    numbers, palette = numbers_below(3), [(255, 0, 0), (0, 200, 0), (0, 0, 100)]
    data = bitmap(numbers, 8, palette)
    np.testing.assert_array_equal(read_image(data, colour=True), np.array(palette)[numbers])
    np.testing.assert_allclose(read_grey(data), np.array([76, 117, 11])[numbers], atol=1)


@pytest.mark.parametrize("stated", [None, 0])
def test_numbers_beyond_the_palette_are_damage(stated: int | None) -> None:
    """As in a PNG; also where the header states no number and the pixels begin before there were 256 colours."""
    palette = [(grey, grey, grey) for grey in range(100, 228)]
    numbers = numbers_below(128)
    np.testing.assert_array_equal(read_grey(bitmap(numbers, 8, palette, stated)), numbers + 100)
    numbers[3, 4] = 200
    with pytest.raises(UnreadableImage, match="pixels of colour 200, where the palette has 128"):
        read_grey(bitmap(numbers, 8, palette, stated))


def test_a_black_and_white_mask_of_8_bits_marks_what_is_white() -> None:
    numbers = numbers_below(2)
    mask = read_mask(bitmap(numbers, 8, BLACK_AND_WHITE), numbers.shape, max_pixels=10**6)
    np.testing.assert_array_equal(mask, numbers == 1)
