"""Pixel metrics: worked examples, scikit-learn, a slow per-threshold AUPRO, and bounded memory."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from eval.metrics import PixelHistograms, pixel_aupro, pixel_auroc
from wafer_data.errors import InputError


def random_case(seed: int, levels: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Maps with a few levels (ties) that are higher on the masks, which hold several touching and apart
    regions.
    """
    rng = np.random.default_rng(seed)
    masks = rng.random((4, 14, 14)) < 0.12
    masks[0] = False  # a normal image
    maps = rng.integers(0, levels, masks.shape) + 4.0 * masks * rng.random(masks.shape).round()
    return maps.astype(np.float32), masks


def slow_aupro(maps: np.ndarray, masks: np.ndarray, limit: float) -> float:
    """Per-region overlap with one comparison a threshold and region, straight from the definition."""
    regions = []
    for index, mask in enumerate(masks):
        components, count = label(mask, structure=np.ones((3, 3)))
        regions += [(index, components == k) for k in range(1, count + 1)]
    fpr, pro = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        flagged = maps >= threshold
        fpr.append(flagged[~masks].mean())
        pro.append(np.mean([flagged[i][region].mean() for i, region in regions]))
    dense = np.linspace(0, limit, 200_001)
    return float(np.trapezoid(np.interp(dense, fpr, pro), dense) / limit)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_pixel_auroc_agrees_with_scikit_learn(seed):
    maps, masks = random_case(seed)
    assert pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))


def test_torchmetrics_agrees_on_the_pixel_auroc():
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("torchmetrics.functional.classification")
    maps, masks = random_case(11)
    found = reference.binary_auroc(torch.tensor(maps.ravel() / 20), torch.tensor(masks.ravel().astype(int)))
    assert pixel_auroc(maps, masks) == pytest.approx(float(found), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 1.0]))
def test_aupro_agrees_with_the_definition(seed, limit):
    maps, masks = random_case(seed)
    assert pixel_aupro(maps, masks, limit) == pytest.approx(slow_aupro(maps, masks, limit), abs=2e-4)


def test_aupro_by_hand_weighs_regions_alike():
    # A region of four pixels found before any normal pixel, a region of one pixel never found above them.
    mask = np.zeros((1, 4, 4), dtype=bool)
    mask[0, :2, :2] = mask[0, 3, 3] = True
    heat = np.where(mask, 9.0, 1.0)
    heat[0, 3, 3] = 0.0
    # Overlap is 1/2 until the normals (all tied at 1) are reached: the curve runs straight from (0, 1/2) to
    # (1, 1/2).
    assert pixel_aupro(heat, mask, 0.3) == pytest.approx(0.5)
    # By pixels, four of five are found.
    assert pixel_auroc(heat, mask) == pytest.approx(0.8)


def test_regions_that_touch_at_a_corner_are_one():
    touching = np.zeros((1, 5, 5), dtype=bool)
    touching[0, 1, 1] = touching[0, 2, 2] = True
    heat = np.ones((1, 5, 5))
    heat[0, 1, 1] = 5.0
    heat[0, 2, 2] = 0.0
    assert pixel_aupro(heat, touching, 0.3) == pytest.approx(0.5)


def test_perfect_maps_reach_one_and_constant_maps_chance():
    _, masks = random_case(3)
    assert pixel_auroc(masks * 2.0, masks) == pixel_aupro(masks * 2.0, masks) == 1.0
    assert pixel_auroc(np.full(masks.shape, 0.7), masks) == 0.5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-6, 1e6), st.floats(0.3, 3.0))
def test_rescaling_all_maps_changes_nothing(seed, factor, power):
    maps, masks = random_case(seed)
    transformed = factor * (1.0 + maps) ** power
    assert pixel_auroc(transformed, masks) == pytest.approx(pixel_auroc(maps, masks))
    assert pixel_aupro(transformed, masks) == pytest.approx(pixel_aupro(maps, masks))


def test_negative_values_are_ordered_below_positive_ones():
    maps, masks = random_case(5)
    assert pixel_auroc(maps - 6.0, masks) == pytest.approx(pixel_auroc(maps, masks))
    assert pixel_auroc(-maps, masks) == pytest.approx(1 - pixel_auroc(maps, masks))


def test_continuous_scores_lose_next_to_nothing_to_the_bins():
    rng = np.random.default_rng(0)
    masks = rng.random((5, 64, 64)) < 0.05
    maps = rng.gamma(2.0, size=masks.shape) + 0.5 * masks
    assert pixel_auroc(maps, masks) == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()), abs=1e-5)


def test_one_at_a_time_equals_all_at_once():
    maps, masks = random_case(8)
    whole = PixelHistograms()
    whole.update(maps, masks)
    assert whole.aupro() == pytest.approx(pixel_aupro(list(maps), list(masks)))
    assert whole.auroc() == pytest.approx(pixel_auroc(list(maps), list(masks)))


def test_ten_million_pixels_stay_under_200_megabytes():
    rng = np.random.default_rng(0)
    block = rng.random((8, 256, 256), dtype=np.float32)
    masks = np.zeros(block.shape, dtype=bool)
    masks[0, 40:60, 40:60] = True
    tracemalloc.start()
    try:
        histograms = PixelHistograms()
        for _ in range(20):
            histograms.update(block, masks)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 20 * block.size > 1e7
    assert peak < 200e6
    assert 0.0 <= histograms.aupro() <= 1.0


def test_ten_thousand_maps_take_no_more_than_a_few_kilobytes_each():
    rng = np.random.default_rng(1)
    maps = rng.gamma(2.0, size=(40, 256, 256)).astype(np.float32)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, 100:130, 60:90] = True
    histograms = PixelHistograms()
    histograms.update(maps[:1], masks[:1])
    tracemalloc.start()
    try:
        for one_map, one_mask in zip(maps, masks, strict=True):
            histograms.update(one_map, one_mask)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept / len(maps) < 6000  # 60 MB for 10 000, and every one of these has a defect


@pytest.mark.parametrize("mask", [np.zeros((1, 4, 4), bool), np.ones((1, 4, 4), bool)])
def test_one_kind_of_pixel_alone_is_an_error(mask):
    for metric in (pixel_auroc, pixel_aupro):
        with pytest.raises(InputError, match="both normal and defective pixels"):
            metric(np.ones((1, 4, 4)), mask)


def test_nan_maps_are_an_error_and_add_nothing():
    maps, masks = random_case(2)
    histograms = PixelHistograms()
    histograms.update(maps, masks)
    before = histograms.auroc()
    with pytest.raises(InputError, match="1 map values are NaN"):
        histograms.update(np.where(np.arange(196).reshape(1, 14, 14) == 7, np.nan, maps[:1]), masks[:1])
    assert histograms.auroc() == before


def test_masks_must_be_boolean_and_of_the_maps_shape():
    with pytest.raises(InputError, match="boolean"):
        PixelHistograms().update(np.ones((1, 4, 4)), np.ones((1, 4, 4), np.uint8))
    with pytest.raises(InputError, match="share a shape"):
        PixelHistograms().update(np.ones((1, 4, 4)), np.ones((1, 5, 5), bool))


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.5])
def test_the_limit_must_be_a_rate(limit):
    maps, masks = random_case(1)
    with pytest.raises(InputError, match=r"\(0, 1\]"):
        pixel_aupro(maps, masks, limit)
