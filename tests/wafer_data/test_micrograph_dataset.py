"""Folders of synthetic micrographs: MVTec layout, clearly labelled, whole or not at all."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.files import read_json
from wafer_data.imaging.read import read_grey
from wafer_data.micrograph import (
    DEFECT_TYPES,
    MicrographConfig,
    dataset,
    default_counts,
    defective_image,
    iterate_data_set,
    normal_image,
    plan,
    write_micrographs,
)
from wafer_data.micrograph.dataset import to_bits
from wafer_data.sources import find_images

CONFIG = MicrographConfig(size=64, layout="contacts")
COUNTS = {"normal": 4, "test_normal": 2, "per_type": default_counts(2, 1)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("synthetic") / "contacts"
    write_micrographs(CONFIG, path, **COUNTS, seed=3)
    return path


def files_of(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class TestFolder:
    def test_it_is_read_as_mvtec_with_a_mask_for_every_defect(self, folder: Path) -> None:
        found = find_images(DataConfig(format="mvtec", root=str(folder)))
        assert sum(c.side == "train" for c in found) == 4
        assert sum(c.side == "test" and c.label == 0 for c in found) == 2
        defects = [c for c in found if c.label]
        assert len(defects) == 5 * 2 + 2 * 1 and all(c.mask is not None for c in defects)
        assert {c.type for c in defects} == set(DEFECT_TYPES)

    def test_files_hold_the_images_of_the_plan(self, folder: Path) -> None:
        for entry in plan(**COUNTS):
            stored = read_grey(folder / entry.folder / f"{entry.name}.png")
            if entry.type == "good":
                np.testing.assert_array_equal(stored, to_bits(normal_image(CONFIG, 3, entry.index), 8))
                continue
            image, mask = defective_image(CONFIG, 3, entry.index, entry.type)
            np.testing.assert_array_equal(stored, to_bits(image, 8))
            stored_mask = read_grey(folder / "ground_truth" / entry.type / f"{entry.name}_mask.png")
            np.testing.assert_array_equal(stored_mask, np.where(mask, 255, 0))

    def test_everything_says_that_it_is_synthetic(self, folder: Path) -> None:
        assert "SYNTHETIC" in (folder / "README.txt").read_text()
        assert read_json(folder / "synthetic.json")["synthetic"] is True
        for path in folder.rglob("*.png"):
            assert path.name.startswith("synthetic_")
            assert "SYNTHETIC" in Image.open(path).info["Comment"]

    def test_the_manifest_says_how_the_images_were_made_and_how_visible_each_defect_is(
        self, folder: Path
    ) -> None:
        manifest = read_json(folder / "synthetic.json")
        assert manifest["seed"] == 3 and manifest["bits"] == 8
        assert MicrographConfig.model_validate(manifest["config"]) == CONFIG
        assert manifest["counts"]["train_good"] == 4 and manifest["counts"]["test_good"] == 2
        assert manifest["counts"]["test_defects"] == default_counts(2, 1)
        assert {"version", "generator_version", "made_with"} <= manifest.keys()
        assert len(manifest["defects"]) == 12
        for line in manifest["defects"]:
            mask = read_grey(folder / line["mask"]) > 0
            assert line["area_px"] == mask.sum() > 0
            assert line["contrast_to_noise"] > 0
            assert (folder / line["file"]).is_file()

    def test_sixteen_bits(self, tmp_path: Path) -> None:
        write_micrographs(CONFIG, tmp_path / "deep", normal=1, test_normal=1, per_type={"stain": 1}, bits=16)
        path = tmp_path / "deep/train/good/synthetic_000000.png"
        stored = read_grey(path)
        assert stored.dtype == np.uint16
        np.testing.assert_array_equal(stored, to_bits(normal_image(CONFIG, 0, 0), 16))
        assert len(np.unique(stored)) > 1000

    def test_the_same_call_writes_the_same_bytes(self, folder: Path, tmp_path: Path) -> None:
        write_micrographs(CONFIG, tmp_path / "again", **COUNTS, seed=3)
        assert files_of(tmp_path / "again") == files_of(folder)

    def test_a_part_does_not_depend_on_how_large_the_others_are(self, folder: Path, tmp_path: Path) -> None:
        write_micrographs(CONFIG, tmp_path / "more", normal=7, test_normal=1, per_type={"stain": 1}, seed=3)
        before, after = files_of(folder), files_of(tmp_path / "more")
        same = [name for name in after if name in before and name.endswith(".png")]
        assert len(same) == 4 + 1 + 2
        assert all(before[name] == after[name] for name in same)

    def test_no_test_image_is_a_training_image(self) -> None:
        entries = plan(50, 50, default_counts(50, 50))
        assert len({entry.index for entry in entries}) == len(entries)

    def test_the_same_set_without_files(self, folder: Path) -> None:
        for entry, micrograph in iterate_data_set(CONFIG, 3, plan(**COUNTS)[-3:]):
            stored = read_grey(folder / entry.folder / f"{entry.name}.png")
            np.testing.assert_array_equal(stored, to_bits(micrograph.image, 8))


class TestRefusals:
    def test_a_used_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine.txt").write_text("keep")
        with pytest.raises(InputError, match="not an empty folder"):
            write_micrographs(CONFIG, tmp_path, normal=1, test_normal=0)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_a_file_is_refused_and_an_empty_folder_is_filled(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(InputError, match="not an empty folder"):
            write_micrographs(CONFIG, tmp_path / "file", normal=1, test_normal=0)
        (tmp_path / "empty").mkdir()
        write_micrographs(CONFIG, tmp_path / "empty", normal=1, test_normal=0, per_type={})
        assert (tmp_path / "empty/train/good/synthetic_000000.png").is_file()

    @pytest.mark.parametrize(
        ("counts", "message"),
        [
            ({"normal": 0}, "at least one normal image"),
            ({"test_normal": -1}, "0 or more"),
            ({"per_type": {"dent": 1}}, "no such defect type: dent"),
            ({"normal": 10**9}, "at most"),
            ({"seed": -1}, "seed must be 0 or more"),
        ],
    )
    def test_impossible_counts(self, tmp_path: Path, counts: dict, message: str) -> None:
        with pytest.raises(InputError, match=message):
            write_micrographs(CONFIG, tmp_path / "new", **counts)
        assert not list(tmp_path.iterdir())

    def test_other_bit_depths(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="8 or 16"):
            write_micrographs(CONFIG, tmp_path / "new", bits=12)

    def test_an_interruption_leaves_nothing_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real, calls = dataset.draw_micrograph, []

        def interrupted(*arguments):
            calls.append(arguments)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(dataset, "draw_micrograph", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_micrographs(CONFIG, tmp_path / "new", normal=5, test_normal=0)
        assert not list(tmp_path.iterdir())
