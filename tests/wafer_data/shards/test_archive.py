"""Kinds of archive: Parquet, tar in WebDataset's layout, folders; on a disk and behind a file-system interface."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from wafer_data.errors import InputError
from wafer_data.shards import Item, open_archive
from wafer_data.shards.parquet import READ_ROWS, write_parquet

ITEMS = [
    Item("line1/a.png", b"first", None, {"tool": "T1", "lot": "L7", "wafer": "3"}),
    Item("line1/b.png", b"second", b"mask", {"label": 1, "type": "scratch", "side": "test"}),
]


def test_parquet_keeps_bytes_and_what_is_known(tmp_path):
    write_parquet(tmp_path / "sub/x.parquet", ITEMS)
    (shard,) = open_archive(tmp_path)
    assert shard.name == "sub-x" and list(shard.items()) == ITEMS
    assert [item.side for item in ITEMS] == ["any", "test"] and ITEMS[1].type == "scratch"


def test_the_image_column_of_hugging_face_is_read(tmp_path):
    rows = [
        {"image": {"bytes": b"one", "path": "p/1.png"}, "label": 0},
        {"image": {"bytes": b"two", "path": None}},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "hf.parquet")
    items = [item for shard in open_archive(tmp_path / "hf.parquet") for item in shard.items()]
    assert [(item.source, item.data) for item in items] == [("p/1.png", b"one"), ("hf/000001", b"two")]


def test_an_object_store_is_read_through_its_file_system(tmp_path):
    write_parquet(tmp_path / "bucket/a/1.parquet", ITEMS)
    write_parquet(tmp_path / "bucket/a/0.parquet", ITEMS[:1])
    store = fs.SubTreeFileSystem(str(tmp_path / "bucket"), fs.LocalFileSystem())
    shards = open_archive("a", store)
    assert [shard.name for shard in shards] == ["0", "1"] and list(shards[1].items()) == ITEMS
    assert [s.name for s in open_archive(f"file://{tmp_path}/bucket/a")] == ["0", "1"]


def test_a_folder_of_files_is_cut_into_shards(tmp_path, save, monkeypatch):
    monkeypatch.setattr("wafer_data.shards.archive.FOLDER_SHARD", 4)
    for i in range(10):
        save(tmp_path / f"d{i % 2}" / f"{i}.png", i)
    (tmp_path / ".hidden.png").write_bytes(b"")
    shards = open_archive(tmp_path)
    assert [len(list(shard.items())) for shard in shards] == [4, 4, 2]
    before = [shard.identity for shard in shards]
    save(tmp_path / "d1" / "9.png", 77)
    assert [shard.identity for shard in open_archive(tmp_path)][:2] == before[:2]
    assert open_archive(tmp_path)[2].identity != before[2]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.mkdir(), "holds no Parquet file"),
        (
            lambda root: (root.mkdir(), (root / "a.tar").touch(), (root / "b.parquet").touch()),
            "Parquet and tar files",
        ),
    ],
)
def test_what_is_no_archive_is_refused(tmp_path, make, said):
    make(tmp_path / "a")
    with pytest.raises(InputError, match=said):
        open_archive(tmp_path / "a")


@pytest.mark.parametrize("name", ["a.parquet", "a.tar"])
def test_a_damaged_shard_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"damaged" * 200)
    with pytest.raises(InputError, match=r"a\.(parquet|tar) is damaged after 0"):
        list(open_archive(tmp_path)[0].items())


def test_a_table_without_images_is_named(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column image"):
        list(open_archive(tmp_path)[0].items())


def test_reading_holds_some_rows_only(tmp_path):
    write_parquet(tmp_path / "a.parquet", (Item(str(i), b"x" * 20_000) for i in range(2000)))
    before = pa.total_allocated_bytes()
    most = 0
    for number, _ in enumerate(open_archive(tmp_path)[0].items()):
        if number % READ_ROWS == 0:
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 20_000_000, "the shard holds 40 MB"
