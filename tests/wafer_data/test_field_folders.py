"""Data sets as people have them: what can be recognised is, and the rest is said in one line a kind."""

import logging
import os
import shutil
import unicodedata
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wafer_data import files
from wafer_data.checks import describe_bad
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.masks import read_mask
from wafer_data.problems import Problem, lines
from wafer_data.sources import Candidate, find_images
from wafer_data.store import ImageStore, prepare_data

SaveImage = Callable[..., Path]
MASK = np.zeros((40, 48), np.uint8)
MASK[10:20, 5:15] = 255


def mvtec(root: Path, **values: Any) -> DataConfig:
    return DataConfig(format="mvtec", root=str(root), **values)


def found(config: DataConfig) -> tuple[list[Candidate], list[Problem]]:
    problems: list[Problem] = []
    return find_images(config, problems), problems


def kinds(problems: list[Problem]) -> set[str]:
    return {problem["problem"] for problem in problems}


def prepared(root: Path, tmp_path: Path, **values: Any) -> tuple[ImageStore, list[Problem]]:
    store = prepare_data(mvtec(root, **values).at_size(32), tmp_path / "data")
    return store, files.read_json(tmp_path / "data" / "problems.json")


class TestNormals:
    @pytest.mark.parametrize(
        "name",
        ["Good", "GOOD", "ok", "OK", "normal", "Defect_Free", "OK_images", "anomaly-free", "Gut", "良品"],
    )
    def test_they_may_be_called_otherwise(self, mvtec_root: Path, name: str) -> None:
        expected = [(c.side, c.label, c.type) for c in find_images(mvtec(mvtec_root))]
        for side in ("train", "test"):
            (mvtec_root / side / "good").rename(mvtec_root / side / name)
        candidates, problems = found(mvtec(mvtec_root))
        assert sorted((c.side, c.label, c.type) for c in candidates) == sorted(expected)
        assert kinds(problems) == {"normals by another name"}

    @pytest.mark.parametrize("name", ["Train", "TEST", "Ground_Truth"])
    def test_so_may_the_other_folders(self, mvtec_root: Path, name: str) -> None:
        expected = len([c for c in find_images(mvtec(mvtec_root)) if c.mask])
        (mvtec_root / name.lower()).rename(mvtec_root / name)
        candidates, _ = found(mvtec(mvtec_root))
        assert (len(candidates), len([c for c in candidates if c.mask])) == (78, expected)

    def test_ok_beside_good_is_said(self, mvtec_root: Path) -> None:
        shutil.copytree(mvtec_root / "test" / "stain", mvtec_root / "test" / "OK")
        assert "two names for normals" in kinds(found(mvtec(mvtec_root))[1])

    def test_a_test_without_normals_is_said(self, mvtec_root: Path) -> None:
        shutil.rmtree(mvtec_root / "test" / "good")
        assert "no normal test image" in kinds(found(mvtec(mvtec_root))[1])

    def test_good_among_the_defects_of_plain_folders(self, mvtec_root: Path) -> None:
        test = str(mvtec_root / "test")
        config = DataConfig(format="folder", root=str(mvtec_root / "train"), defects=test)
        candidates, problems = found(config)
        assert {
            (c.side, c.label) for c in candidates if c.path.parent.name == "good" and "test" in c.path.parts
        } == {("test", 0)}
        assert "normals by another name" in kinds(problems)


