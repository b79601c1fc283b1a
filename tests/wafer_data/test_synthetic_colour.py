"""Synthetic anomalies in colour: painted along an axis of the colour space, with the same promises as in grey."""

import numpy as np
import pytest

from tests.colour_images import coloured_wafer
from wafer_data.augment import AugmentConfig, augment, warp
from wafer_data.imaging.planes import luminance
from wafer_data.synthetic import GENERATORS, add_random_anomaly
from wafer_data.synthetic.blend import VISIBLE
from wafer_data.synthetic.colour import BRIGHTNESS, Axis, draw_axis, own_axis
from wafer_data.synthetic.transplant import transplant


def planes(seed: int, defect: bool = False) -> np.ndarray:
    image, _ = coloured_wafer(np.random.default_rng(seed), defect)
    return np.ascontiguousarray(np.moveaxis(image, 2, 0)).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_mask_is_exactly_what_changed_and_something_shows(name: str) -> None:
    for seed in range(8):
        image, donor = planes(seed), planes(100 + seed)
        painted, mask = GENERATORS[name](image, np.random.default_rng(seed), donor)
        assert painted.shape == image.shape and painted.dtype == np.float32
        assert painted.min() >= 0 and painted.max() <= 1
        np.testing.assert_array_equal(mask, (painted != image).any(axis=0))
        assert np.abs(painted - image).max() >= VISIBLE
        again, _ = GENERATORS[name](image, np.random.default_rng(seed), donor)
        np.testing.assert_array_equal(again, painted)


def test_paint_is_now_a_hue_and_now_brightness_alone() -> None:
    shares = []
    for seed in range(60):
        image = 0.25 + 0.5 * planes(seed)  # far from black and white, where a hue has to give in
        painted, mask = GENERATORS["stain"](image, np.random.default_rng(seed), None)
        change = (painted - image)[:, mask]
        brightness = np.abs(luminance(painted) - luminance(image))[mask]
        shares.append(brightness.max() / np.abs(change).max())
    assert np.mean(np.array(shares) > 0.99) > 0.2
    assert np.mean(np.array(shares) < 0.05) > 0.2


def test_the_pieces_of_a_donor_keep_their_colours() -> None:
    grey = np.random.default_rng(0).uniform(0.4, 0.6, (96, 96)).astype(np.float32)
    surface, donor = np.stack([grey] * 3), np.stack([grey + 0.3, grey, grey - 0.3])
    for name in ("cut_paste", "perlin_texture", "swap"):
        redder = []
        for seed in range(20):
            painted, mask = GENERATORS[name](surface, np.random.default_rng(seed), donor)
            redder.append(float((painted[0] - painted[2])[mask].mean()))
        assert max(redder) > 0.25, name


def test_structures_are_filled_with_colours_of_their_own() -> None:
    x = np.arange(96)[None].repeat(96, 0)
    lines = (x // 8 % 2 == 0)[None]
    red, blue = (
        np.array(colour, np.float32).reshape(3, 1, 1) for colour in ((0.6, 0.3, 0.3), (0.3, 0.3, 0.6))
    )
    image = np.where(lines, red, blue) + np.random.default_rng(0).normal(0, 0.005, (3, 96, 96))
    image = image.astype(np.float32)
    for name in ("bridge", "missing_feature"):
        painted, mask = GENERATORS[name](image, np.random.default_rng(3), None)
        moved = (painted - image)[:, mask]
        strongest = moved[:, np.abs(moved).max(axis=0).argmax()]
        assert abs(strongest[1]) < 0.05 and strongest[0] * strongest[2] < 0, name


def test_an_axis_measures_what_it_moves() -> None:
    image = 0.3 + 0.4 * planes(0)
    rng = np.random.default_rng(0)
    for axis in (BRIGHTNESS, own_axis(image), *(draw_axis(image, rng) for _ in range(20))):
        moved = image + np.float32(0.05) * axis.direction[:, None, None]
        np.testing.assert_allclose(axis.view(moved) - axis.view(image), 0.05, atol=1e-5)
        assert np.abs(axis.direction).max() == pytest.approx(1)


def test_an_image_without_colour_has_brightness_for_its_own_axis() -> None:
    assert own_axis(np.full((3, 32, 32), 0.5, np.float32)) is BRIGHTNESS
    grey = np.random.default_rng(0).uniform(0, 1, (32, 32)).astype(np.float32)
    np.testing.assert_allclose(own_axis(np.stack([grey] * 3)).direction, 1, atol=1e-3)
    assert Axis.along(np.array([2.0, 0, 0])).weights.tolist() == [1, 0, 0]


def test_changes_of_a_normal_move_its_channels_alike() -> None:
    image = planes(0)
    every = AugmentConfig(horizontal_flip=True, vertical_flip=True, rotate90=True)
    for seed in range(6):
        changed = augment(image, np.random.default_rng(seed), every)
        for channel in range(3):
            expected = augment(image[channel], np.random.default_rng(seed), every)
            np.testing.assert_array_equal(changed[channel], expected)
        turned = warp(image, np.random.default_rng(seed))
        np.testing.assert_array_equal(turned[1], warp(image[1], np.random.default_rng(seed)))


def test_a_transplanted_defect_keeps_its_hue() -> None:
    rng = np.random.default_rng(4)
    found, where = coloured_wafer(np.random.default_rng(1), defect=True)
    defect = np.moveaxis(found, 2, 0).astype(np.float32) / 255
    normal = planes(2)
    image, placed = transplant(normal, defect, where, rng)
    blue = image[2][placed].mean() - image[0][placed].mean()
    assert blue > 0.25 > normal[2].mean() - normal[0].mean()
    assert image.shape == normal.shape and placed.shape == where.shape


def test_the_drawn_kind_takes_either() -> None:
    image, mask, name = add_random_anomaly(planes(0), np.random.default_rng(0), planes(1))
    assert image.shape == (3, 96, 96) and mask.shape == (96, 96) and name in GENERATORS
