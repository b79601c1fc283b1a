"""What the features of a defect depend on, and what they do not."""

import numpy as np
import pytest

from classify.features import measure

SIDE, CELLS, LATENT = 256, 64, 8


def picture(row: int, column: int, angle: float = 0.0, length: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    """A dark stroke on noise, and a heat map that shows it (synthetic)."""
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
    across = -(x - column) * np.sin(angle) + (y - row) * np.cos(angle)
    spot = np.exp(-((along / length) ** 2) - (across / 4) ** 2)
    image = 0.5 - 0.3 * spot + np.random.default_rng(0).normal(0, 0.01, (SIDE, SIDE))
    heat = spot.reshape(CELLS, 4, CELLS, 4).mean(axis=(1, 3))
    return image.astype(np.float32), heat.astype(np.float32)


def features(row: int, column: int, **shape: float) -> np.ndarray:
    image, heat = picture(row, column, **shape)
    return measure(image, heat, np.zeros(LATENT, dtype=np.float32), 0.5)


def test_the_latent_comes_first_as_it_is() -> None:
    image, heat = picture(100, 100)
    latent = np.arange(LATENT, dtype=np.float32)
    assert np.array_equal(measure(image, heat, latent, 0.5)[:LATENT], latent)


def test_a_moved_defect_looks_more_alike_than_one_of_another_shape() -> None:
    here, there, round_one = features(100, 100), features(140, 124), features(100, 100, length=4.0)
    assert np.linalg.norm(here - there) < np.linalg.norm(here - round_one) / 2


def test_a_mirrored_defect_has_the_same_neighbourhood() -> None:
    image, heat = picture(128, 128, angle=0.6)
    one = measure(image, heat, np.zeros(1), 0.5)
    two = measure(image[:, ::-1], heat[:, ::-1], np.zeros(1), 0.5)
    assert np.median(np.abs(one - two)) < 0.05


@pytest.mark.parametrize("place", [(0, 0), (255, 255), (0, 128), (250, 3)])
def test_a_defect_at_the_border_is_measured(place: tuple[int, int]) -> None:
    assert np.isfinite(features(*place)).all()


@pytest.mark.parametrize("cells", [4, 8, 32, 64])
@pytest.mark.parametrize("side", [64, 128, 256])
def test_any_map_and_any_input_size_give_the_same_number_of_features(cells: int, side: int) -> None:
    rng = np.random.default_rng(0)
    values = measure(
        rng.random((side, side), dtype=np.float32), rng.random((cells, cells)), np.zeros(LATENT), 0.5
    )
    assert values.shape == features(100, 100).shape and np.isfinite(values).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_flat_image_and_an_empty_map_give_finite_features(value: float) -> None:
    image = np.full((SIDE, SIDE), value, dtype=np.float32)
    with np.errstate(all="ignore"):
        assert np.isfinite(measure(image, np.zeros((CELLS, CELLS)), np.zeros(LATENT), 0.5)).all()