class TestWhatIsNotUsedIsSaid:
    @pytest.mark.parametrize("name", ["train/crack", "train/bad lot", "val/good", "validation/good", "Extra"])
    def test_folders_without_a_place_in_the_layout(self, mvtec_root: Path, name: str) -> None:
        shutil.copytree(mvtec_root / "test" / "stain", mvtec_root / name)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert [(p["problem"], p["detail"].split(";")[0]) for p in problems] == [
            ("folder not used", "4 images")
        ]

    @pytest.mark.parametrize(
        "name", ["train/good/mask", "test/good/gt", "test/masks", "test/stain/lot 1/mask"]
    )
    def test_images_in_a_folder_that_is_named_as_one_of_masks(self, mvtec_root: Path, name: str) -> None:
        shutil.copytree(mvtec_root / "test" / "scratch", mvtec_root / name)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert [(p["problem"], p["path"]) for p in problems] == [("folder not used", str(mvtec_root / name))]
        assert "6 images; named as a folder of masks" in problems[0]["detail"]

    def test_masks_inside_the_folders_of_defect_types_are_used(
        self, mvtec_root: Path, save: SaveImage
    ) -> None:
        (mvtec_root / "ground_truth/scratch").rename(mvtec_root / "test/scratch/masks")
        (mvtec_root / "ground_truth").rmdir()
        candidates, problems = found(mvtec(mvtec_root))
        assert sum(c.mask is not None for c in candidates) == 6 and not problems
        save(mvtec_root / "test/loose.png", 900)
        normals, defects = str(mvtec_root / "train/good"), str(mvtec_root / "test")
        candidates, problems = found(DataConfig(format="folder", root=normals, defects=defects))
        assert sum(c.mask is not None for c in candidates) == 6
        assert kinds(problems) == {"normals by another name"}

    def test_one_picture_in_two_formats(self, mvtec_root: Path) -> None:
        for path in sorted((mvtec_root / "train/good").iterdir()):
            Image.open(path).save(path.with_suffix(".jpg"))
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 138
        assert kinds(problems) == {"same name"} and len(problems) == 60
        assert problems[0]["path"].endswith("000.png") and problems[0]["detail"] == "beside 000.jpg"

    @pytest.mark.parametrize("name", ["x.png", "train/x.png", "test/x.png"])
    def test_images_outside_the_sub_folders(self, mvtec_root: Path, save: SaveImage, name: str) -> None:
        save(mvtec_root / name, 900)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert [p["problem"] for p in problems] == ["folder not used"] and "x.png" in problems[0]["detail"]

    @pytest.mark.parametrize("suffix", [".json", ".xml", ".txt"])
    def test_annotations_that_are_no_masks(self, mvtec_root: Path, suffix: str) -> None:
        (mvtec_root / "test/scratch/readme.txt").write_text("made on tool 7")
        assert not found(mvtec(mvtec_root))[1]
        for path in sorted((mvtec_root / "test/scratch").glob("*.png")):
            path.with_suffix(suffix).touch()
        problems = found(mvtec(mvtec_root))[1]
        assert [(p["problem"], p["detail"]) for p in problems] == [
            ("annotations", f"6 files like 000{suffix}")
        ]

    def test_a_folder_of_masks_that_are_no_images(self, mvtec_root: Path) -> None:
        for mask in sorted((mvtec_root / "ground_truth/scratch").iterdir()):
            mask.rename(mask.with_suffix(".npy"))
        problems = found(mvtec(mvtec_root))[1]
        assert [p["problem"] for p in problems] == ["masks not found"]


