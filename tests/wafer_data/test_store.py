"""From a folder of images to a prepared data set: complete, exact, repeatable, and whole or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wafer_data import arrays, checks, files, store
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.imaging.read import read_grey, to_square
from wafer_data.masks import mask_to_square
from wafer_data.store import ImageStore, prepare_data

SaveImage = Callable[..., Path]


def mvtec(root: Path, **values: Any) -> DataConfig:
    return DataConfig(format="mvtec", root=str(root), **values).at_size(32)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestPreparedData:
    def test_holds_every_image_exactly_as_the_tool_would_see_it(
        self, mvtec_root: Path, tmp_path: Path
    ) -> None:
        data = prepare_data(mvtec(mvtec_root), tmp_path / "data")
        assert len(data) == 78
        for index, record in enumerate(data.records):
            np.testing.assert_array_equal(data.grey(index), to_square(read_grey(record.path), 32))
            assert record.sha256 == files.sha256_file(record.path)

    def test_folder_has_the_announced_files(self, mvtec_root: Path, tmp_path: Path) -> None:
        data = prepare_data(mvtec(mvtec_root, seed=5), tmp_path / "data")
        assert sorted(content(tmp_path / "data")) == [
            "images.npy",
            "masks.npy",
            "problems.json",
            "split.json",
        ]
        split = files.read_json(tmp_path / "data/split.json")
        assert (split["schema"], split["seed"], split["name"]) == (2, 5, "tiles")
        assert split["config"] == mvtec(mvtec_root, seed=5).model_dump()
        assert split["counts"] == data.counts()
        assert split["levels"] == {"black": 0.0, "white": 1.0}
        assert len(split["records"]) == 78
        assert files.read_json(tmp_path / "data/problems.json") == []

    def test_counts_and_indices_agree(self, mvtec_root: Path, tmp_path: Path) -> None:
        data = prepare_data(mvtec(mvtec_root, labelled_defects_per_type=2), tmp_path / "data")
        assert data.counts() == {
            "train_normal": 40,
            "calibration_normal": 20,
            "test_normal": 8,
            "test_defect": 6,
            "labelled_defects": 4,
        }
        assert len(data.indices("train", 0)) == 40
        assert len(data.indices("train", 1)) == 4
        assert len(data.indices("test")) == 14
        everything = np.concatenate([data.indices(split) for split in ("train", "calibration", "test")])
        assert sorted(everything) == list(range(78))
        with pytest.raises(ValueError, match="no split"):
            data.indices("valid")  # type: ignore[arg-type]

    def test_batches_are_ready_for_a_network(self, mvtec_root: Path, tmp_path: Path) -> None:
        data = prepare_data(mvtec(mvtec_root), tmp_path / "data")
        batch = data.batch(data.indices("test", 1)[:3])
        assert (batch.shape, batch.dtype) == ((3, 1, 32, 32), np.float32)
        assert 0 <= batch.min() < batch.max() <= 1
        np.testing.assert_array_equal(batch[1, 0], data.grey(data.indices("test", 1)[1]))
        assert data.batch([]).shape == (0, 1, 32, 32)

    def test_masks_belong_to_their_images(self, mvtec_root: Path, tmp_path: Path) -> None:
        data = prepare_data(mvtec(mvtec_root), tmp_path / "data")
        for index, record in enumerate(data.records):
            mask = data.mask(index)
            if record.type != "scratch":
                assert mask is None
                continue
            original = read_grey(str(record.mask)) > 0
            assert mask is not None
            assert mask.dtype == bool
            np.testing.assert_array_equal(mask, mask_to_square(original, 32))

    def test_one_16_bit_image_makes_the_stack_16_bit_and_loses_nothing(
        self, mvtec_root: Path, tmp_path: Path, save: SaveImage
    ) -> None:
        prepare_data(mvtec(mvtec_root), tmp_path / "eight")
        deep = np.random.default_rng(0).integers(0, 65536, (40, 48), dtype=np.uint16)
        save(mvtec_root / "test/good/deep.png", deep)
        data = prepare_data(mvtec(mvtec_root), tmp_path / "sixteen")
        assert np.load(tmp_path / "eight/images.npy").dtype == np.uint8
        assert np.load(tmp_path / "sixteen/images.npy").dtype == np.uint16
        for index, record in enumerate(data.records):
            np.testing.assert_array_equal(data.grey(index), to_square(read_grey(record.path), 32))

    def test_skipped_images_and_duplicates_are_on_record(self, mvtec_root: Path, tmp_path: Path) -> None:
        (mvtec_root / "train/good/000.png").write_text("text")
        shutil.copy(mvtec_root / "train/good/001.png", mvtec_root / "train/good/002.png")
        data = prepare_data(mvtec(mvtec_root, skip_bad_images=True), tmp_path / "data")
        problems = files.read_json(tmp_path / "data/problems.json")
        assert [(Path(p["path"]).name, p["problem"]) for p in problems] == [
            ("000.png", "unreadable"),
            ("002.png", "duplicate"),
        ]
        assert len(data) == 76
        assert not {"000.png", "002.png"} & {Path(r.path).name for r in data.records if r.split != "test"}

    def test_no_defects_at_all_is_fine(self, folder_root: Path, tmp_path: Path) -> None:
        data = prepare_data(DataConfig(format="folder", root=str(folder_root)).at_size(32), tmp_path / "data")
        assert data.counts()["test_defect"] == 0
        assert data.counts()["test_normal"] == 20


class TestRepeatable:
    def test_the_same_input_gives_the_same_bytes(self, mvtec_root: Path, tmp_path: Path) -> None:
        prepare_data(mvtec(mvtec_root), tmp_path / "one")
        prepare_data(mvtec(mvtec_root), tmp_path / "two")
        assert content(tmp_path / "one") == content(tmp_path / "two")

    def test_the_fingerprint_follows_the_data_not_the_place(self, mvtec_root: Path, tmp_path: Path) -> None:
        original = prepare_data(mvtec(mvtec_root), tmp_path / "one").fingerprint
        moved = mvtec_root.rename(tmp_path / "elsewhere")
        assert prepare_data(mvtec(moved), tmp_path / "two").fingerprint == original
        assert prepare_data(mvtec(moved, seed=1), tmp_path / "three").fingerprint != original
        (moved / "test/stain").rename(moved / "test/spot")
        assert prepare_data(mvtec(moved), tmp_path / "four").fingerprint != original

    def test_the_fingerprint_sees_a_changed_mask(
        self, mvtec_root: Path, tmp_path: Path, save: SaveImage
    ) -> None:
        original = prepare_data(mvtec(mvtec_root), tmp_path / "one").fingerprint
        save(mvtec_root / "ground_truth/scratch/000_mask.png", np.eye(40, 48, dtype=np.uint8))
        assert prepare_data(mvtec(mvtec_root), tmp_path / "two").fingerprint != original


class TestWholeOrNotAtAll:
    @pytest.fixture
    def old(self, mvtec_root: Path, tmp_path: Path) -> dict[str, bytes]:
        prepare_data(mvtec(mvtec_root), tmp_path / "out/data")
        return content(tmp_path / "out/data")

    def fail(self, root: Path, out: Path, error: type[BaseException], match: str = ".*") -> None:
        with pytest.raises(error, match=match):
            prepare_data(mvtec(root, seed=1), out / "data")
        assert [path.name for path in out.iterdir()] == ["data"]

    @pytest.mark.parametrize("place", ["spool", "stack", "json"])
    def test_a_full_disk_keeps_the_old_data(
        self, mvtec_root: Path, tmp_path: Path, old: dict, place: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*args: Any, **kwargs: Any) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        if place == "spool":
            monkeypatch.setattr(arrays.Spool, "append", full)
        elif place == "stack":
            monkeypatch.setattr(store, "write_stack", full)
        else:
            monkeypatch.setattr(os, "fsync", full)
        self.fail(mvtec_root, tmp_path / "out", InputError, "disk full while writing .* free some space")
        assert content(tmp_path / "out/data") == old

    def test_ctrl_c_while_reading_keeps_the_old_data(
        self, mvtec_root: Path, tmp_path: Path, old: dict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: list[int] = []

        def interrupted(self: arrays.Spool, square: np.ndarray, bits: int) -> None:
            kept.append(bits)
            if len(kept) == 5:
                raise KeyboardInterrupt

        monkeypatch.setattr(arrays.Spool, "append", interrupted)
        self.fail(mvtec_root, tmp_path / "out", KeyboardInterrupt)
        assert content(tmp_path / "out/data") == old

    def test_ctrl_c_in_a_decoding_thread_too(
        self, mvtec_root: Path, tmp_path: Path, old: dict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*args: Any, **kwargs: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr(checks, "read_image", interrupted)
        self.fail(mvtec_root, tmp_path / "out", KeyboardInterrupt)
        assert content(tmp_path / "out/data") == old

    def test_bad_input_keeps_the_old_data(self, mvtec_root: Path, tmp_path: Path, old: dict) -> None:
        (mvtec_root / "train/good/000.png").write_bytes(b"")
        self.fail(mvtec_root, tmp_path / "out", InputError, "1 of 78 images cannot be used")
        assert content(tmp_path / "out/data") == old


class TestOpening:
    @pytest.fixture
    def folder(self, mvtec_root: Path, tmp_path: Path) -> Path:
        prepare_data(mvtec(mvtec_root), tmp_path / "data")
        return tmp_path / "data"

    def test_reads_what_was_prepared(self, folder: Path) -> None:
        data = ImageStore.open(folder)
        assert (len(data), data.size, data.name) == (78, 32, "tiles")
        assert len(data.fingerprint) == 64

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"split\.json does not exist"):
            ImageStore.open(tmp_path / "gone")

    @pytest.mark.parametrize("schema", [1, 3])
    def test_another_schema(self, folder: Path, schema: int) -> None:
        files.write_json(folder / "split.json", {"schema": schema})
        with pytest.raises(InputError, match="not of schema 2"):
            ImageStore.open(folder)

    def test_incomplete_split(self, folder: Path) -> None:
        split = json.loads((folder / "split.json").read_text())
        del split["records"][3]["label"]
        files.write_json(folder / "split.json", split)
        with pytest.raises(InputError, match="incomplete"):
            ImageStore.open(folder)

    @pytest.mark.parametrize(
        ("levels", "words"),
        [
            ({"black": 0.5, "white": 0.5}, "0 <= black < white <= 1"),
            ({"black": "dark", "white": 1.0}, "must be numbers"),
            ({"dark": 0.0}, "incomplete"),
            (None, "incomplete"),
        ],
    )
    def test_levels_that_are_none(self, folder: Path, levels: Any, words: str) -> None:
        split = json.loads((folder / "split.json").read_text())
        files.write_json(folder / "split.json", split | {"levels": levels})
        with pytest.raises(InputError, match=words):
            ImageStore.open(folder)

    def test_arrays_of_another_data_set(self, folder: Path) -> None:
        arrays.write_stack(folder / "images.npy", np.zeros((3, 32, 32), np.uint8), 3, 32, 8)
        with pytest.raises(InputError, match="do not belong together"):
            ImageStore.open(folder)

    def test_a_missing_array(self, folder: Path) -> None:
        (folder / "masks.npy").unlink()
        with pytest.raises(InputError, match=r"masks\.npy cannot be read"):
            ImageStore.open(folder)


def test_real_solar_cells(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset")
    data = prepare_data(DataConfig(format="elpv").at_size(64), tmp_path / "data")
    assert data.counts() == {
        "train_normal": 353,
        "calibration_normal": 88,
        "test_normal": 147,
        "test_defect": 313,
        "labelled_defects": 0,
    }
    (problem,) = files.read_json(tmp_path / "data/problems.json")
    assert (problem["problem"], "4.7 times to 64" in problem["detail"]) == ("shrunk", True)
    cells = data.batch(data.indices("calibration"))
    assert 0.2 < cells.mean() < 0.8  # electroluminescence images are mid-grey
    assert cells.std(axis=(1, 2, 3)).min() > 0.02
