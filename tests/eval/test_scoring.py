"""The pass over the test images, on arrays in memory and a scorer whose output is known."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from eval.metrics import pixel_auroc
from eval.scorers import Scorer, Seen
from eval.scoring import score_test_images, upsample


@dataclass
class MemoryStore:
    """What the pass uses of `ImageStore`: 12 test images, the last 6 defective, one without a mask."""

    size: int = 32
    reduced: None = None

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        self.images = rng.uniform(0.3, 0.7, (12, 1, self.size, self.size)).astype(np.float32)
        self.masks: list[np.ndarray | None] = [None] * 12
        for row in range(6, 11):
            mask = np.zeros((self.size, self.size), dtype=bool)
            mask[row : row + 9, 3:20] = True
            self.images[row, 0][mask] += 0.2
            self.masks[row] = mask
        self.records = [
            SimpleNamespace(label=int(i >= 6), type="good" if i < 6 else "spot") for i in range(12)
        ]

    def indices(self, split: str) -> np.ndarray:
        assert split == "test"
        return np.arange(12)

    def batch(self, indices: np.ndarray) -> np.ndarray:
        return self.images[indices]

    def mask(self, index: int) -> np.ndarray | None:
        return self.masks[index]


def brightness(images: np.ndarray) -> Seen:
    """Score: mean brightness; map: brightness at half resolution."""
    halves = images[:, 0].reshape(len(images), 16, 2, 16, 2).mean(axis=(2, 4))
    return Seen(halves.mean(axis=(1, 2)), halves)


def scorer(name: str, call=brightness) -> Scorer:
    return Scorer(name, parameters=1, input_size=32, score=call, engine="numpy")


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_batch_size_changes_nothing(batch_size):
    store = MemoryStore()
    found = score_test_images(store, {"pca": scorer("pca")}, None, None, batch_size=batch_size)
    np.testing.assert_allclose(found.scores["pca"], store.images.mean(axis=(1, 2, 3)), rtol=1e-6)
    assert found.labels.tolist() == [0] * 6 + [1] * 6
    assert found.types == ["good"] * 6 + ["spot"] * 6
    known = [*range(11)]
    masks = [np.zeros((32, 32), bool) if m is None else m for m in store.masks]
    maps = upsample(brightness(store.images)[1], 32)
    expected = pixel_auroc([maps[i] for i in known], [masks[i] for i in known])
    assert found.pixels["pca"].auroc() == pytest.approx(expected)


def test_a_defect_without_a_mask_is_left_out_of_the_pixels():
    store = MemoryStore()
    before = score_test_images(store, {"pca": scorer("pca")}, None, None, batch_size=4).pixels["pca"].auroc()
    store.images[11] = 1.0
    after = score_test_images(store, {"pca": scorer("pca")}, None, None, batch_size=4).pixels["pca"].auroc()
    assert after == before


def test_without_any_mask_there_are_no_pixel_counts():
    store = MemoryStore()
    store.masks = [None] * 12
    assert score_test_images(store, {"pca": scorer("pca")}, None, None, batch_size=4).pixels == {}


def test_a_model_without_maps_has_no_pixel_counts():
    call = lambda images: Seen(brightness(images)[0], None)  # noqa: E731
    found = score_test_images(
        MemoryStore(), {"gabor_lbp_ocsvm": scorer("gabor_lbp_ocsvm", call)}, None, None, batch_size=4
    )
    assert found.pixels == {}


def test_routed_pixels_come_from_the_deepest_model_on_one_scale(policy):
    store = MemoryStore()
    # Escalated when brighter than the median image; the full model's map is larger by a factor that its
    # reference takes out again, so the routed pixels rank as those of either model alone.
    scores = brightness(store.images)[0]
    escalating = replace(
        policy, lowres_location=0.0, lowres_scale=1.0, escalate_above=float(np.log(np.median(scores)))
    )
    scorers = {
        "lowres": scorer("lowres"),
        "full": scorer("full", lambda images: Seen(brightness(images)[0], 40 * brightness(images)[1])),
    }
    found = score_test_images(store, scorers, escalating, {"lowres": 1.0, "full": 40.0}, batch_size=5)
    assert 0 < escalating.escalate(scores).sum() < 12
    assert found.pixels["routed"].auroc() == pytest.approx(found.pixels["lowres"].auroc(), abs=1e-4)
    skewed = score_test_images(store, scorers, escalating, {"lowres": 1.0, "full": 4000.0}, batch_size=5)
    assert skewed.pixels["routed"].auroc() < found.pixels["routed"].auroc() - 0.05


def test_images_the_gate_refuses_are_marked(policy):
    store = MemoryStore()
    store.images[3] = 0.5
    found = score_test_images(
        store, {"lowres": scorer("lowres"), "full": scorer("full")}, policy, None, batch_size=4
    )
    assert np.flatnonzero(found.refused).tolist() == [3]


def test_upsampling_keeps_constants_and_stays_within_the_range():
    maps = np.random.default_rng(0).random((2, 8, 8))
    large = upsample(maps, 32)
    assert large.shape == (2, 32, 32)
    assert maps.min() - 1e-6 <= large.min() and large.max() <= maps.max() + 1e-6
    np.testing.assert_allclose(upsample(np.full((1, 8, 8), 0.3), 32), 0.3, rtol=1e-6)
    # Half-pixel centres: enlarging commutes with mirroring.
    np.testing.assert_allclose(upsample(maps[:, :, ::-1], 32), large[:, :, ::-1], rtol=1e-5)