class TestNames:
    def test_accents_may_be_stored_in_two_ways(self, mvtec_root: Path) -> None:
        one, other = (partial(unicodedata.normalize, form) for form in ("NFC", "NFD"))
        for folder, name in (("test", one), ("ground_truth", other)):
            for path in sorted((mvtec_root / folder / "scratch").iterdir()):
                path.rename(path.with_name(name("prüfung") + path.name))
            (mvtec_root / folder / "scratch").rename(mvtec_root / folder / name("Brüche"))
        candidates, problems = found(mvtec(mvtec_root))
        assert sum(c.mask is not None for c in candidates) == 6
        assert not problems

    def test_masks_may_lie_in_two_folders(self, mvtec_root: Path) -> None:
        for number, path in enumerate(sorted((mvtec_root / "ground_truth/scratch").iterdir())):
            if number % 2:
                (mvtec_root / "masks/scratch").mkdir(parents=True, exist_ok=True)
                path.rename(mvtec_root / "masks/scratch" / path.name)
        candidates, problems = found(mvtec(mvtec_root))
        assert sum(c.mask is not None for c in candidates) == 6 and not problems

    def test_bytes_that_are_no_text(self, mvtec_root: Path, tmp_path: Path) -> None:
        path = mvtec_root / "train/good/000.png"
        try:
            path.rename(os.fsdecode(os.fsencode(path.parent) + b"/lot\xff\n.png"))
        except OSError:
            pytest.skip("this file system takes only text as names")
        store, _ = prepared(mvtec_root, tmp_path)
        kept = [record.path for record in store.records if "lot" in Path(record.path).name]
        assert len(kept) == 1 and os.fsencode(kept[0]).endswith(b"/lot\xff\n.png")
        assert files.read_json(tmp_path / "data" / "split.json")

    @pytest.mark.parametrize("name", ["train/good/lot_2", "train/good/lot_2024.05", "test/lot_2", "lot_2"])
    def test_a_link_to_a_folder_that_is_not_there_stops_and_is_named(
        self, mvtec_root: Path, tmp_path: Path, name: str
    ) -> None:
        (mvtec_root / name).symlink_to(tmp_path / "not mounted")
        with pytest.raises(InputError, match=r"lot_2.*leads nowhere"):
            found(mvtec(mvtec_root))

    def test_a_link_to_a_note_that_is_not_there_is_nobodys_images(
        self, mvtec_root: Path, tmp_path: Path
    ) -> None:
        (mvtec_root / "train/good/notes.txt").symlink_to(tmp_path / "gone.txt")
        assert len(found(mvtec(mvtec_root))[0]) == 78

    def test_a_link_into_itself_is_one_bad_file(self, mvtec_root: Path, tmp_path: Path) -> None:
        (mvtec_root / "train/good/loop.png").symlink_to("loop.png")
        store, problems = prepared(mvtec_root, tmp_path, skip_bad_images=True)
        assert store.counts()["train_normal"] + store.counts()["calibration_normal"] == 60
        assert [Path(p["path"]).name for p in problems if p["problem"] == "unreadable"] == ["loop.png"]

    @pytest.mark.parametrize(
        "name", ["thumb_000.png", "000_thumb.png", "000.Thumbnail.PNG", "000.png.heatmap.png", "._000.png"]
    )
    def test_small_copies_and_own_heat_maps_are_passed_over(
        self, mvtec_root: Path, save: SaveImage, name: str
    ) -> None:
        save(mvtec_root / "train/good" / name, 900)
        save(mvtec_root / "ground_truth/scratch" / name, 901)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78 and sum(c.mask is not None for c in candidates) == 6
        assert kinds(problems) == {"passed over"}


def test_a_whole_data_set_is_no_folder_of_normal_images(mvtec_root: Path) -> None:
    for defects in (None, str(mvtec_root / "test/stain")):
        with pytest.raises(InputError, match=r"would count as normal: use data\.format=mvtec"):
            found(DataConfig(format="folder", root=str(mvtec_root), defects=defects))
    assert found(DataConfig(format="folder", root=str(mvtec_root), defects=str(mvtec_root / "test")))[0]


