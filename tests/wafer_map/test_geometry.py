"""Defects in a heat map: how many, where, how large; and where that is on die and wafer."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import regionprops

from wafer_data.errors import ConfigurationError, DataError, NotFoundError
from wafer_map.geometry import find_regions
from wafer_map.regions import label_regions, shape_of
from wafer_map.stage import Site, StageMap, load_stage


def find_defects(*given, **named):
    return [finding for finding, *_ in find_regions(*given, **named)]


MASKS = arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)))


@given(MASKS)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_regions_are_those_of_scipy(mask: np.ndarray):
    labels, count = label_regions(mask)
    expected, number = ndimage.label(mask, structure=np.ones((3, 3)))
    assert count == number
    pairs = set(zip(labels.ravel().tolist(), expected.ravel().tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({two for _, two in pairs})


def test_the_ellipse_of_a_region_is_that_of_scikit_image():
    mask = np.zeros((40, 40), dtype=np.uint8)
    for i in range(22):
        mask[5 + i, 8 + i // 2 : 12 + i // 2] = 1
    region = regionprops(mask)[0]
    shape = shape_of(*np.nonzero(mask))
    # scikit-image takes cells for points; here each is a square, which adds 1/12 to the variance along each axis.
    for mine, theirs in ((shape.length, region.axis_major_length), (shape.width, region.axis_minor_length)):
        assert mine**2 - 16 / 12 == pytest.approx(theirs**2)


def heat(*spots: tuple[int, int, int, int, float], shape: tuple[int, int] = (32, 32)) -> np.ndarray:
    values = np.zeros(shape)
    for row, column, height, width, value in spots:
        values[row : row + height, column : column + width] = value
    return values


def test_several_defects_with_place_box_and_area_in_pixels():
    found = find_defects(heat((2, 4, 1, 10, 3.0), (20, 20, 4, 4, 5.0)), 1.0, (640, 320))
    assert len(found) == 2 and [d.peak for d in found] == [5.0, 3.0]
    square, line = found
    assert square.box == (400, 200, 480, 240) and square.center == (440, 220) and square.area == 80 * 40
    assert line.box == (80, 20, 280, 30) and line.length > 8 * line.width and line.angle == 0.0


def test_a_defect_reaches_as_far_as_its_glow_but_the_glow_alone_is_none():
    values = heat((5, 5, 5, 5, 0.6), (7, 7, 1, 1, 2.0), (20, 20, 3, 3, 0.9))
    found = find_defects(values, 1.0, (32, 32))
    assert len(found) == 1 and found[0].area == 25
    faint = find_defects(heat((20, 20, 3, 3, 0.9)), 1.0, (32, 32), at_least_one=True)
    assert len(faint) == 1 and faint[0].faint and faint[0].area == 1
    assert find_defects(heat((20, 20, 3, 3, 0.9)), 1.0, (32, 32)) == []


def test_a_value_that_is_no_number_is_a_defect():
    values = heat()
    values[3, 3] = np.nan
    assert find_defects(values, 1.0, (32, 32))[0].box == (3, 3, 4, 4)


def test_sizes_in_micrometres_follow_pixels_that_are_not_square():
    tall = find_defects(heat((4, 10, 8, 2, 2.0)), 1.0, (32, 32), pixel_um=(2.0, 0.5))[0]
    assert tall.area_um2 == 16 and tall.length_um == pytest.approx(tall.width_um)
    assert tall.angle == 90.0 and tall.length == pytest.approx(4 * tall.width)


def test_the_angle_is_counter_clockwise():
    values = heat()
    for i in range(10):
        values[20 - i, 5 + i] = 2.0  # up to the right
    assert find_defects(values, 1.0, (32, 32))[0].angle == pytest.approx(45.0)


@given(st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_scaling_the_map_with_its_reference_changes_nothing(seed: int, factor: int):
    values = np.random.default_rng(seed).gamma(1.0, 0.5, (16, 16))
    assert [d.box for d in find_defects(values, 1.0, (16, 16))] == [
        d.box for d in find_defects(values * factor, factor, (16, 16))
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda: find_defects(np.zeros(4), 1.0, (4, 4)),
        lambda: find_defects(heat(), 0.0, (4, 4)),
        lambda: find_defects(heat(), 1.0, (0, 4)),
        lambda: find_defects(heat(), 1.0, (4, 4), pixel_um=(1.0, math.inf)),
        lambda: find_defects(heat(), 1.0, (4, 4), seed_at=0.2),
    ],
)  # fmt: skip
def test_nonsense_is_refused(call):
    with pytest.raises(DataError):
        call()


STAGE = StageMap(
    die_um=(10_000.0, 5_000.0), center_um=(5_000.0, 2_500.0), pixel_um=(0.5, 0.5), reticle=(2, 3),
    sites={"S1": Site((0, 0), (5_000.0, 2_500.0)), "S2": Site((-1, 2), (9_990.0, 100.0), 90.0)},
)  # fmt: skip


def test_the_centre_of_the_central_dies_image_is_the_wafers_centre():
    finding = find_defects(heat((15, 15, 2, 2, 2.0)), 1.0, (320, 320), pixel_um=STAGE.pixel_um)[0]
    placed = STAGE.located(finding, "S1", (320, 320))
    assert placed.die == (0, 0) and placed.on_wafer == (0.0, 0.0) and placed.on_die == (5_000.0, 2_500.0)


def test_down_in_the_image_is_down_on_the_wafer():
    die, place = STAGE.on_die(STAGE.site("S1"), (320, 320), (320, 320))
    assert (die, place) == ((0, 0), (5_080.0, 2_420.0))


def test_a_turned_image_and_a_defect_on_the_neighbouring_die():
    # 200 pixels down in an image that is turned by 90 degrees is 100 um to the right: over the die's edge.
    die, place = STAGE.on_die(STAGE.site("S2"), (160, 360), (320, 320))
    assert die == (0, 2) and place == pytest.approx((90.0, 100.0))
    assert STAGE.in_reticle((-1, 2)) == (1, 2) and STAGE.in_reticle((3, -1)) == (1, 2)


def test_a_stage_map_is_read_back_and_checked(tmp_path):
    import json

    (tmp_path / "stage.json").write_text(json.dumps(STAGE.to_dict()))
    assert load_stage(tmp_path / "stage.json") == STAGE
    base = STAGE.to_dict()
    for change, reason in [
        ({"schema": 0}, "schema"), ({"die_um": [0, 1]}, "positive"), ({"pixel_um": "x"}, "pixel_um"),
        ({"typo": 1}, "typo"),
        ({"reticle": [0, 1]}, "at least 1"), ({"sites": {"A": {"die": [0.5, 1], "offset_um": [0, 0]}}}, "site A: die"),
        ({"sites": {"A": {"die": [0, 1]}}}, "offset_um is missing"), ({"mirrored": 1}, "mirrored"),
    ]:  # fmt: skip
        with pytest.raises(ConfigurationError, match=reason):
            StageMap.from_dict({**base, **change})
    with pytest.raises(NotFoundError, match="no site 'S9'"):
        STAGE.site("S9")
    with pytest.raises(ConfigurationError, match="pixel_um"):
        StageMap((1.0, 1.0), (0.0, 0.0)).on_die(Site((0, 0), (0.0, 0.0)), (0, 0), (4, 4))
