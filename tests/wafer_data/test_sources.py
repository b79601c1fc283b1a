"""Which files belong to a data set, and what is said when the folder is not what it should be."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.problems import Problem
from wafer_data.sources import Candidate, data_name, find_images

SaveImage = Callable[..., Path]


def refusal(**values: Any) -> str:
    with pytest.raises(InputError) as caught:
        find_images(DataConfig(**values))
    return str(caught.value)


class TestMvtec:
    def test_finds_both_sides_labels_and_masks(self, mvtec_root: Path) -> None:
        found = find_images(DataConfig(format="mvtec", root=str(mvtec_root)))
        assert len(found) == 60 + 8 + 6 + 4
        by_path = {candidate.path: candidate for candidate in found}
        assert by_path[mvtec_root / "train/good/003.png"] == Candidate(
            mvtec_root / "train/good/003.png", "train", 0, "good"
        )
        assert by_path[mvtec_root / "test/good/003.png"] == Candidate(
            mvtec_root / "test/good/003.png", "test", 0, "good"
        )
        assert by_path[mvtec_root / "test/scratch/003.png"] == Candidate(
            mvtec_root / "test/scratch/003.png",
            "test",
            1,
            "scratch",
            mvtec_root / "ground_truth/scratch/003_mask.png",
        )
        assert by_path[mvtec_root / "test/stain/003.png"].mask is None

    def test_order_does_not_depend_on_the_file_system(
        self, mvtec_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = DataConfig(format="mvtec", root=str(mvtec_root))
        before = find_images(config)
        from wafer_data.sources import files

        real = files.walk
        monkeypatch.setattr(files, "walk", lambda *given, **named: reversed(list(real(*given, **named))))
        assert find_images(config) == before

    def test_paths_are_absolute_even_from_a_relative_root(
        self, mvtec_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(mvtec_root.parent)
        found = find_images(DataConfig(format="mvtec", root="tiles"))
        assert all(candidate.path.is_absolute() for candidate in found)

    def test_hidden_and_other_files_are_passed_over(self, mvtec_root: Path) -> None:
        (mvtec_root / "train/good/.DS_Store").write_bytes(b"x")
        (mvtec_root / "train/good/._000.png").write_bytes(b"x")
        (mvtec_root / "train/good/readme.txt").write_text("x")
        assert len(find_images(DataConfig(format="mvtec", root=str(mvtec_root)))) == 78

    @pytest.mark.parametrize("missing", ["train/good", "test"])
    def test_a_missing_part_is_named_with_the_way_out(self, mvtec_root: Path, missing: str) -> None:
        (mvtec_root / missing).rename(mvtec_root / "elsewhere")
        message = refusal(format="mvtec", root=str(mvtec_root))
        assert f"there is no {missing} folder" in message
        assert "data.format=folder" in message


class TestFolder:
    def test_normal_images_only(self, folder_root: Path) -> None:
        found = find_images(DataConfig(format="folder", root=str(folder_root)))
        assert {(c.side, c.label, c.type) for c in found} == {("any", 0, "good")}
        assert len(found) == 80

    def test_sub_folders_and_upper_case_suffixes_count(self, tmp_path: Path, save: SaveImage) -> None:
        for name in ("lot1/a.png", "lot2/wafer3/b.PNG", "c.TIF"):
            save(tmp_path / "n" / name, 1)
        assert len(find_images(DataConfig(format="folder", root=str(tmp_path / "n")))) == 3

    def test_defects_flat_and_by_type(self, folder_root: Path, tmp_path: Path, save: SaveImage) -> None:
        save(tmp_path / "bad/loose.png", 900)
        save(tmp_path / "bad/scratch/a.png", 901)
        found = find_images(DataConfig(format="folder", root=str(folder_root), defects=str(tmp_path / "bad")))
        defects = {c.path.name: (c.side, c.label, c.type) for c in found if c.label}
        assert defects == {"loose.png": ("test", 1, "defect"), "a.png": ("test", 1, "scratch")}

    def test_defects_inside_the_root_are_not_normal(self, folder_root: Path, save: SaveImage) -> None:
        bad = folder_root / "bad"
        save(bad / "scratch/a.png", 901)
        found = find_images(DataConfig(format="folder", root=str(folder_root), defects=str(bad)))
        assert sum(c.label == 0 for c in found) == 80
        assert sum(c.label == 1 for c in found) == 1

    def test_defects_around_the_root_are_refused(self, folder_root: Path) -> None:
        assert "same folder" in refusal(format="folder", root=str(folder_root), defects=str(folder_root))
        message = refusal(format="folder", root=str(folder_root), defects=str(folder_root.parent))
        assert "lies inside data.defects" in message

    @pytest.mark.parametrize(("good", "bad"), [("good", "bad"), ("OK", "NG"), ("lot 1/ok", "lot 1/Defects")])
    def test_folders_of_good_and_bad_images_are_not_all_normal(
        self, tmp_path: Path, save: SaveImage, good: str, bad: str
    ) -> None:
        save(tmp_path / good / "a.png", 1)
        save(tmp_path / bad / "b.png", 2)
        message = refusal(format="folder", root=str(tmp_path))
        assert f"data.root={tmp_path / good} data.defects={tmp_path / bad}, or data.format=mvtec" in message
        config = DataConfig(format="folder", root=str(tmp_path), defects=str(tmp_path / bad))
        assert [c.label for c in find_images(config)] == [0, 1]

    @pytest.mark.parametrize(
        ("names", "kind", "said"),
        [
            (["good", "scratch"], "beside the normals", "scratch"),
            (["NOK", "lot 1"], "normals named as defects", "NOK"),
        ],
    )
    def test_one_such_name_alone_is_said(
        self, tmp_path: Path, save: SaveImage, names: list[str], kind: str, said: str
    ) -> None:
        for seed, name in enumerate(names):
            save(tmp_path / name / "a.png", seed)
        problems: list[Problem] = []
        assert len(find_images(DataConfig(format="folder", root=str(tmp_path)), problems)) == 2
        assert [(p["problem"], Path(p["path"]).name) for p in problems] == [(kind, said)]

    def test_good_without_anything_beside_it_is_just_a_name(self, tmp_path: Path, save: SaveImage) -> None:
        save(tmp_path / "good" / "lot 1" / "a.png", 1)
        problems: list[Problem] = []
        assert find_images(DataConfig(format="folder", root=str(tmp_path)), problems) and not problems

    def test_missing_folder(self, tmp_path: Path) -> None:
        assert "gone does not exist" in refusal(format="folder", root=str(tmp_path / "gone"))

    def test_file_instead_of_folder(self, tmp_path: Path, save: SaveImage) -> None:
        assert "is a file" in refusal(format="folder", root=str(save(tmp_path / "a.png", 1)))

    def test_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "n").mkdir()
        assert "it is empty" in refusal(format="folder", root=str(tmp_path / "n"))

    def test_folder_without_images(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("1")
        assert "none of its 1 files is an image" in refusal(format="folder", root=str(tmp_path))

    def test_folder_without_permission(self, folder_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def denied(path: Any) -> Any:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "scandir", denied)  # as root, folder modes would stop nobody
        message = refusal(format="folder", root=str(folder_root))
        assert message.startswith(f"no permission to read {folder_root}")


class TestElpv:
    @pytest.fixture
    def elpv_root(self, tmp_path: Path) -> Path:
        (tmp_path / "labels.csv").write_text(
            "images/cell1.png  0.0  mono\n"
            "images/cell2.png  1.0  mono\n"
            "images/cell3.png  0.3333333333333333  mono\n"
            "images/cell4.png  0.0  poly\nimages/cell5.png  0.6666666666666666  poly\n\n"
        )
        return tmp_path

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            ("mono", {"cell1.png": 0, "cell2.png": 1}),
            ("poly", {"cell4.png": 0}),
            ("both", {"cell1.png": 0, "cell2.png": 1, "cell4.png": 0}),
        ],
    )
    def test_only_sure_labels_of_the_wanted_cells(self, elpv_root: Path, cells: Any, expected: dict) -> None:
        found = find_images(DataConfig(format="elpv", root=str(elpv_root), elpv_cells=cells))
        assert {c.path.name: c.label for c in found} == expected
        assert all(c.side == ("test" if c.label else "any") for c in found)

    def test_a_broken_line_is_named(self, elpv_root: Path) -> None:
        (elpv_root / "labels.csv").write_text("images/cell1.png  0.0  mono\nimages/cell2.png  high  mono\n")
        assert "line 2" in refusal(format="elpv", root=str(elpv_root))

    def test_a_folder_without_the_table_is_named(self, tmp_path: Path) -> None:
        message = refusal(format="elpv", root=str(tmp_path))
        assert message.endswith(f"is {tmp_path} the ELPV data folder?")

    def test_no_cell_of_the_kind(self, elpv_root: Path) -> None:
        (elpv_root / "labels.csv").write_text("images/cell1.png  0.0  mono\n")
        assert "no poly cell" in refusal(format="elpv", root=str(elpv_root), elpv_cells="poly")

    def test_without_the_package_the_remedy_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        assert 'pip install "waferroute[demo]"' in refusal(format="elpv")

    def test_the_package_holds_588_sure_normal_and_313_sure_defective_mono_cells(self) -> None:
        pytest.importorskip("elpv_dataset")
        found = find_images(DataConfig(format="elpv"))
        assert [sum(c.label == label for c in found) for label in (0, 1)] == [588, 313]
        assert all(c.path.is_file() for c in found)


def test_the_name_is_the_folders_unless_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_name(DataConfig(format="folder", root="lot7")) == "lot7"
    assert data_name(DataConfig(format="folder", root=".")) == tmp_path.name
    assert data_name(DataConfig(format="elpv")) == "elpv-mono"
    assert data_name(DataConfig(format="elpv", name="cells")) == "cells"
