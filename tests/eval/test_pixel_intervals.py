"""Intervals of pixel metrics, against a slow bootstrap of whole maps, and the sketches behind them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.metrics import PixelHistograms, pixel_aupro, pixel_auroc
from eval.metrics.pixel_bootstrap import pixel_draws
from eval.metrics.resampling import resample_counts
from eval.metrics.sketch import BINS, DefectPixels, ImageSketch
from wafer_data.errors import InputError


def random_maps(
    seed: int, side: int = 11, images: int = 7, levels: int | None = 9
) -> tuple[np.ndarray, np.ndarray]:
    """Maps (N, side, side) higher on the masks, the first three without a defect; continuous if `levels` is None."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, side, side), dtype=bool)
    for mask in masks[3:]:
        top, left = rng.integers(0, side // 2, 2)
        mask[top : top + side // 3, left : left + side // 2] = True
        mask[-1, -1] = rng.random() < 0.5
    strangeness = rng.uniform(0.2, 2.0, images)[:, None, None]
    maps = rng.gamma(4.0, size=masks.shape) * rng.uniform(0.8, 1.2, (images, 1, 1)) + 2 * strangeness * masks
    return (maps if levels is None else np.floor(maps * levels / 15)).astype(np.float32), masks


def filled(maps: np.ndarray, masks: np.ndarray) -> PixelHistograms:
    histograms = PixelHistograms()
    histograms.update(maps, masks)
    return histograms


def slow_draws(maps: np.ndarray, masks: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Both metrics computed from all pixels of each resample, put together map by map."""
    clean, defective = np.flatnonzero(~masks.any(axis=(1, 2))), np.flatnonzero(masks.any(axis=(1, 2)))
    found = []
    for first, second in resample_counts(len(clean), len(defective), n, seed):
        for row in range(len(first)):
            picked = np.concatenate([np.repeat(clean, first[row]), np.repeat(defective, second[row])])
            found.append((pixel_auroc(maps[picked], masks[picked]), pixel_aupro(maps[picked], masks[picked])))
    auroc, aupro = np.array(found).T
    return auroc, aupro


def sketches(maps: np.ndarray, masks: np.ndarray) -> list[ImageSketch]:
    return [
        ImageSketch.of(one_map[~mask], DefectPixels.of(one_map, mask))
        for one_map, mask in zip(maps, masks, strict=True)
    ]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_small_maps_are_resampled_exactly(seed):
    maps, masks = random_maps(seed)
    auroc, aupro = pixel_draws(sketches(maps, masks), n=6, seed=seed).values()
    slow_auroc, slow_aupro = slow_draws(maps, masks, 6, seed)
    np.testing.assert_allclose(auroc.values, slow_auroc, atol=1e-6)
    np.testing.assert_allclose(aupro.values, slow_aupro, atol=1e-6)
    assert auroc.whole == pytest.approx(pixel_auroc(maps, masks), abs=1e-6)
    assert aupro.whole == pytest.approx(pixel_aupro(maps, masks), abs=1e-6)


def test_large_continuous_maps_lose_next_to_nothing_to_their_sketches():
    maps, masks = random_maps(4, side=128, images=12, levels=None)
    auroc, aupro = pixel_draws(sketches(maps, masks), n=15, seed=1).values()
    slow_auroc, slow_aupro = slow_draws(maps, masks, 15, 1)
    # The sketches' own offset, a few 1e-4, is the same in all resamples, and the intervals take it out.
    assert auroc.whole == pytest.approx(pixel_auroc(maps, masks), abs=5e-4)
    np.testing.assert_allclose(auroc.values - auroc.whole, slow_auroc - pixel_auroc(maps, masks), atol=1e-4)
    np.testing.assert_allclose(aupro.values - aupro.whole, slow_aupro - pixel_aupro(maps, masks), atol=1e-3)
    # What is measured is far larger than what is lost.
    assert np.std(slow_auroc) > 100e-4 and np.std(slow_aupro) > 20e-3


def test_the_interval_holds_the_metric_and_is_fixed_by_its_seed():
    maps, masks = random_maps(2, side=64, images=20, levels=None)
    histograms = filled(maps, masks)
    found = histograms.intervals(n=200, seed=4)
    assert found == histograms.intervals(n=200, seed=4) != histograms.intervals(n=200, seed=5)
    assert found["pixel_auroc"][0] < histograms.auroc() < found["pixel_auroc"][1]
    assert found["pixel_aupro"][0] < histograms.aupro() < found["pixel_aupro"][1]


def test_many_pixels_of_few_images_do_not_overstate_certainty():
    # The same four images at twice the side: four times the pixels, but no more images.
    maps, masks = random_maps(6, side=32, images=6, levels=None)
    large = filled(maps.repeat(2, axis=1).repeat(2, axis=2), masks.repeat(2, axis=1).repeat(2, axis=2))
    for (low, high), (large_low, large_high) in zip(
        filled(maps, masks).intervals(n=200).values(), large.intervals(n=200).values(), strict=True
    ):
        assert large_high - large_low == pytest.approx(high - low, rel=0.15)


def test_images_that_are_all_alike_leave_nothing_open():
    maps, masks = random_maps(3)
    one = np.repeat(maps[4:5], 8, axis=0), np.repeat(masks[4:5], 8, axis=0)
    for name, (low, high) in filled(*one).intervals(n=100).items():
        assert low == pytest.approx(high, abs=1e-6), name


def test_without_a_clean_image_the_defective_ones_carry_it():
    maps, masks = random_maps(5)
    low, high = filled(maps[3:], masks[3:]).intervals(n=100)["pixel_auroc"]
    assert 0 < low < high <= 1


def test_a_resample_of_defective_pixels_alone_is_left_out():
    # Two images; one is defective all over, so a resample of that one alone has no normal pixel.
    masks = np.zeros((2, 6, 6), dtype=bool)
    masks[0], masks[1, 0] = True, True
    low, high = filled(np.where(masks, 2.0, 1.0), masks).intervals(n=100)["pixel_auroc"]
    assert (low, high) == (1.0, 1.0)


def test_one_kind_of_pixel_alone_is_an_error():
    with pytest.raises(InputError, match="both normal and defective pixels"):
        filled(np.ones((2, 4, 4)), np.zeros((2, 4, 4), bool)).intervals(n=100)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 400), st.integers(0, 99))
def test_a_sketch_loses_no_pixel_and_keeps_the_order(normals, defects, seed):
    rng = np.random.default_rng(seed)
    defect = DefectPixels(rng.normal(size=defects), np.full(defects, 0.25), regions=defects // 4)
    sketch = ImageSketch.of(rng.normal(size=normals), defect)
    assert sketch.weights.sum(axis=1) == pytest.approx([normals, defects, defects / 4])
    of_normal = sketch.weights[0] > 0
    for kept, pixels in ((of_normal.sum(), normals), ((~of_normal).sum(), defects)):
        assert kept == pixels if pixels <= BINS else 0.9 * BINS <= kept <= 1.1 * BINS
    assert (np.diff(sketch.scores[of_normal]) >= 0).all()
