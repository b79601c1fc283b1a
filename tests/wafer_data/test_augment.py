"""Augmentation: off unless asked for, shape and range kept, each change bounded by its setting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from wafer_data.augment import AugmentConfig, augment, mirror_and_turn

IMAGE = np.random.default_rng(0).uniform(0.3, 0.7, (24, 24)).astype(np.float32)


def variants(config: AugmentConfig, image: np.ndarray = IMAGE, count: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [augment(image, rng, config) for _ in range(count)]


def test_nothing_is_changed_by_default() -> None:
    result = augment(IMAGE, np.random.default_rng(0), AugmentConfig())
    np.testing.assert_array_equal(result, IMAGE)
    assert not np.shares_memory(result, IMAGE)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (AugmentConfig(horizontal_flip=True), [IMAGE, IMAGE[:, ::-1]]),
        (AugmentConfig(vertical_flip=True), [IMAGE, IMAGE[::-1]]),
        (AugmentConfig(rotate90=True), [np.rot90(IMAGE, k) for k in range(4)]),
    ],
)
def test_symmetries_give_exactly_their_images(config: AugmentConfig, expected: list[np.ndarray]) -> None:
    found = {result.tobytes() for result in variants(config)}
    assert found == {np.ascontiguousarray(image).tobytes() for image in expected}


def test_several_images_are_mirrored_and_turned_alike() -> None:
    config = AugmentConfig(horizontal_flip=True, vertical_flip=True, rotate90=True)
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        first, second = mirror_and_turn(np.stack([IMAGE, 2 * IMAGE]), rng, config)
        np.testing.assert_array_equal(2 * first, second)
        seen.add(first.tobytes())
    assert len(seen) == 8  # the symmetries of the square


def test_an_open_choice_changes_nothing() -> None:
    config = AugmentConfig(horizontal_flip=None, vertical_flip=None, rotate90=None)
    assert all((result == IMAGE).all() for result in variants(config))


@given(
    brightness=st.floats(0, 0.5),
    contrast=st.floats(0, 0.9),
    noise=st.floats(0, 0.5),
    rotate=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=50, deadline=None)
def test_shape_type_and_range_are_kept(
    brightness: float, contrast: float, noise: float, rotate: bool, seed: int
) -> None:
    config = AugmentConfig(brightness=brightness, contrast=contrast, noise=noise, rotate90=rotate)
    result = augment(IMAGE, np.random.default_rng(seed), config)
    assert result.shape == IMAGE.shape
    assert result.dtype == np.float32
    assert result.flags.c_contiguous
    assert result.min() >= 0
    assert result.max() <= 1


def test_brightness_shifts_all_pixels_alike_within_its_bound() -> None:
    shifts = [result - IMAGE for result in variants(AugmentConfig(brightness=0.1))]
    assert all(np.ptp(shift) < 1e-6 for shift in shifts)
    sizes = [float(shift.mean()) for shift in shifts]
    assert -0.1 - 1e-6 <= min(sizes) < -0.05
    assert 0.05 < max(sizes) <= 0.1 + 1e-6


def test_contrast_scales_around_the_mean_within_its_bound() -> None:
    results = variants(AugmentConfig(contrast=0.2))
    ratios = [float(result.std() / IMAGE.std()) for result in results]
    assert 0.8 - 1e-5 <= min(ratios) < 0.9
    assert 1.1 < max(ratios) <= 1.2 + 1e-5
    assert all(abs(result.mean() - IMAGE.mean()) < 1e-5 for result in results)


def test_noise_stays_within_its_bound() -> None:
    deviations = [float((result - IMAGE).std()) for result in variants(AugmentConfig(noise=0.05))]
    assert 0.03 < max(deviations) < 0.055


def test_turning_a_long_image_is_refused() -> None:
    with pytest.raises(ValueError, match="rotate90 needs square images, not 24 x 30"):
        augment(np.zeros((24, 30), np.float32), np.random.default_rng(0), AugmentConfig(rotate90=True))


@pytest.mark.parametrize("values", [{"zoom": 1.0}, {"contrast": 1.0}, {"noise": -0.1}, {"brightness": 0.7}])
def test_impossible_settings_are_refused(values: dict) -> None:
    with pytest.raises(ValidationError):
        AugmentConfig(**values)


def test_every_field_is_documented() -> None:
    assert all(field.description for field in AugmentConfig.model_fields.values())
