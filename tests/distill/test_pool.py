"""The training pool: originals first, defects in the stated shares, the same to the bit when built again."""

import shutil

import numpy as np
import pytest

from distill import pool as pool_module
from distill.config import PoolConfig
from distill.pool import open_pool
from wafer_data.augment import AugmentConfig
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.store import prepare_data

CONFIG = PoolConfig(generated=60, synthetic_share=0.5)
MIRROR = AugmentConfig(horizontal_flip=True)


@pytest.fixture(scope="module")
def pool(tiny_store, tmp_path_factory):
    return open_pool(tmp_path_factory.mktemp("cache"), tiny_store, CONFIG, seed=3)


@pytest.fixture(scope="module")
def labelled_store(mvtec_folder, tmp_path_factory):
    """The tiny data set with two labelled defects of each of its two types; all have masks."""
    config = DataConfig(
        format="mvtec", root=str(mvtec_folder), calibration_fraction=0.4, labelled_defects_per_type=2
    )
    return prepare_data(config, tmp_path_factory.mktemp("labelled") / "data")


def test_copies_mirrored_as_the_surface_never_is_are_anomalies(tiny_store, tmp_path):
    plain = CONFIG.model_copy(update={"synthetic_share": 0.0})
    foreign = AugmentConfig(horizontal_flip=True)
    pool = open_pool(tmp_path, tiny_store, plain, 0, AugmentConfig(), foreign)
    generated = range(pool.originals, len(pool))
    originals = {image.tobytes() for image in pool.images[: pool.originals]}
    for i in generated:
        assert (pool.images[i].tobytes() in originals) == pool.is_normal[i]
        assert pool.is_normal[i] or pool.images[i][:, ::-1].tobytes() in originals
    assert 0 < pool.is_normal[pool.originals :].sum() < len(generated)


