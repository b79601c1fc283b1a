"""What the features of a defect depend on, and what they do not."""

import numpy as np
import pytest

from classify.features import Seen, measure

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


def seen(image: np.ndarray, heat: np.ndarray, channels: int = 3) -> Seen:
    """With activations that follow grey level and heat, as a trunk's do."""
    fine = image.reshape(32, 8, 32, 8).mean(axis=(1, 3)) if image.shape[0] == SIDE else np.zeros((32, 32))
    cells = np.stack([fine * (c + 1) for c in range(channels)]).astype(np.float32)
    return Seen(image, heat, np.zeros(LATENT, dtype=np.float32), (cells, cells[:, ::2, ::2]))


def highest(heat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(heat >= 0.5 * heat.max())
    order = np.argsort(-heat[rows, columns])
    return rows[order], columns[order]


def features(row: int, column: int, **shape: float) -> np.ndarray:
    image, heat = picture(row, column, **shape)
    return measure(seen(image, heat), [highest(heat)], 0.5)[0]


def test_without_activations_the_latent_takes_their_place() -> None:
    image, heat = picture(100, 100)
    latent = np.arange(LATENT, dtype=np.float32) + 1000
    found = measure(Seen(image, heat, latent), [highest(heat)], 0.5)[0]
    assert set(latent) <= set(found)


def test_a_moved_defect_looks_more_alike_than_one_of_another_shape() -> None:
    here, there, round_one = features(100, 100), features(148, 132), features(100, 100, length=4.0)
    assert np.linalg.norm(here - there) < np.linalg.norm(here - round_one) / 2


def test_a_mirrored_defect_has_the_same_features() -> None:
    image, heat = picture(128, 128, angle=0.6)
    one = measure(seen(image, heat), [highest(heat)], 0.5)
    heat = heat[:, ::-1]
    two = measure(seen(image[:, ::-1], heat), [highest(heat)], 0.5)
    assert np.median(np.abs(one - two)) < 0.05


def test_each_defect_of_an_image_has_its_own_features() -> None:
    image, heat = picture(60, 60)
    other_image, other_heat = picture(190, 200, length=4.0)
    both = measure(
        seen(np.minimum(image, other_image), np.maximum(heat, other_heat)),
        [highest(heat), highest(other_heat)],
        0.5,
    )
    alone = [features(60, 60), features(190, 200, length=4.0)]
    assert all(np.linalg.norm(both[i] - alone[i]) < np.linalg.norm(both[i] - alone[1 - i]) for i in range(2))


@pytest.mark.parametrize("place", [(0, 0), (255, 255), (0, 128), (250, 3)])
def test_a_defect_at_the_border_is_measured(place: tuple[int, int]) -> None:
    assert np.isfinite(features(*place)).all()


@pytest.mark.parametrize("cells", [4, 8, 32, 64])
@pytest.mark.parametrize("side", [64, 128, 256])
def test_any_map_and_any_input_size_give_the_same_number_of_features(cells: int, side: int) -> None:
    rng = np.random.default_rng(0)
    heat = rng.random((cells, cells))
    values = measure(seen(rng.random((side, side), dtype=np.float32), heat), [highest(heat)], 0.5)[0]
    assert values.shape == features(100, 100).shape and np.isfinite(values).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_flat_image_and_an_empty_map_give_finite_features(value: float) -> None:
    image, heat = np.full((SIDE, SIDE), value, dtype=np.float32), np.zeros((CELLS, CELLS))
    with np.errstate(all="ignore"):
        assert np.isfinite(measure(seen(image, heat), [(np.array([0]), np.array([0]))], 0.5)).all()
