"""Aligned, unaligned, or the same thing at different places? All images are synthetic."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from eval.explore.alignment import Alignment, AlignmentSums


def measured(images: list[np.ndarray], size: int = 64) -> Alignment:
    sums = AlignmentSums(size)
    for index, image in enumerate(images):
        sums.add(index, image.astype(np.float32))
    return sums.measure(np.random.default_rng(0))


def field(rng: np.random.Generator, size: int, grain: float) -> np.ndarray:
    values = gaussian_filter(rng.normal(size=(size, size)), grain, mode="wrap")
    return np.clip(0.5 + 0.1 * values / values.std(), 0, 1)


def test_the_mean_correlation_is_that_of_all_pairs():
    rng = np.random.default_rng(1)
    common = field(rng, 64, 3)
    images = [0.5 * common + 0.5 * field(rng, 64, 3) for _ in range(12)]
    table = np.corrcoef([image.ravel() for image in images])
    assert measured(images).correlation == pytest.approx(table[np.triu_indices(12, 1)].mean(), abs=1e-3)


def test_one_object_in_all_images_is_aligned():
    rng = np.random.default_rng(2)
    common = field(rng, 128, 5)
    found = measured([common + rng.normal(0, 0.02, common.shape) for _ in range(20)], 128)
    assert found.verdict == "aligned" and found.correlation > 0.9
    assert not found.same_but_shifted and found.shift_px == 0


def test_the_correlation_is_the_share_of_contrast_in_common():
    rng = np.random.default_rng(3)
    common = field(rng, 64, 2)
    images = [0.5 + 0.5**0.5 * (common - 0.5) + 0.5**0.5 * (field(rng, 64, 2) - 0.5) for _ in range(60)]
    assert measured(images).correlation == pytest.approx(0.5, abs=0.06)


def test_shifted_crops_are_unaligned_and_told_apart_from_random_texture():
    rng = np.random.default_rng(4)
    whole = field(rng, 256, 3)
    crops = []
    for _ in range(40):
        top, left = rng.integers(0, 48, 2)
        crops.append(whole[top : top + 128, left : left + 128])
    found = measured(crops, 128)
    assert found.verdict == "unaligned" and found.same_but_shifted
    assert 4 < found.shift_px < 48


@pytest.mark.parametrize("grain", [0.0, 2.0])
def test_random_texture_is_unaligned_and_no_shift_helps(grain):
    rng = np.random.default_rng(5)
    found = measured([field(rng, 64, grain) for _ in range(40)])
    assert found.verdict == "unaligned" and not found.same_but_shifted
    assert abs(found.correlation) < 0.02


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_images_or_none_with_contrast_say_nothing(count):
    found = measured([np.full((64, 64), 0.3)] * count)
    assert (found.images, found.correlation, found.verdict) == (0, 0.0, "unaligned")
