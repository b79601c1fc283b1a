"""Synthetic anomalies: masks are exact, sizes and contrasts vary, any range of intensities is served."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wafer_data.synthetic import (
    ANOMALY_TYPES,
    GENERATORS,
    add_random_anomaly,
    bridge,
    missing_feature,
    pattern_shift,
)
from wafer_data.synthetic.noise import smooth_noise

Generator = Callable[..., tuple[np.ndarray, np.ndarray]]
every_generator = pytest.mark.parametrize("generator", GENERATORS.values(), ids=GENERATORS)


def surface(seed: int, height: int = 96, width: int = 96, low: float = 0.3, high: float = 0.7) -> np.ndarray:
    """A smooth texture with fine noise, between `low` and `high`."""
    rng = np.random.default_rng(seed)
    texture = ndimage.gaussian_filter(rng.random((height, width)), 3) + 0.02 * rng.random((height, width))
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    return (low + (high - low) * texture).astype(np.float32)


def check(image: np.ndarray, changed: np.ndarray, mask: np.ndarray) -> None:
    assert changed.shape == mask.shape == image.shape
    assert changed.dtype == np.float32
    assert mask.dtype == bool
    assert mask.any()
    np.testing.assert_array_equal(changed != image, mask)  # exactly the changed pixels
    assert np.abs(changed - image)[mask].max() >= 1 / 255  # something to see
    assert changed.min() >= 0
    assert changed.max() <= 1


@every_generator
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    grey=st.sampled_from([(0.3, 0.7), (0.0, 0.02), (0.98, 1.0), (0.0, 1.0), (0.5, 0.5001)]),
    with_donor=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_the_mask_is_exact_for_any_image(
    generator: Generator, seed: int, shape: tuple[int, int], grey: tuple[float, float], with_donor: bool
) -> None:
    image = surface(seed, *shape, *grey)
    before = image.copy()
    donor = surface(seed + 1, *shape, *grey) if with_donor else None
    changed, mask = generator(image, np.random.default_rng(seed), donor)
    check(image, changed, mask)
    np.testing.assert_array_equal(image, before)  # the input itself is not touched


@every_generator
@pytest.mark.parametrize("grey", [0.0, 0.5, 1.0])
def test_even_a_uniform_image_gets_a_visible_anomaly(generator: Generator, grey: float) -> None:
    image = np.full((64, 64), grey, np.float32)
    for seed in range(20):
        check(image, *generator(image, np.random.default_rng(seed), image))


@every_generator
def test_the_generator_state_decides(generator: Generator) -> None:
    image, donor = surface(0), surface(1)
    first, second, other = (generator(image, np.random.default_rng(seed), donor)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


@every_generator
def test_sizes_and_contrasts_vary_and_stay_local(generator: Generator) -> None:
    image = surface(0, 128, 128)
    results = [generator(image, np.random.default_rng(seed), surface(1, 128, 128)) for seed in range(80)]
    areas = np.array([mask.mean() for _, mask in results])
    contrasts = np.array([np.abs(changed - image)[mask].mean() / image.std() for changed, mask in results])
    assert areas.max() < 0.45
    assert np.quantile(areas, 0.9) > 3 * np.quantile(areas, 0.1)
    assert np.quantile(contrasts, 0.9) > 2 * np.quantile(contrasts, 0.1)
    assert np.quantile(contrasts, 0.1) < 0.8  # subtle ones
    # and strong ones, in standard deviations of the image, as far as its own greys reach
    assert contrasts.max() > (0.7 if generator in (pattern_shift, bridge, missing_feature) else 1.2)


@every_generator
def test_contrast_follows_the_images_own_spread(generator: Generator) -> None:
    def strength(low: float, high: float) -> float:
        image, donor = surface(0, low=low, high=high), surface(1, low=low, high=high)
        changes = []
        for seed in range(40):
            changed, mask = generator(image, np.random.default_rng(seed), donor)
            changes.append(np.abs(changed - image)[mask].mean())
        return float(np.median(changes))

    assert 1.6 < strength(0.3, 0.7) / strength(0.4, 0.6) < 2.2


def test_scratches_and_cracks_are_thin_stains_are_not() -> None:
    image = surface(0, 256, 256)
    depth = {
        name: np.median(
            [
                ndimage.distance_transform_edt(GENERATORS[name](image, np.random.default_rng(seed))[1]).max()
                for seed in range(15)
            ]
        )
        for name in ("scratch", "crack", "stain")
    }
    assert depth["scratch"] <= 4
    assert depth["crack"] <= 4
    assert depth["stain"] > 10


def test_cracks_are_dark() -> None:
    image = surface(0)
    for seed in range(20):
        changed, mask = GENERATORS["crack"](image, np.random.default_rng(seed))
        assert (changed - image)[mask].mean() < 0


class TestMixture:
    def test_a_random_anomaly_names_its_generator_and_all_occur_by_weight(self) -> None:
        image, rng = surface(0), np.random.default_rng(0)
        seen: Counter[str] = Counter()
        for _ in range(400):
            changed, mask, name = add_random_anomaly(image, rng, surface(1))
            check(image, changed, mask)
            seen[name] += 1
        assert seen.keys() == GENERATORS.keys()
        total = sum(kind.weight for kind in ANOMALY_TYPES.values())
        for name, kind in ANOMALY_TYPES.items():
            expected = 400 * kind.weight / total
            assert abs(seen[name] - expected) < 4 * np.sqrt(expected), name

    def test_the_choice_can_be_narrowed(self) -> None:
        image, rng = surface(0), np.random.default_rng(0)
        names = {
            add_random_anomaly(image, rng, weights={"stain": 1, "crack": 2, "bridge": 0})[2]
            for _ in range(40)
        }
        assert names == {"stain", "crack"}

    @pytest.mark.parametrize("weights", [{"dent": 1.0}, {}, {"stain": 0.0}, {"stain": 2.0, "crack": -1.0}])
    def test_impossible_weights_are_refused(self, weights: dict[str, float]) -> None:
        with pytest.raises(ValueError, match=r"no such anomaly: dent|weights must be"):
            add_random_anomaly(surface(0), np.random.default_rng(0), weights=weights)


class TestNoise:
    def test_values_stay_in_range_with_mean_near_zero(self) -> None:
        fields = [smooth_noise((128, 96), 12, np.random.default_rng(seed)) for seed in range(20)]
        assert all(field.shape == (128, 96) and field.dtype == np.float32 for field in fields)
        assert max(np.abs(field).max() for field in fields) <= 1 + 1e-6
        assert abs(np.mean(fields)) < 0.02
        assert np.std(fields) > 0.2

    @given(st.floats(3, 40), st.integers(0, 100))
    @settings(max_examples=30, deadline=None)
    def test_it_is_smooth_at_the_scale_of_its_period(self, period: float, seed: int) -> None:
        field = smooth_noise((64, 64), period, np.random.default_rng(seed))
        steepest = max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1))
        assert steepest < 6 / period

    def test_it_agrees_with_the_definition_at_one_pixel_after_another(self) -> None:
        """Reference: the textbook formula, one pixel at a time, with the generator's own draws replayed."""
        shape, period = (14, 11), 4.5
        field = smooth_noise(shape, period, np.random.default_rng(7))
        rng = np.random.default_rng(7)
        offsets = rng.uniform(0, 1, 2).astype(np.float32)
        rows = int((shape[0] - 1) / period + offsets[0]) + 2
        columns = int((shape[1] - 1) / period + offsets[1]) + 2
        angles = rng.uniform(0, 2 * np.pi, (rows, columns))

        def fade(t: float) -> float:
            return 6 * t**5 - 15 * t**4 + 10 * t**3

        for i in range(shape[0]):
            for j in range(shape[1]):
                y, x = i / period + offsets[0], j / period + offsets[1]
                value = 0.0
                for row in (int(y), int(y) + 1):
                    for column in (int(x), int(x) + 1):
                        dy, dx = y - row, x - column
                        gradient = np.cos(angles[row, column]) * dx + np.sin(angles[row, column]) * dy
                        value += fade(1 - abs(dy)) * fade(1 - abs(dx)) * gradient
                assert field[i, j] == pytest.approx(np.sqrt(2) * value, abs=1e-5)
