"""The training pool: originals first, anomalies in the stated share, the same to the bit when built again."""

import numpy as np
import pytest

from distill.config import PoolConfig
from distill.pool import open_pool
from wafer_data.augment import AugmentConfig

CONFIG = PoolConfig(generated=60, synthetic_share=0.5)


@pytest.fixture(scope="module")
def pool(tiny_store, tmp_path_factory):
    return open_pool(tmp_path_factory.mktemp("cache"), tiny_store, CONFIG, seed=3)


def test_originals_come_first_and_untouched(pool, tiny_store):
    normals = tiny_store.indices("train", label=0)
    assert pool.originals == len(normals)
    np.testing.assert_array_equal(pool.batch(np.arange(4)), tiny_store.batch(normals[:4]))
    assert pool.is_normal[: pool.originals].all()


def test_the_share_of_synthetic_anomalies_is_kept(pool):
    synthetic = (~pool.is_normal[pool.originals :]).mean()
    assert 0.3 < synthetic < 0.7


def test_a_pool_built_again_is_the_same(pool, tiny_store, tmp_path):
    again = open_pool(tmp_path, tiny_store, CONFIG, seed=3)
    np.testing.assert_array_equal(again.images, pool.images)
    np.testing.assert_array_equal(again.is_normal, pool.is_normal)


def test_another_seed_or_setting_rebuilds_it(tiny_store, tmp_path):
    first = np.array(open_pool(tmp_path, tiny_store, CONFIG, seed=1).images[-1])
    second = np.array(open_pool(tmp_path, tiny_store, CONFIG, seed=2).images[-1])
    assert (first != second).any()
    plain = CONFIG.model_copy(update={"augment": AugmentConfig(), "synthetic_share": 0.0})
    assert open_pool(tmp_path, tiny_store, plain, seed=2).is_normal.all()


def test_it_never_holds_calibration_or_test_images(pool, tiny_store):
    train = {tiny_store.grey(int(i)).tobytes() for i in tiny_store.indices("train")}
    other = {
        tiny_store.grey(int(i)).tobytes() for s in ("calibration", "test") for i in tiny_store.indices(s)
    }
    inside = {image.tobytes() for image in pool.batch(np.arange(len(pool)))[:, 0]}
    assert inside & train and not inside & other
