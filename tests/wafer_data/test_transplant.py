"""Transplanting a labelled defect: the defect arrives whole, its surroundings stay behind, nothing else changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wafer_data.augment import AugmentConfig
from wafer_data.synthetic.transplant import transplant

SIDE = 96
REACH = 3  # at least the width of the border, in pixels, for sides of up to 100


def surface(seed: int, grey: float = 0.5) -> np.ndarray:
    """A smooth texture around `grey`."""
    texture = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE, SIDE)), 3)
    return (grey + 0.03 * texture / texture.std()).clip(0, 1).astype(np.float32)


def blob(seed: int) -> np.ndarray:
    """A mask of some pixels in one to three pieces, anywhere, also at the edge."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((SIDE, SIDE), bool)
    for _ in range(rng.integers(1, 4)):
        top, left = rng.integers(0, SIDE, 2)
        tall, wide = rng.integers(1, 24, 2)
        mask[top : top + tall, left : left + wide] = True
    return mask


def shift_between(before: np.ndarray, after: np.ndarray) -> tuple[int, int]:
    """How far the first pixels moved, row- and column-wise."""
    (r0, c0), (r1, c1) = (
        (int(np.flatnonzero(m.any(1))[0]), int(np.flatnonzero(m.any(0))[0])) for m in (before, after)
    )
    return r1 - r0, c1 - c0


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_defect_arrives_whole_and_near_where_it_was(seed: int) -> None:
    mask = blob(seed)
    normal, defect = surface(seed + 1), surface(seed + 2)
    result, placed = transplant(normal, defect, mask, np.random.default_rng(seed))
    assert placed.dtype == bool and placed.sum() == mask.sum()
    move = shift_between(mask, placed)
    assert max(map(abs, move)) <= round(0.03 * SIDE)
    np.testing.assert_array_equal(np.roll(mask, move, (0, 1)), placed)
    # inside a part, every pixel differs from the source's by one and the same grey value
    offset = result - np.roll(defect, move, (0, 1))
    parts, count = ndimage.label(placed, np.ones((3, 3)))
    assert all(np.ptp(offset[parts == part]) < 1e-5 for part in range(1, count + 1))


@given(seed=st.integers(0, 10_000), grey=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_everything_beyond_the_border_is_the_normal_to_the_bit(seed: int, grey: float) -> None:
    normal, defect = surface(seed + 1), surface(seed + 2, grey)
    inputs = normal.copy(), defect.copy()
    result, placed = transplant(normal, defect, blob(seed), np.random.default_rng(seed))
    near = ndimage.distance_transform_edt(~placed) < REACH
    np.testing.assert_array_equal(result[~near], normal[~near])
    assert result.dtype == np.float32 and result.min() >= 0 and result.max() <= 1
    np.testing.assert_array_equal(inputs, (normal, defect))  # neither input is touched


def test_the_outline_of_the_patch_is_not_a_step() -> None:
    """The donor is far darker; without the defect inside, the transplant must not show."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[30:50, 40:70] = True
    normal, donor = surface(1, 0.7), surface(2, 0.3)
    result, _ = transplant(normal, donor, mask, np.random.default_rng(0))
    steps = np.abs(np.diff(result, axis=0)).max()
    assert steps < 2 * max(np.abs(np.diff(image, axis=0)).max() for image in (normal, donor))


def test_the_defect_keeps_its_contrast_to_its_surroundings() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[30:50, 40:70] = True
    donor = surface(2, 0.3)
    donor[mask] += 0.2
    result, placed = transplant(surface(1, 0.7), donor, mask, np.random.default_rng(0))
    ring = ndimage.binary_dilation(placed, iterations=6) & ~ndimage.binary_dilation(placed, iterations=3)
    assert result[placed].mean() - result[ring].mean() == pytest.approx(0.2, abs=0.04)


def test_each_part_is_matched_to_its_own_surroundings() -> None:
    """A normal that is dark on the left and bright on the right takes up two parts of an even donor."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[20:30, 10:30] = mask[60:70, 60:80] = True
    normal = surface(1, 0.0) + np.where(np.arange(SIDE) < SIDE // 2, 0.3, 0.7).astype(np.float32)
    donor = surface(2, 0.5)
    donor[mask] -= 0.15
    result, placed = transplant(normal, donor, mask, np.random.default_rng(0))
    for left, grey in ((0, 0.3), (SIDE // 2, 0.7)):
        half = np.zeros_like(placed)
        half[:, left : left + SIDE // 2] = True
        assert result[placed & half].mean() == pytest.approx(grey - 0.15, abs=0.05)


def test_a_mask_of_the_whole_image_brings_the_whole_image() -> None:
    donor = surface(2, 0.3)
    result, placed = transplant(surface(1), donor, np.ones((SIDE, SIDE), bool), np.random.default_rng(0))
    assert placed.all()
    np.testing.assert_array_equal(result, donor)


def test_it_is_mirrored_and_turned_only_where_that_is_allowed() -> None:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:14, 10:40] = True  # wide, in the upper left corner
    kept = [transplant(surface(1), surface(2), mask, np.random.default_rng(s))[1] for s in range(20)]
    assert all(m[:20, :48].sum() == mask.sum() for m in kept)
    flips = AugmentConfig(horizontal_flip=True, vertical_flip=True, rotate90=True)
    changed = [
        transplant(surface(1), surface(2), mask, np.random.default_rng(s), flips)[1] for s in range(40)
    ]
    assert any(m[:20, 48:].sum() == mask.sum() for m in changed)
    assert any(m[76:, :48].sum() == mask.sum() for m in changed)
    assert any(m[:, :20].sum() == mask.sum() for m in changed)


def test_the_generator_state_decides() -> None:
    mask, flips = blob(5), AugmentConfig(horizontal_flip=True)
    images = [
        transplant(surface(1), surface(2), mask, np.random.default_rng(seed), flips) for seed in (3, 3, 4)
    ]
    np.testing.assert_array_equal(images[0][0], images[1][0])
    assert (images[0][0] != images[2][0]).any()


def test_small_images_are_served_too() -> None:
    mask = np.zeros((16, 16), bool)
    mask[0, 15] = True
    image = surface(1)[:16, :16]
    result, placed = transplant(image, 1 - image, mask, np.random.default_rng(0))
    assert placed.sum() == 1 and result.shape == (16, 16)


def test_an_empty_mask_or_other_shapes_are_refused() -> None:
    image = surface(1)
    with pytest.raises(ValueError, match="no defect"):
        transplant(image, image, np.zeros((SIDE, SIDE), bool), np.random.default_rng(0))
    with pytest.raises(ValueError, match="shapes differ"):
        transplant(image, image[:40], np.ones((SIDE, SIDE), bool), np.random.default_rng(0))