class WithoutMasks:
    """A store whose defects are labelled as images only."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def mask(self, index):
        return None


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


def test_a_longer_pool_begins_with_the_shorter_one(pool, tiny_store, tmp_path):
    longer = open_pool(tmp_path, tiny_store, CONFIG.model_copy(update={"generated": 70}), seed=3)
    np.testing.assert_array_equal(longer.images[: len(pool)], pool.images)


def test_another_seed_or_setting_rebuilds_it(tiny_store, tmp_path):
    first = np.array(open_pool(tmp_path, tiny_store, CONFIG, seed=1).images[-1])
    second = np.array(open_pool(tmp_path, tiny_store, CONFIG, seed=2).images[-1])
    assert (first != second).any()
    plain = CONFIG.model_copy(update={"augment": AugmentConfig(), "synthetic_share": 0.0})
    assert open_pool(tmp_path, tiny_store, plain, seed=2).is_normal.all()


def test_other_flips_make_another_pool_and_only_they_matter(tiny_store, tmp_path):
    plain, mirrored = (
        open_pool(tmp_path / str(i), tiny_store, CONFIG, 0, changes)
        for i, changes in enumerate((AugmentConfig(), MIRROR))
    )
    assert plain.key != mirrored.key
    assert (plain.images[-8:] != mirrored.images[-8:]).any()
    same = CONFIG.model_copy(update={"flips": "all", "symmetry_limit": 0.9})
    assert open_pool(tmp_path / "0", tiny_store, same, 0, AugmentConfig()).key == plain.key


def test_it_never_holds_calibration_or_test_images(pool, tiny_store):
    train = {tiny_store.grey(int(i)).tobytes() for i in tiny_store.indices("train")}
    other = {
        tiny_store.grey(int(i)).tobytes() for s in ("calibration", "test") for i in tiny_store.indices(s)
    }
    inside = {image.tobytes() for image in pool.batch(np.arange(len(pool)))[:, 0]}
    assert inside & train and not inside & other


def test_a_full_disk_is_told_before_anything_is_made(tiny_store, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(pool_module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"needs 0\.01 GB in .* 0\.00 GB free.*distill\.pool\.generated"):
        open_pool(tmp_path / "cache", tiny_store, CONFIG, seed=0)
    assert not (tmp_path / "cache" / "pool").exists()


class TestLabelledDefects:
    def test_each_is_there_once_as_it_is_after_the_normals(self, labelled_store, tmp_path):
        pool = open_pool(tmp_path, labelled_store, PoolConfig(generated=0), seed=0)
        normals, defects = (labelled_store.indices("train", label=label) for label in (0, 1))
        assert pool.originals == len(normals) and len(defects) == 4
        np.testing.assert_array_equal(
            pool.batch(np.arange(len(pool))), labelled_store.batch(np.concatenate([normals, defects]))
        )
        assert pool.is_normal.tolist() == [True] * len(normals) + [False] * 4

    def test_a_share_of_the_copies_shows_one_and_none_counts_as_normal(self, labelled_store, tmp_path):
        config = PoolConfig(generated=200, synthetic_share=0.0, labelled_share=0.3)
        pool = open_pool(tmp_path, labelled_store, config, seed=0)
        made = pool.is_normal[pool.originals + 4 :]
        assert len(made) == 200 and 0.2 < (~made).mean() < 0.4

    def test_without_masks_they_are_augmented_as_whole_images(self, labelled_store, tmp_path):
        config = PoolConfig(generated=30, labelled_share=1.0)
        pool = open_pool(tmp_path, WithoutMasks(labelled_store), config, 0, MIRROR)
        defects = labelled_store.batch(labelled_store.indices("train", label=1))[:, 0]
        known = {image.tobytes() for d in defects for image in (d, np.ascontiguousarray(d[:, ::-1]))}
        made = {image.tobytes() for image in pool.batch(np.arange(pool.originals + 4, len(pool)))[:, 0]}
        assert made <= known and len(made) == len(known)

    def test_with_masks_about_half_are_cut_out_and_put_into_a_normal(self, labelled_store, tmp_path):
        config = PoolConfig(generated=60, labelled_share=1.0)
        pool = open_pool(tmp_path, labelled_store, config, 0, AugmentConfig())
        made = pool.batch(np.arange(pool.originals + 4, len(pool)))[:, 0]
        assert not pool.is_normal[pool.originals :].any()
        whole, normals = (
            labelled_store.batch(labelled_store.indices("train", label=n))[:, 0] for n in (1, 0)
        )
        in_place = np.array([(image == whole).all((1, 2)).any() for image in made])
        assert 0.3 < in_place.mean() < 0.7
        for image in made[~in_place]:
            untouched = (np.abs(image - normals) < 1 / 255).mean((1, 2)).max()
            assert 0.5 < untouched < 1  # a training normal but for the defect

    def test_only_training_labels_are_used_and_the_same_pool_is_made_again(self, labelled_store, tmp_path):
        config = PoolConfig(generated=20, labelled_share=0.5)
        first, again = (open_pool(tmp_path / n, labelled_store, config, 5) for n in "ab")
        np.testing.assert_array_equal(first.images, again.images)
        tested = {labelled_store.grey(int(i)).tobytes() for i in labelled_store.indices("test", label=1)}
        assert not tested & {image.tobytes() for image in first.batch(np.arange(len(first)))[:, 0]}
        other = config.model_copy(update={"labelled_share": 0.4})
        assert open_pool(tmp_path / "b", labelled_store, other, 5).key != first.key


def test_what_is_painted_is_known_of_every_image_but_of_labelled_defects_without_a_mask(
    labelled_store, tmp_path
):
    config = CONFIG.model_copy(update={"labelled_share": 0.3})
    marked = open_pool(tmp_path / "marked", labelled_store, config, 0)
    unmarked = open_pool(tmp_path / "unmarked", WithoutMasks(labelled_store), config, 0)
    labelled = slice(unmarked.originals, unmarked.originals + 4)
    assert marked.known[labelled].all() and not unmarked.known[labelled].any()
    assert unmarked.known[unmarked.is_normal].all()
    assert not unmarked.known.all() and (unmarked.cover[~unmarked.known] == 0).all()


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 0.99, 1.0), (0.3, 0.1, 0.5)])
def test_copies_turned_by_any_angle_are_no_normals_and_nothing_is_painted_on_them(
    tiny_store, tmp_path, share, least, most
):
    plain = CONFIG.model_copy(update={"synthetic_share": 0.0})
    pool = open_pool(tmp_path, tiny_store, plain, 0, AugmentConfig(), warped=share)
    warped = ~pool.is_normal
    assert not warped[: pool.originals].any()
    assert least <= warped[pool.originals :].mean() <= most
    assert pool.known.all() and (pool.cover[:] == 0).all()
