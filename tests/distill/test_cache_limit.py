"""Features of the teaching model: cached up to a limit, computed in every step beyond it, the same either way."""

import os
import shutil

import numpy as np
import pytest
import torch

from distill import targets
from distill.config import PoolConfig
from distill.pool import open_pool
from distill.stages import run_stage
from distill.targets import CachedTargets, LiveTargets, open_targets
from student_vae import load_student
from tests.conftest import tiny_distill_config
from wafer_data.errors import InputError
from wafer_data.store import ImageStore

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def pool(cache, tiny_store):
    return open_pool(cache, tiny_store, PoolConfig(generated=10), seed=0)


@pytest.fixture
def gigabytes(pool):
    """What the teacher's features of the pool take: 8 directions on a 16 x 16 map."""
    return len(pool) * 8 * 16 * 16 * 2 / 1e9


def folders(cache):
    return {path.name for path in cache.iterdir()} - {"pool"}


def test_features_within_the_limit_are_cached_and_found_again(cache, tiny_run, pool, gigabytes, monkeypatch):
    first = open_targets(cache, tiny_run, "teacher", pool, gigabytes, CPU)
    assert isinstance(first, CachedTargets) and folders(cache) == {"features-teacher"}
    monkeypatch.setattr(targets, "load_model", lambda *_: pytest.fail("computed again"))
    again = open_targets(cache, tiny_run, "teacher", pool, gigabytes, CPU)
    rows = np.array([3, 0, 11])
    assert torch.equal(first.rows(rows), again.rows(rows))


def test_features_beyond_the_limit_are_computed_and_nothing_is_written(cache, tiny_run, pool, gigabytes):
    live = open_targets(cache, tiny_run, "teacher", pool, 0.99 * gigabytes, CPU)
    assert isinstance(live, LiveTargets) and folders(cache) == set()
    assert live.shape == (len(pool), 8, 16, 16)


def test_both_give_the_same_numbers(cache, tiny_run, pool):
    """To the bit in the chunks that the cache was computed in; else to a step of float16, since a kernel may sum
    in another order for another batch."""
    cached, live = (open_targets(cache, tiny_run, "teacher", pool, gb, CPU) for gb in (1.0, 0.0))
    cached = open_targets(cache, tiny_run, "teacher", pool, 1.0, CPU)
    assert cached.shape == live.shape
    everything = np.arange(len(pool))
    assert torch.equal(cached.rows(everything), live.rows(everything))
    some = np.random.default_rng(0).choice(len(pool), 7, replace=False)
    torch.testing.assert_close(cached.rows(some), live.rows(some), rtol=2**-10, atol=1e-4)
    assert live.rows(some).dtype == torch.float32
    assert torch.equal(live.rows(some).half().float(), live.rows(some))
    for one in (cached, live):
        assert torch.equal(one.rows(some, 3), one.rows(some)[:, :3])


def test_a_lower_limit_than_before_frees_the_disk(cache, tiny_run, pool):
    open_targets(cache, tiny_run, "teacher", pool, 1.0, CPU)
    assert isinstance(open_targets(cache, tiny_run, "teacher", pool, 0.0, CPU), LiveTargets)
    assert folders(cache) == set()


def test_the_limit_holds_for_all_models_together(cache, tiny_run, pool, gigabytes):
    open_targets(cache, tiny_run, "teacher", pool, 2.01 * gigabytes, CPU)
    open_targets(cache, tiny_run, "target", pool, 2.01 * gigabytes, CPU)
    assert folders(cache) == {"features-teacher", "features-target"}
    shutil.rmtree(cache / "features-target")
    open_targets(cache, tiny_run, "target", pool, 1.5 * gigabytes, CPU)
    assert folders(cache) == {"features-target"}


def test_a_disk_without_room_is_refused_with_figures_and_a_way_out(cache, tiny_run, pool, monkeypatch):
    usage = shutil.disk_usage(cache)._replace(free=20_000)
    monkeypatch.setattr(targets.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"need 0\.00 GB in .* has 0\.00 GB free.*distill\.cache_gb=0"):
        open_targets(cache, tiny_run, "teacher", pool, 1.0, CPU)
    assert folders(cache) == set()


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no way to reserve disk blocks here")
def test_a_disk_that_fills_up_meanwhile_is_told_not_suffered(cache, tiny_run, pool, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(InputError, match="disk full"):
        open_targets(cache, tiny_run, "teacher", pool, 1.0, CPU)
    assert folders(cache) == set()


def test_a_stage_learns_the_same_without_the_cache(tiny_run, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(tiny_run, run_dir)
    for name in ("lowres", "cache"):
        shutil.rmtree(run_dir / name)
    config = tiny_distill_config().model_copy(update={"cache_gb": 0.0})
    run_stage("lowres", config, run_dir, ImageStore.open(run_dir / "data"))
    assert folders(run_dir / "cache") == set()
    ours, cached = (load_student(d / "lowres").trunk.state_dict() for d in (run_dir, tiny_run))
    for name, value in cached.items():
        torch.testing.assert_close(ours[name], value, rtol=0.05, atol=0.01)
