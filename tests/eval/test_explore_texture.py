"""Does the exploration find the pattern that is there, and none where there is none? All images are synthetic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from eval.explore.period import Pattern, find_grain, find_pattern, find_radial_peak, to_rays
from eval.explore.texture import TextureSums, radial_mean

SIZE = 128


def grating(period: float, degrees: float, rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """Waves of one period, of a random phase; `degrees` is the direction across the lines."""
    y, x = np.mgrid[:size, :size]
    along = x * np.cos(np.deg2rad(degrees)) - y * np.sin(np.deg2rad(degrees))
    return 0.5 + 0.2 * np.sin(2 * np.pi * along / period + rng.uniform(0, 2 * np.pi))


def sums_of(images: list[np.ndarray]) -> TextureSums:
    sums = TextureSums(len(images[0]))
    for index, image in enumerate(images):
        sums.add(index, image.astype(np.float32))
    return sums


def pattern_in(images: list[np.ndarray]) -> Pattern | None:
    return find_pattern(to_rays(sums_of(images).correlation()))


def noisy(image: np.ndarray, rng: np.random.Generator, amount: float = 0.05) -> np.ndarray:
    return image + rng.normal(0, amount, image.shape)


def is_periodic(pattern: Pattern | None) -> bool:
    return pattern is not None and pattern.periodic


@settings(deadline=None, max_examples=12, derandomize=True)
@given(period=st.floats(5, 40), degrees=st.floats(0, 179), seed=st.integers(0, 99))
def test_a_grating_is_found_with_its_period_and_direction(period, degrees, seed):
    rng = np.random.default_rng(seed)
    found = pattern_in([noisy(grating(period, degrees, rng), rng) for _ in range(6)])
    assert found is not None and found.periodic
    assert found.period_px == pytest.approx(period, rel=0.03)
    apart = abs(found.direction - degrees)
    assert min(apart, 180 - apart) <= 4


def test_a_grating_of_period_16_has_period_16_in_both_views():
    rng = np.random.default_rng(0)
    sums = sums_of([noisy(grating(16, 0, rng, 256), rng) for _ in range(20)])
    found = find_pattern(to_rays(sums.correlation()))
    assert found is not None and found.periodic
    assert found.period_px == pytest.approx(16, abs=0.05) and found.direction == pytest.approx(0, abs=1)
    peak = find_radial_peak(sums.spectrum())
    assert (peak.cycles, peak.period_px, peak.stands_out) == (16, 16.0, True)


def test_a_lattice_of_dots_repeats_at_its_shorter_side():
    rng = np.random.default_rng(1)
    images = []
    for _ in range(6):
        dots = np.zeros((SIZE, SIZE))
        dots[rng.integers(0, 24) :: 24, rng.integers(0, 15) :: 15] = 1
        images.append(noisy(gaussian_filter(dots, 2), rng, 0.005))
    found = pattern_in(images)
    assert found is not None and found.periodic
    assert found.period_px == pytest.approx(15, abs=0.3) and found.direction == pytest.approx(0, abs=2)


def test_lines_of_two_kinds_in_turn_repeat_at_every_second_line():
    rng = np.random.default_rng(2)
    images = []
    for _ in range(6):
        lines = np.zeros((SIZE, SIZE))
        lines[(start := int(rng.integers(0, 20))) :: 20] = 1
        lines[(start + 10) % 20 :: 20] = 0.4
        images.append(noisy(gaussian_filter(lines, 1), rng, 0.01))
    found = pattern_in(images)
    assert found is not None and found.periodic
    assert found.period_px == pytest.approx(20, abs=0.3) and found.direction == pytest.approx(90, abs=1)


@pytest.mark.parametrize("count", [1, 20])
def test_white_noise_has_no_period_no_grain_and_a_level_spectrum(count):
    rng = np.random.default_rng(3)
    sums = sums_of([rng.normal(0.5, 0.1, (SIZE, SIZE)) for _ in range(count)])
    rays = to_rays(sums.correlation())
    assert not is_periodic(find_pattern(rays))
    grain = find_grain(rays)
    assert grain.longest_px is not None and grain.longest_px < 1.5
    assert sums.spectrum().mean() == pytest.approx(1, rel=0.05)
    assert not find_radial_peak(sums.spectrum()).stands_out


@pytest.mark.parametrize("grain", [1.0, 3.0, 8.0])
def test_smooth_random_texture_has_no_period(grain):
    rng = np.random.default_rng(4)
    sums = sums_of([gaussian_filter(rng.normal(size=(SIZE, SIZE)), grain) for _ in range(20)])
    rays = to_rays(sums.correlation())
    assert not is_periodic(find_pattern(rays))
    # Noise smoothed by sigma has the correlation exp(-r^2 / 4 sigma^2).
    found = find_grain(rays)
    assert found.longest_px == pytest.approx(2 * grain, rel=0.25)


def test_a_spacing_that_all_directions_share_is_no_pattern():
    rng = np.random.default_rng(5)
    frequency = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None, :])
    ring = np.exp(-(((frequency - 1 / 12) * SIZE / 1.5) ** 2))
    images = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIZE, SIZE))) * ring).real for _ in range(20)]
    found = pattern_in(images)
    assert found is not None and found.rise > 0.15 and not found.periodic


def test_streaks_are_told_by_their_direction_and_are_no_pattern():
    rng = np.random.default_rng(6)
    images = [gaussian_filter(rng.normal(size=(SIZE, SIZE)), (12, 1)) for _ in range(20)]  # along rows' axis
    rays = to_rays(sums_of(images).correlation())
    grain = find_grain(rays)
    assert not is_periodic(find_pattern(rays))
    assert grain.longest_direction == pytest.approx(90, abs=3)
    assert grain.longest_px > 5 * grain.shortest_px


def test_slanting_light_is_no_texture():
    rng = np.random.default_rng(7)
    slope = np.mgrid[:SIZE, :SIZE][0] / SIZE
    images = [rng.normal(0.5, 0.1, (SIZE, SIZE)) + 3 * slope for _ in range(4)]
    grain = find_grain(to_rays(sums_of(images).correlation()))
    assert grain.longest_px < 1.5


def test_the_autocorrelation_is_that_of_all_pairs_of_pixels():
    rng = np.random.default_rng(8)
    images = [gaussian_filter(rng.normal(size=(20, 20)), 1.0) for _ in range(3)]
    sums = sums_of(images)
    found, reach = sums.correlation(), sums.reach
    flat = []
    for image in images:
        y, x = np.mgrid[:20, :20].reshape(2, -1)
        terms = np.c_[np.ones(400), y, x]
        rest = image.ravel() - terms @ np.linalg.lstsq(terms, image.ravel(), rcond=None)[0]
        flat.append((rest / rest.std()).reshape(20, 20))
    for down, right in [(0, 0), (3, 0), (0, 5), (4, 7), (16, 16)]:
        ahead = np.concatenate([one[: 20 - down, : 20 - right].ravel() for one in flat])
        behind = np.concatenate([one[down:, right:].ravel() for one in flat])
        expected = ahead @ behind / np.sqrt((ahead @ ahead) * (behind @ behind))
        assert found[reach + down, reach + right] == pytest.approx(expected, abs=1e-4)
        assert found[reach - down, reach - right] == pytest.approx(expected, abs=1e-4)
    assert np.abs(found).max() <= 1 + 1e-6


@pytest.mark.parametrize("size", [16, 33])
def test_the_spectrum_is_centred_and_symmetric(size):
    rng = np.random.default_rng(9)
    spectrum = sums_of([rng.normal(size=(size, size)) for _ in range(5)]).spectrum()
    middle = size // 2
    inner = spectrum[1 - size % 2 :, 1 - size % 2 :]
    assert spectrum.shape == (size, size)
    assert np.allclose(inner, inner[::-1, ::-1])
    assert spectrum[middle, middle] < 1e-3  # the mean is taken off
    assert len(radial_mean(spectrum)) == middle
    rays = to_rays(sums_of([rng.normal(size=(size, size)) for _ in range(20)]).correlation())
    assert not is_periodic(find_pattern(rays))


def test_images_without_contrast_are_passed_over():
    sums = sums_of([np.full((32, 32), 0.4)])
    assert sums.count == 0
    assert find_pattern(to_rays(sums.correlation())) is None