class TestMasksBesideImages:
    @pytest.mark.parametrize("name", ["{}_mask.png", "{}_GT.png", "{}_label.bmp", "{}.bmp", "mask_{}.PNG"])
    @pytest.mark.parametrize("layout", ["mvtec", "folder"])
    def test_they_are_masks_and_no_images(
        self, mvtec_root: Path, save: SaveImage, name: str, layout: str
    ) -> None:
        shutil.rmtree(mvtec_root / "ground_truth")
        for path in sorted((mvtec_root / "test" / "scratch").iterdir()):
            save(path.with_name(name.format(path.stem)), MASK)
        for path in sorted((mvtec_root / "train" / "good").iterdir()):
            save(path.with_name(name.format(path.stem)), np.zeros_like(MASK))
        config = mvtec(mvtec_root)
        if layout == "folder":
            good, test = str(mvtec_root / "train" / "good"), str(mvtec_root / "test")
            config = DataConfig(format="folder", root=good, defects=test)
        candidates, problems = found(config)
        assert len(candidates) == 78
        masks = {c.path.stem: c.mask for c in candidates if c.type == "scratch"}
        assert len(masks) == 6 and all(mask is not None and stem in mask.stem for stem, mask in masks.items())
        assert kinds(problems) - {"normals by another name"} == {"mask beside its image"}

    def test_two_pictures_of_one_name_are_two_pictures(self, mvtec_root: Path, save: SaveImage) -> None:
        save(mvtec_root / "train/good/000.bmp", 900)
        save(mvtec_root / "train/good/001_label.png", 901)
        assert len(found(mvtec(mvtec_root))[0]) == 80

    @pytest.mark.parametrize("name", ["{}_mask.png", "{}_gt.png", "{}.mask.png", "{}_mask.jpg"])
    @pytest.mark.parametrize("kind", ["soft", "classes", "noisy"])
    def test_soft_masks_class_numbers_and_jpeg_noise_are_masks_too(
        self, mvtec_root: Path, save: SaveImage, name: str, kind: str
    ) -> None:
        shutil.rmtree(mvtec_root / "ground_truth")
        rows, columns = np.mgrid[:40, :48]
        soft = np.clip(255 - 25.0 * np.hypot(rows - 20, columns - 24), 0, 255)
        noise = np.random.default_rng(0).integers(0, 8, (40, 48)) + 240.0 * (soft > 100)
        marks = {"soft": soft, "classes": np.minimum(soft // 64, 3), "noisy": noise}[kind].astype(np.uint8)
        for path in sorted((mvtec_root / "test" / "scratch").iterdir()):
            save(path.with_name(name.format(path.stem)), marks)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert sum(c.mask is not None for c in candidates) == 6
        assert kinds(problems) == {"mask beside its image"}

    def test_a_picture_named_as_the_mask_of_an_image_beside_it_is_neither_and_that_is_said(
        self, mvtec_root: Path, save: SaveImage
    ) -> None:
        save(mvtec_root / "test/scratch/000_mask.png", 900)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78 and sum(c.mask is not None for c in candidates) == 6
        assert [Path(p["path"]).name for p in problems if p["problem"] == "named as a mask"] == [
            "000_mask.png"
        ]

    def test_a_mask_without_its_image_is_left_out(self, mvtec_root: Path, save: SaveImage) -> None:
        save(mvtec_root / "test/scratch/900_mask.png", MASK)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert "mask without image" in kinds(problems)


class TestMaskNames:
    @pytest.mark.parametrize(
        "name",
        ["{}_mask.bmp", "{}_mask.PNG", "{}_GT.png", "{}/000.png", "{}_MASK.tif", "{}.bmp", "sub/{}_mask.png"],
    )
    def test_they_are_found(self, mvtec_root: Path, name: str) -> None:
        folder = mvtec_root / "ground_truth" / "scratch"
        for mask in sorted(folder.iterdir()):
            picture = Image.open(mask)
            path = folder / name.format(mask.stem.removesuffix("_mask"))
            path.parent.mkdir(exist_ok=True)
            picture.save(path)
            mask.unlink()
        masks = [c.mask for c in find_images(mvtec(mvtec_root)) if c.type == "scratch"]
        assert all(mask is not None and read_mask(mask, (40, 48), max_pixels=10**6).any() for mask in masks)

    def test_several_defects_in_one_folder_are_one_mask(self, mvtec_root: Path, save: SaveImage) -> None:
        folder = mvtec_root / "ground_truth" / "scratch"
        (folder / "000_mask.png").unlink()
        save(folder / "000" / "000.png", MASK)
        save(folder / "000" / "001.png", MASK[::-1])
        mask = next(c.mask for c in find_images(mvtec(mvtec_root)) if c.type == "scratch")
        assert mask is not None
        np.testing.assert_array_equal(read_mask(mask, None, max_pixels=10**6), (MASK | MASK[::-1]) > 0)

    def test_names_that_fit_nothing_are_said(self, mvtec_root: Path) -> None:
        folder = mvtec_root / "ground_truth" / "scratch"
        for i, mask in enumerate(sorted(folder.iterdir())):
            mask.rename(folder / f"other{i}.png")
        _, problems = found(mvtec(mvtec_root))
        assert (
            problems[0]["detail"] == f"it holds 6 files, none fits an image of {mvtec_root / 'test/scratch'}"
        )
        folder.rename(folder.with_name("scratches"))
        assert "its name is that of no folder" in found(mvtec(mvtec_root))[1][0]["detail"]

    def test_one_mask_for_two_images_is_for_none(self, mvtec_root: Path, save: SaveImage) -> None:
        save(mvtec_root / "test/scratch/sub/000.png", 700)
        save(mvtec_root / "test/scratch/more/000.png", 701)
        (mvtec_root / "test/scratch/000.png").unlink()
        candidates, problems = found(mvtec(mvtec_root))
        assert [c.mask for c in candidates if c.path.name == "000.png" and c.label][:2] == [None, None]
        assert "one mask for several images" in kinds(problems)

    def test_masks_of_missing_images_are_said(self, mvtec_root: Path) -> None:
        (mvtec_root / "test/scratch/000.png").unlink()
        assert kinds(found(mvtec(mvtec_root))[1]) == {"mask without image"}


class TestMaskContent:
    def drawn(self, kind: str) -> Image.Image:
        if kind == "inverted":
            return Image.fromarray(255 - MASK)
        if kind == "alpha":
            return Image.fromarray(np.dstack([np.full((40, 48, 3), 255, np.uint8), MASK]))
        if kind == "alpha on black":
            return Image.fromarray(np.dstack([np.zeros((40, 48, 3), np.uint8), MASK]))
        if kind == "blue class":
            return Image.fromarray(np.dstack([MASK * 0, MASK * 0, MASK // 255]))
        picture = Image.fromarray(MASK // 255, "P")  # palette with a white background
        picture.putpalette([255, 255, 255, 255, 0, 0])
        return picture

    @pytest.mark.parametrize("kind", ["alpha", "alpha on black", "blue class", "palette"])
    def test_drawing_programs(self, tmp_path: Path, kind: str) -> None:
        self.drawn(kind).save(tmp_path / "m.png")
        np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (40, 48), max_pixels=10**6), MASK > 0)

    def test_jpeg_noise_is_no_defect(self, tmp_path: Path) -> None:
        Image.fromarray(MASK).save(tmp_path / "m.jpg", quality=70)
        assert (read_mask(tmp_path / "m.jpg", None, max_pixels=10**6) != (MASK > 0)).mean() < 0.02

    def test_inverted_ones_are_left_out_and_said(
        self, mvtec_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for mask in (mvtec_root / "ground_truth" / "scratch").iterdir():
            self.drawn("inverted").save(mask)
        store, problems = prepared(mvtec_root, tmp_path)
        assert all(store.mask(int(i)) is None for i in store.indices("test", 1))
        assert kinds(problems) == {"mask covers most"}
        said = [record.message for record in caplog.records if "inverted" in record.message]
        assert len(said) == 1 and said[0].startswith("6 masks cover more than half")


class TestFolders:
    def test_thumbnails_and_deleted_files_are_passed_over_and_said(
        self, mvtec_root: Path, save: SaveImage
    ) -> None:
        for place in ("@eaDir/000.png", "#recycle", "__MACOSX", "$RECYCLE.BIN", "lost+found", ".cache"):
            save(mvtec_root / "train/good" / place / "SYNOPHOTO_THUMB_M.png", 1)
        save(mvtec_root / "train/good/._000.png", 1)
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert [p["problem"] for p in problems] == ["passed over"] * 7
        assert len(lines(problems)) == 1

    def test_linked_folders_count_once(self, mvtec_root: Path, tmp_path: Path) -> None:
        good = mvtec_root / "train/good"
        (tmp_path / "lot2").mkdir()
        for path in sorted(good.iterdir())[:20]:
            path.rename(tmp_path / "lot2" / path.name)
        (good / "lot2").symlink_to(tmp_path / "lot2")
        (good / "ring").symlink_to(good)
        (good / "again").symlink_to(tmp_path / "lot2")
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert kinds(problems) == {"link passed over"}

    def test_other_formats_are_said(self, mvtec_root: Path) -> None:
        for name in ("x.webp", "x.pbm", "x.DIB", "lot.zip", "notes.md"):
            (mvtec_root / "train/good" / name).write_bytes(b"RIFF")
        _, problems = found(mvtec(mvtec_root))
        assert problems[0]["detail"] == "passed over: 1 .dib, 1 .pbm, 1 .webp, 1 .zip"


class TestWholeSet:
    def test_mixed_bit_depths(self, mvtec_root: Path, tmp_path: Path) -> None:
        """12 bits in 16-bit files beside 8-bit ones: a third of the images is sixteen times darker."""
        for path in sorted((mvtec_root / "train/good").iterdir())[::3]:
            grey = np.asarray(Image.open(path)).astype(np.uint16) * 16
            Image.fromarray(grey).save(path)
        _, problems = prepared(mvtec_root, tmp_path)
        assert kinds(problems) == {"mixed bit depths", "brightness"}
        assert len([p for p in problems if p["problem"] == "brightness"]) == 20
        assert "40 with 8 bits, 20 with 16 bits" in problems[0]["detail"]

    def test_a_thumbnail_among_training_images_of_one_size_is_said(
        self, mvtec_root: Path, tmp_path: Path
    ) -> None:
        """Half its side is within what the tool takes of images that differ: nobody would hear of it later."""
        odd = mvtec_root / "train/good/007.png"
        Image.open(odd).resize((24, 20)).save(odd)
        _, problems = prepared(mvtec_root, tmp_path)
        said = [problem for problem in problems if problem["problem"] == "odd size"]
        assert [Path(problem["path"]).name for problem in said] == ["007.png"]
        assert "20 x 24 pixels (height x width), 59 of 60 have 40 x 48" in said[0]["detail"]

    def test_sizes_that_differ_throughout_are_a_recipes(self, mvtec_root: Path, tmp_path: Path) -> None:
        for path in sorted((mvtec_root / "train/good").iterdir())[::4]:
            Image.open(path).resize((50, 42)).save(path)
        assert "odd size" not in kinds(prepared(mvtec_root, tmp_path)[1])

    def test_a_test_of_another_depth_than_the_training(
        self, mvtec_root: Path, tmp_path: Path, textured: Callable[..., np.ndarray], save: SaveImage
    ) -> None:
        """As after a change of the grabber: a 12-bit camera's pictures in 16 bits are 16 times darker."""
        for number, path in enumerate(sorted((mvtec_root / "test/good").iterdir())):
            save(path, textured(700 + number).astype(np.uint16) * 16)
        _, problems = prepared(mvtec_root, tmp_path)
        count = len(list((mvtec_root / "test/good").iterdir()))
        assert f"{count} images with 16 bits, where all training normals have 8" in problems[0]["detail"]
        assert len([p for p in problems if p["problem"] == "brightness"]) == count

    @pytest.mark.parametrize(
        ("bits", "said"),
        [
            ([12, 16], 30),
            ([16, 16, 12], 20),
            ([10, 12, 16], 40),
            ([14, 16], 30),
            ([16] * 4 + [14], 12),
            ([16], 0),
            ([15, 16], 0),  # a factor of two is another lamp
        ],
    )
    def test_greys_on_several_scales_in_files_of_one_depth(
        self,
        mvtec_root: Path,
        tmp_path: Path,
        textured: Callable[..., np.ndarray],
        save: SaveImage,
        bits: list[int],
        said: int,
    ) -> None:
        """Also where no scale has the majority, so that the spread of all hides each."""
        for number, path in enumerate(sorted((mvtec_root / "train/good").iterdir())):
            save(path, textured(number).astype(np.uint16) * (1 << bits[number % len(bits)] - 8))
        for path in (mvtec_root / "test/good").iterdir():
            save(path, textured(900 + int(path.stem)).astype(np.uint16) * 256)
        problems = [p for p in prepared(mvtec_root, tmp_path)[1] if p["problem"] == "brightness"]
        assert len(problems) == said

    def test_grey_images_among_coloured_ones_are_said(
        self, mvtec_root: Path, tmp_path: Path, textured: Callable[..., np.ndarray], save: SaveImage
    ) -> None:
        for number, path in enumerate(sorted((mvtec_root / "train/good").iterdir())[:30]):
            save(path, np.dstack([textured(number), textured(number) // 2, textured(number) // 3]))
        _, problems = prepared(mvtec_root, tmp_path, colour=True)
        said = [p["detail"] for p in problems if p["problem"] == "grey among colour"]
        assert said == ["30 of 60 training normals have three equal channels"]

    @pytest.mark.parametrize(
        "name",
        ["Thumbs", "thumbnails", "#recycle", "@Recycle", ".snapshot", "~snapshot", "Recycled", "_gsdata_"],
    )
    def test_copies_that_a_computer_made_are_passed_over(
        self, mvtec_root: Path, name: str, textured: Callable[..., np.ndarray], save: SaveImage
    ) -> None:
        save(mvtec_root / "train/good" / name / "000.png", textured(1, 20, 24))
        candidates, problems = found(mvtec(mvtec_root))
        assert len(candidates) == 78
        assert kinds(problems) == {"passed over"}

    def test_identical_images_are_the_reason_for_too_few(self, mvtec_root: Path, tmp_path: Path) -> None:
        first = mvtec_root / "train/good/000.png"
        for path in sorted((mvtec_root / "train/good").iterdir())[1:]:
            shutil.copy(first, path)
        with pytest.raises(InputError, match="59 images have the pixels of another one") as caught:
            prepared(mvtec_root, tmp_path)
        assert str(first) in str(caught.value)

    def test_problems_are_said_in_one_line_a_kind(
        self, mvtec_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        shutil.copy(mvtec_root / "test/good/000.png", mvtec_root / "test/scratch/900.png")
        shutil.copy(mvtec_root / "test/good/001.png", mvtec_root / "train/good/900.png")
        shutil.copy(mvtec_root / "test/good/002.png", mvtec_root / "test/good/902.png")
        _, problems = prepared(mvtec_root, tmp_path)
        said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
        assert len(said) == len(kinds(problems)) == 4
        assert {"conflicting labels", "duplicate", "no mask", "repeated in the test"} == kinds(problems)

    def test_names_that_steer_a_terminal_do_not(self) -> None:
        problem = Problem(path="dup\n\x1b[31mx.png", problem="duplicate", detail="same pixels as \udcff.png")
        (line,) = lines([problem])
        assert r"dup\n\x1b[31mx.png: same pixels as \udcff.png" in line
        assert r"a\nb.png: unreadable" in describe_bad(
            [problem | {"path": "a\nb.png", "problem": "unreadable"}], 1
        )

    def test_large_images_lose_small_defects(self, mvtec_root: Path, tmp_path: Path, save: SaveImage) -> None:
        _, problems = prepared(mvtec_root, tmp_path)
        assert problems == []
        store = prepare_data(mvtec(mvtec_root).at_size(16), tmp_path / "small")
        (problem,) = files.read_json(tmp_path / "small" / "problems.json")
        assert problem["problem"] == "shrunk"
        assert "shrunk 3.0 times to 16; a defect of fewer than about 12 pixels" in problem["detail"]
        assert store.size == 16

    def test_another_size_than_the_training_images(
        self, mvtec_root: Path, tmp_path: Path, textured: Callable[..., np.ndarray], save: SaveImage
    ) -> None:
        save(mvtec_root / "test/good/900.png", textured(900, 40, 24))
        _, problems = prepared(mvtec_root, tmp_path)
        assert [p["detail"] for p in problems] == ["40 x 24 pixels (height x width), trained on 40 x 48"]
        assert files.read_json(tmp_path / "data/split.json")["source_size"] == {
            "height": [40, 40], "width": [48, 48], "aspect": [1.2, 1.2],
        }  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="letter case counts on few other systems")
def test_good_in_two_letter_cases_is_one_kind(mvtec_root: Path, save: SaveImage) -> None:
    save(mvtec_root / "train/Good/900.png", 900)
    candidates, _ = found(mvtec(mvtec_root))
    assert len([c for c in candidates if c.side == "train"]) == 61
