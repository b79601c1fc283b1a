"""Tiles: every pixel is looked at, what is smaller than the overlap lies whole in one tile, and maps become one."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wafer_data.errors import InputError
from wafer_data.imaging.read import to_square
from wafer_data.imaging.tiling import CELL, MOST_REDUCTION, Tiling, is_large

SIDES = st.integers(256, 3000)
OVERLAPS = st.integers(0, 16).map(lambda cells: cells * CELL)


@given(SIDES, SIDES, OVERLAPS)
def test_every_pixel_of_an_image_lies_in_a_tile_and_neighbours_share_the_overlap(
    height: int, width: int, overlap: int
) -> None:
    grid = Tiling.chosen(height, width, overlap).grid(height, width)
    for starts, side in zip((grid.rows, grid.columns), grid.reduced, strict=True):
        assert starts[0] == 0 and starts[-1] + 256 == side
        assert all(start % CELL == 0 for start in starts)
        assert all(256 - (b - a) >= overlap for a, b in pairwise(starts))


@given(SIDES, SIDES, st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_defect_of_at_most_the_overlap_lies_whole_in_one_tile_wherever_it_is(
    height: int, width: int, down: int, across: int
) -> None:
    tiling = Tiling.chosen(height, width)
    grid = tiling.grid(height, width)
    top, left = down % (grid.reduced[0] - 63), across % (grid.reduced[1] - 63)
    assert any(
        y <= top and top + 64 <= y + 256 and x <= left and left + 64 <= x + 256 for y, x in grid.corners
    )


@given(SIDES, SIDES)
def test_by_default_tiles_shrink_an_image_twice_at_most_and_keep_its_aspect(height: int, width: int) -> None:
    tiling = Tiling.chosen(height, width)
    assert 1 <= tiling.scale <= MOST_REDUCTION
    for reduced, side in zip(tiling.grid(height, width).reduced, (height, width), strict=True):
        assert side / reduced <= MOST_REDUCTION * 1.02


@pytest.mark.parametrize(
    ("shape", "tiles", "scale"), [((1024, 1024), 9, 1.6), ((4096, 4096), 121, 1.9), ((600, 2000), 10, 1.95)]
)
def test_as_few_tiles_as_that_allows_each_at_the_finest_scale(
    shape: tuple[int, int], tiles: int, scale: float
) -> None:
    tiling = Tiling.chosen(*shape)
    assert len(tiling.grid(*shape)) == tiles
    assert tiling.scale == pytest.approx(scale, abs=0.1)


def test_only_images_whose_shorter_side_exceeds_512_pixels_are_large() -> None:
    assert not is_large(512, 512) and not is_large(300, 4000)
    assert is_large(513, 513)


def test_a_number_of_tiles_or_a_scale_can_be_asked_for() -> None:
    assert len(Tiling.chosen(1024, 1024, counts=(5, 5)).grid(1024, 1024)) == 25
    assert Tiling.chosen(1024, 1024, counts=(5, 5)).scale == pytest.approx(1.0)
    assert Tiling.chosen(1024, 1024, scale=4.0).grid(1024, 1024).reduced == (256, 256)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_an_image_of_one_tile_is_cut_as_it_is_shrunk(dtype: type) -> None:
    rng = np.random.default_rng(0)
    grey = rng.random((300, 400)).astype(np.float32)
    if dtype is not np.float32:
        grey = (grey * np.iinfo(dtype).max).astype(dtype)
    tiling = Tiling(2.0)
    reduced = tiling.reduce(grey)
    (tile,) = tiling.grid(300, 400).cut(reduced)
    levels = np.float32(255 if dtype is np.uint8 else 65535)
    np.testing.assert_array_equal(tile.astype(np.float32) / levels, to_square(grey))


def test_tiles_at_full_scale_hold_the_pixels_of_the_image() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (512, 768), dtype=np.uint8)
    grid = Tiling(1.0).grid(512, 768)
    for (top, left), tile in zip(grid.corners, grid.cut(Tiling(1.0).reduce(grey)), strict=True):
        np.testing.assert_array_equal(tile, grey[top : top + 256, left : left + 256])
    assert grid.box(0) == (0, 0, 256, 256)


@settings(max_examples=30)
@given(SIDES, SIDES, st.sampled_from([16, 32, 64]))
def test_maps_that_agree_where_tiles_overlap_become_that_map_without_a_seam(
    height: int, width: int, side: int
) -> None:
    grid = Tiling.chosen(height, width).grid(height, width)
    flat = grid.assemble([np.full((side, side), 3.0, np.float32)] * len(grid))
    finest = 256 // (side if len(grid) == 1 else max(side, 32))
    assert flat.shape == (grid.reduced[0] // finest, grid.reduced[1] // finest)
    np.testing.assert_allclose(flat, 3.0, rtol=1e-6)


def test_a_map_of_the_whole_image_cut_and_assembled_is_itself() -> None:
    grid = Tiling.chosen(1000, 1500).grid(1000, 1500)
    rows, columns = (side // CELL for side in grid.reduced)
    whole = np.random.default_rng(0).random((rows, columns)).astype(np.float32)
    parts = [
        whole[y // CELL : y // CELL + 32, x // CELL : x // CELL + 32].astype(np.float32)
        for y, x in grid.corners
    ]
    np.testing.assert_allclose(grid.assemble(parts), whole, rtol=1e-6)


def test_the_map_of_a_single_tile_is_the_map_of_the_image() -> None:
    one = np.random.default_rng(0).random((16, 16)).astype(np.float32)
    np.testing.assert_array_equal(Tiling(2.0).grid(400, 400).assemble([one]), one)


def test_boxes_are_in_pixels_of_the_image_and_cover_it() -> None:
    grid = Tiling.chosen(1024, 1024).grid(1024, 1024)
    covered = np.zeros((1024, 1024), bool)
    for tile in range(len(grid)):
        left, top, width, height = grid.box(tile)
        covered[top : top + height, left : left + width] = True
    assert covered.all()


def test_what_is_written_is_read_back() -> None:
    tiling = Tiling.chosen(1111, 977)
    assert Tiling.from_dict(json.loads(json.dumps(tiling.to_dict()))) == tiling


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"scale": 0.5, "overlap": 64},
        {"scale": True, "overlap": 64},
        {"scale": 2.0, "overlap": 60},
        {"scale": 2.0, "overlap": 136},
    ],
)
def test_what_is_no_tiling_is_refused(content: object) -> None:
    with pytest.raises(InputError, match="tiling"):
        Tiling.from_dict(content)
