"""The stage `data` over an archive: the same images, splits and labels as from files; restarts; damage."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.shards import Item, open_archive, part
from wafer_data.shards.pack import pack, pack_candidates
from wafer_data.shards.parquet import write_parquet
from wafer_data.sources import find_images
from wafer_data.store import ImageStore, prepare_data


@pytest.fixture
def packed(tmp_path, mvtec_root):
    out = tmp_path / "archive"
    pack_candidates(find_images(DataConfig(format="mvtec", root=str(mvtec_root))), out, shard_rows=25)
    return out


def _config(root, **more):
    return DataConfig(format="shards", root=str(root), labelled_defects_per_type=2, **more).at_size(32)


def test_an_archive_gives_the_same_data_as_the_files_it_was_packed_from(tmp_path, mvtec_root, packed):
    files = prepare_data(
        DataConfig(format="mvtec", root=str(mvtec_root), labelled_defects_per_type=2).at_size(32),
        tmp_path / "files",
    )
    shards = prepare_data(_config(packed), tmp_path / "shards")
    assert len(shards.records) == len(files.records) and shards.counts() == files.counts()
    assert list(shards.records) == [
        type(record)(**{**vars(record), "mask": record.mask and f"{record.path}#mask"})
        for record in files.records
    ]
    for index in range(len(files)):
        assert (shards.grey(index) == files.grey(index)).all()
        one, other = shards.mask(index), files.mask(index)
        assert (one is None) == (other is None) and (one is None or (one == other).all())
    for split in ("train", "calibration", "test"):
        for label in (None, 0, 1):
            assert (shards.indices(split, label) == files.indices(split, label)).all()
    assert (shards.batch([3, 70]) == files.batch([3, 70])).all()
    assert shards.dtype == files.dtype and shards.size == files.size and shards.levels == files.levels
    again = ImageStore.open(tmp_path / "shards")
    assert again.fingerprint == shards.fingerprint and again.records[5] == shards.records[5]


def test_an_archive_gets_the_checks_of_a_whole_set(tmp_path, mvtec_root, textured, save, caplog):
    """As a folder does: another size, depth and brightness in the test, masks that cover everything."""
    save(mvtec_root / "test/good/900.png", textured(900, 40, 24))
    save(mvtec_root / "test/good/901.png", textured(901).astype(np.uint16) * 16)
    mask = next((mvtec_root / "ground_truth").rglob("*.png"))
    save(mask, np.full((40, 48), 255, np.uint8))
    pack_candidates(
        find_images(DataConfig(format="mvtec", root=str(mvtec_root))), tmp_path / "archive", shard_rows=25
    )
    prepare_data(DataConfig(format="mvtec", root=str(mvtec_root)).at_size(32), tmp_path / "files")
    prepare_data(DataConfig(format="shards", root=str(tmp_path / "archive")).at_size(32), tmp_path / "shards")

    def kinds(folder):
        return sorted(
            problem["problem"] for problem in json.loads((tmp_path / folder / "problems.json").read_text())
        )

    assert kinds("shards") == kinds("files")
    assert {"another size", "mixed bit depths", "brightness", "mask covers most"} <= set(kinds("shards"))
    sizes = [
        json.loads((tmp_path / name / "split.json").read_text())["source_size"]
        for name in ("files", "shards")
    ]
    assert sizes[0] == sizes[1]
    assert str(tmp_path / "shards" / "problems.json") in caplog.text or "differ in size" in caplog.text


def test_one_changed_pixel_changes_the_fingerprint(tmp_path, packed):
    before = prepare_data(_config(packed), tmp_path / "a").fingerprint
    items = list(open_archive(packed)[0].items())
    items[0] = Item(items[0].source, items[1].data[:-20] + items[1].data[-20:], items[0].mask, items[0].about)
    write_parquet(packed / "shard-000000.parquet", items)
    assert prepare_data(_config(packed), tmp_path / "a").fingerprint != before


def test_a_killed_run_does_one_shard_again_at_most(tmp_path, textured):
    archive, out = tmp_path / "archive", tmp_path / "data"
    pack(240, lambda i: Item(f"{i:04}", _png(textured(i, 200, 200))), archive, "normals", shard_rows=20)
    code = (
        "import sys; from pathlib import Path; from wafer_data.config import DataConfig;"
        "from wafer_data.store import prepare_data;"
        "prepare_data(DataConfig(format='shards', root=sys.argv[1]), Path(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(archive), str(out)], stderr=subprocess.DEVNULL
    )
    while len(list(out.glob("parts/*/part.json"))) < 3:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    finished = {path.parent: path.stat().st_mtime_ns for path in out.glob("parts/*/part.json")}
    assert 3 <= len(finished) < 12 and not (out / "split.json").exists()
    store = prepare_data(DataConfig(format="shards", root=str(archive)), out)
    assert len(store) == 240
    assert all((folder / "part.json").stat().st_mtime_ns == when for folder, when in finished.items())


def test_parts_of_other_settings_or_of_a_shard_that_changed_are_done_again(tmp_path, packed, monkeypatch):
    prepare_data(_config(packed), tmp_path / "data")
    done = []
    monkeypatch.setattr(part, "write_part", lambda *args: done.append(args))
    from wafer_data.shards import prepare

    write = prepare.write_part
    monkeypatch.setattr(prepare, "write_part", lambda *args: (done.append(args[0].name), write(*args)))
    prepare_data(_config(packed), tmp_path / "data")
    assert done == []
    items = list(open_archive(packed)[1].items())
    write_parquet(packed / "shard-000001.parquet", items[:-1])
    prepare_data(_config(packed), tmp_path / "data")
    assert done == ["shard-000001"]
    prepare_data(_config(packed, min_side=20), tmp_path / "data")
    assert len(done) == 1 + 4


def test_shards_whose_paths_look_alike_keep_their_images(tmp_path, textured):
    for number, path in enumerate(("x/a", "x-a")):
        seeds = range(30 * number, 30 * number + 30)
        write_parquet(
            tmp_path / f"archive/{path}.parquet",
            [Item("", _png(textured(seed))) for seed in seeds],  # called after their shard
        )
    store = prepare_data(_config(tmp_path / "archive"), tmp_path / "data")
    assert len(store) == len({record.path for record in store.records}) == 60


def test_shards_that_are_gone_leave_nothing_behind(tmp_path, packed):
    prepare_data(_config(packed), tmp_path / "data")
    (packed / "shard-000002.parquet").unlink()
    store = prepare_data(_config(packed), tmp_path / "data")
    assert not (tmp_path / "data/parts/shard-000002").exists()
    assert {Path(record.path).name for record in store.records} <= {f"{i:03}.png" for i in range(60)}


def test_what_cannot_be_used_is_named_or_left_out(tmp_path, textured):
    items = [Item(f"n{i:03}", _png(textured(i))) for i in range(60)]
    items[7] = Item("n007", b"no image")
    items[8] = Item("n008", _png(np.full((40, 40), 9, np.uint8)))
    items.append(Item("copy of n001", items[1].data))
    items.append(
        Item("bad mask", _png(textured(99)), _png(np.zeros((9, 9), np.uint8)), {"label": 1, "type": "x"})
    )
    write_parquet(tmp_path / "archive/one.parquet", items)
    config = DataConfig(format="shards", root=str(tmp_path / "archive")).at_size(32)
    with pytest.raises(InputError, match=r"3 of 62 images cannot be used(.|\n)*n007: unreadable"):
        prepare_data(config, tmp_path / "data")
    store = prepare_data(config.model_copy(update={"skip_bad_images": True}), tmp_path / "data")
    assert len(store) == 58
    problems = json.loads((tmp_path / "data/problems.json").read_text())
    assert {p["path"]: p["problem"] for p in problems} == {
        "n007": "unreadable", "n008": "constant", "bad mask": "bad mask", "copy of n001": "duplicate",
    }  # fmt: skip


def test_sixteen_bit_images_among_others_keep_their_bits(tmp_path, textured):
    deep = textured(0).astype(np.uint16) * 257 + 3
    items = [Item(f"n{i:03}", _png(textured(i))) for i in range(1, 60)] + [Item("deep", _png(deep))]
    write_parquet(tmp_path / "a/1.parquet", items[:30])
    write_parquet(tmp_path / "a/2.parquet", items[30:])
    store = prepare_data(DataConfig(format="shards", root=str(tmp_path / "a")).at_size(40), tmp_path / "data")
    index = next(i for i, record in enumerate(store.records) if record.path == "deep")
    assert store.dtype == np.uint16
    assert abs(store.grey(index).mean() - deep.mean() / 65535) < 1e-3


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"label": 1, "side": "train"}, "of side test"),
        ({"side": "left"}, "one of train, test, any"),
        ({"label": 7}, "0"),
    ],
)
def test_contradictory_descriptions_are_refused(tmp_path, textured, about, said):
    items = [Item(f"n{i:03}", _png(textured(i)), None, about) for i in range(3)]
    write_parquet(tmp_path / "a/1.parquet", items)
    with pytest.raises(InputError, match=said):
        prepare_data(DataConfig(format="shards", root=str(tmp_path / "a")), tmp_path / "data")


def test_a_damaged_index_or_array_says_to_prepare_again(tmp_path, packed):
    prepare_data(_config(packed), tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    (tmp_path / "data/index.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="prepare the data again"):
        ImageStore.open(tmp_path / "data")
    array = tmp_path / "other/parts/shard-000000/images.npy"
    array.write_bytes(array.read_bytes()[:2000])
    with pytest.raises(InputError, match="too short: prepare the data again"):
        ImageStore.open(tmp_path / "other").grey(20)


def test_packing_goes_on_where_it_stopped_and_refuses_other_shards(tmp_path):
    made = []

    def make(i):
        made.append(i)
        return Item(str(i), b"x")

    paths = pack(25, make, tmp_path / "a", "first", shard_rows=10)
    assert [pq.read_metadata(path).num_rows for path in paths] == [10, 10, 5]
    paths[1].unlink()
    made.clear()
    pack(25, make, tmp_path / "a", "first", shard_rows=10)
    assert made == list(range(10, 20))
    with pytest.raises(InputError, match="shard of other images"):
        pack(25, make, tmp_path / "a", "second", shard_rows=10)


def _png(array):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()
