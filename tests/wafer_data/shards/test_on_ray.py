"""The same passes on a local Ray cluster of two workers: equal results, and a killed worker costs its shards only.

Ray starts in some ten seconds and weighs a quarter of a gigabyte, so it is not among what `make test` installs: without
it these tests are skipped.
"""

import io
import os
import signal

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("ray", reason="Ray is not installed (pip install 'waferroute[ray]')")
pytest.importorskip("pandas", reason="pandas, which Ray Data needs, is not installed")

from wafer_data.config import DataConfig
from wafer_data.errors import DataError, InputError
from wafer_data.shards import Item
from wafer_data.shards import on_ray as module
from wafer_data.shards.on_ray import on_cluster, on_ray
from wafer_data.shards.parquet import write_parquet
from wafer_data.store import prepare_data

pytestmark = pytest.mark.usefixtures("ray_cluster")


def _archive(folder, count=60, rows=15):
    items = []
    for seed in range(count):
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)).save(file, "png")
        items.append(Item(f"{seed:03}", file.getvalue()))
    for start in range(0, count, rows):
        write_parquet(folder / f"{start:03}.parquet", items[start : start + rows])


def test_data_on_two_workers_is_the_same(tmp_path):
    _archive(tmp_path / "archive")
    config = DataConfig(format="shards", root=str(tmp_path / "archive"))
    here = prepare_data(config, tmp_path / "here")
    with on_cluster("local"):
        there = prepare_data(config, tmp_path / "there")
    assert there.fingerprint == here.fingerprint and list(there.records) == list(here.records)
    assert all((here.grey(i) == there.grey(i)).all() for i in range(len(here)))


def test_a_worker_keeps_freed_memory_as_a_stage_of_its_own_does(monkeypatch):
    done = []
    monkeypatch.setattr(module, "keep_freed_memory", lambda: done.append("kept"))
    module._Worker(lambda: done.append("made"), [])
    assert done == ["kept", "made"]


@pytest.mark.parametrize(("address", "arenas"), [("local", "1"), ("ray://head:10001", None)])
def test_a_cluster_that_is_started_here_gives_its_workers_one_arena(monkeypatch, address, arenas):
    import ray

    def init(**_):
        raise RuntimeError(f"arenas: {os.environ.get('MALLOC_ARENA_MAX')}")

    monkeypatch.setenv("MALLOC_ARENA_MAX", "")  # put back afterwards
    monkeypatch.delenv("MALLOC_ARENA_MAX")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(InputError, match=f"arenas: {arenas}"):
        list(on_ray(address, _make_nothing, [0]))


def _make_nothing():
    return dict


def _make_killed_once(folder):
    def work(task):
        with (folder / "calls").open("a") as calls:
            calls.write(f"{task}\n")
        if task == 3 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return {"square": task * task}

    return work


def test_a_killed_worker_costs_its_tasks_and_no_more(tmp_path):
    from functools import partial

    found = dict(on_ray("local", partial(_make_killed_once, tmp_path), list(range(8)), 2))
    assert {number: row["square"] for number, row in found.items()} == {i: i * i for i in range(8)}
    calls = (tmp_path / "calls").read_text().split()
    assert (tmp_path / "killed").exists() and set(calls) == {str(i) for i in range(8)}
    assert len(calls) <= 8 + 4, "the killed worker's tasks again, at most those that were handed to it"


def test_a_damaged_shard_is_named_as_without_ray(tmp_path):
    _archive(tmp_path / "archive")
    (tmp_path / "archive/015.parquet").write_bytes(b"damaged" * 99)
    config = DataConfig(format="shards", root=str(tmp_path / "archive"))
    with on_cluster("local"), pytest.raises((DataError, Exception), match=r"015\.parquet is damaged"):
        prepare_data(config, tmp_path / "out")
