"""Every image is looked at; what cannot be used is named, what occurs twice never leaks into the test."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from wafer_data.checks import check_images
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.imaging.read import read_grey, to_square
from wafer_data.sources import Candidate, find_images

SaveImage = Callable[..., Path]


def config(root: Path, **values: Any) -> DataConfig:
    return DataConfig(format="folder", root=str(root), **values).at_size(32)


def normal(path: Path, side: Any = "any") -> Candidate:
    return Candidate(path, side, 0, "good")


class TestUsable:
    def test_all_come_back_in_order_with_their_hashes(self, folder_root: Path) -> None:
        candidates = find_images(config(folder_root))
        images, problems = check_images(candidates, config(folder_root))
        assert [image.candidate for image in images] == candidates
        assert [image.row for image in images] == list(range(80))
        assert len({image.sha256 for image in images}) == len({image.pixels for image in images}) == 80
        assert problems == []

    def test_keep_receives_each_image_once_in_order(self, folder_root: Path) -> None:
        candidates = find_images(config(folder_root))
        kept: list[tuple[np.ndarray, int]] = []
        check_images(candidates, config(folder_root), keep=lambda square, bits: kept.append((square, bits)))
        for candidate, (square, bits) in zip(candidates, kept, strict=True):
            np.testing.assert_array_equal(square, to_square(read_grey(candidate.path), 32))
            assert bits == 8

    def test_depth_is_recorded(self, tmp_path: Path, save: SaveImage) -> None:
        ramp = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48)
        paths = [
            save(tmp_path / "8.png", 1),
            save(tmp_path / "16.png", ramp * 30),
            save(tmp_path / "f.tif", (ramp / 2000).astype(np.float32)),
        ]
        images, _ = check_images([normal(path) for path in paths], config(tmp_path))
        assert [image.bits for image in images] == [8, 16, 16]


class TestBad:
    @pytest.fixture
    def bad_root(self, folder_root: Path, save: SaveImage) -> Path:
        """Ten bad images of eight kinds among 80 good ones."""
        (folder_root / "b0.png").write_text("text named .png")
        (folder_root / "b1.png").write_bytes((folder_root / "000.png").read_bytes()[:-40])
        save(folder_root / "whole.jpg", 500)
        (folder_root / "b2.jpg").write_bytes((folder_root / "whole.jpg").read_bytes()[:-2])
        (folder_root / "whole.jpg").unlink()
        save(folder_root / "b3.png", np.zeros((1, 1), np.uint8))
        save(folder_root / "b4.png", np.zeros((40, 48), np.uint8))
        save(folder_root / "b5.png", np.full((40, 48), 7, np.uint8))
        (folder_root / "b6.png").write_bytes(b"")
        save(folder_root / "b7.png", np.tile(np.arange(200, dtype=np.uint8), (200, 1)))
        (folder_root / "b8.tif").write_bytes(b"II*\x00")
        (folder_root / "b9.png").symlink_to(folder_root / "gone.png")
        return folder_root

    EXPECTED: dict[str, tuple[str, str]] = {  # noqa: RUF012
        "b0.png": ("unreadable", "not an image"),
        "b1.png": ("unreadable", "truncated"),
        "b2.jpg": ("unreadable", "truncated"),
        "b3.png": ("unreadable", "too small: 1 x 1"),
        "b4.png": ("constant", "every pixel is 0"),
        "b5.png": ("constant", "every pixel is 7"),
        "b6.png": ("unreadable", "empty file"),
        "b7.png": ("unreadable", "too large: 200 x 200"),
        "b8.tif": ("unreadable", "truncated or damaged"),
        "b9.png": ("unreadable", "does not exist"),
    }

    def test_stop_with_all_of_them_named_and_the_way_out(self, bad_root: Path) -> None:
        settings = config(bad_root, max_megapixels=0.039)
        with pytest.raises(InputError) as caught:
            check_images(find_images(settings), settings)
        message = str(caught.value)
        assert message.startswith("10 of 90 images cannot be used:")
        for name, (kind, detail) in self.EXPECTED.items():
            assert f"{name}: {kind}: {detail}" in message
        assert message.endswith("set data.skip_bad_images=true to leave them out.")

    def test_ten_are_named_and_the_rest_counted(self, bad_root: Path, save: SaveImage) -> None:
        for i in range(3):
            save(bad_root / f"c{i}.png", np.full((40, 48), i, np.uint8))
        settings = config(bad_root, max_megapixels=0.039)
        with pytest.raises(InputError, match=r"13 of 93 images(?s:.*)and 3 more"):
            check_images(find_images(settings), settings)

    def test_are_left_out_and_recorded_on_request(self, bad_root: Path) -> None:
        settings = config(bad_root, max_megapixels=0.039, skip_bad_images=True)
        images, problems = check_images(find_images(settings), settings)
        assert len(images) == 80
        found = {Path(problem["path"]).name: problem for problem in problems}
        assert found.keys() == self.EXPECTED.keys()
        for name, (kind, detail) in self.EXPECTED.items():
            assert found[name]["problem"] == kind
            assert detail in found[name]["detail"]

    def test_wrong_size(
        self, folder_root: Path, save: SaveImage, textured: Callable[..., np.ndarray]
    ) -> None:
        save(folder_root / "turned.png", textured(7, 48, 40))
        settings = config(folder_root, expected_size=[40, 48])
        with pytest.raises(
            InputError, match=r"turned\.png: wrong size: 48 x 40 \(height x width\), not 40 x 48"
        ):
            check_images(find_images(settings), settings)

    def test_no_permission_for_one_file(self, folder_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = Path.open

        def guarded(self: Path, *args: Any, **kwargs: Any) -> Any:
            if self.name == "007.png":
                raise PermissionError(13, "Permission denied")
            return real(self, *args, **kwargs)

        monkeypatch.setattr(Path, "open", guarded)
        with pytest.raises(InputError, match=r"1 of 80(?s:.*)007\.png: unreadable: no permission"):
            check_images(find_images(config(folder_root)), config(folder_root))

    def test_a_programming_error_is_not_taken_for_a_bad_image(
        self, folder_root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import wafer_data.checks as checks

        def broken(*args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError

        monkeypatch.setattr(checks, "to_square", broken)
        with pytest.raises(ZeroDivisionError):
            check_images(find_images(config(folder_root)), config(folder_root))


class TestMasks:
    def check(self, root: Path, **values: Any) -> tuple[dict[str, bool], list[tuple[str, str]]]:
        settings = DataConfig(format="mvtec", root=str(root), **values).at_size(32)
        images, problems = check_images(find_images(settings), settings)
        masks = {
            image.candidate.path.name: image.mask for image in images if image.candidate.type == "scratch"
        }
        return masks, [(Path(problem["path"]).name, problem["problem"]) for problem in problems]

    def test_good_masks_are_used(self, mvtec_root: Path) -> None:
        masks, problems = self.check(mvtec_root)
        assert all(masks.values())
        assert problems == []

    def test_an_empty_or_missing_mask_is_recorded_and_not_used(
        self, mvtec_root: Path, save: SaveImage
    ) -> None:
        folder = mvtec_root / "ground_truth/scratch"
        save(folder / "001_mask.png", np.zeros((40, 48), np.uint8))
        (folder / "002_mask.png").unlink()
        masks, problems = self.check(mvtec_root)
        assert [name for name, used in masks.items() if not used] == ["001.png", "002.png"]
        assert problems == [("001.png", "empty mask"), ("002.png", "no mask")]

    def test_a_mask_of_another_size_or_a_broken_one_stops(self, mvtec_root: Path, save: SaveImage) -> None:
        folder = mvtec_root / "ground_truth/scratch"
        save(folder / "001_mask.png", np.ones((48, 40), np.uint8))
        (folder / "002_mask.png").write_bytes(b"")
        with pytest.raises(InputError) as caught:
            self.check(mvtec_root)
        assert "001.png: bad mask: 001_mask.png: mask of 40 x 48 pixels for an image of 48 x 40" in str(
            caught.value
        )
        assert "002.png: bad mask: 002_mask.png: empty file" in str(caught.value)
        masks, problems = self.check(mvtec_root, skip_bad_images=True)
        assert len(masks) == 4
        assert problems == [("001.png", "bad mask"), ("002.png", "bad mask")]


class TestDuplicates:
    def test_on_the_train_side_the_first_copy_stays(self, folder_root: Path) -> None:
        shutil.copy(folder_root / "003.png", folder_root / "050.png")
        images, problems = check_images(find_images(config(folder_root)), config(folder_root))
        names = [image.candidate.path.name for image in images]
        assert "003.png" in names
        assert "050.png" not in names
        assert [(Path(p["path"]).name, p["problem"]) for p in problems] == [("050.png", "duplicate")]
        assert "003.png" in problems[0]["detail"]

    def test_of_a_test_image_the_train_side_copy_goes_even_in_another_file_format(
        self, mvtec_root: Path
    ) -> None:
        with Image.open(mvtec_root / "test/good/002.png") as image:
            image.save(mvtec_root / "train/good/000a.tif")
        settings = DataConfig(format="mvtec", root=str(mvtec_root)).at_size(32)
        images, problems = check_images(find_images(settings), settings)
        paths = {image.candidate.path for image in images}
        assert mvtec_root / "test/good/002.png" in paths
        assert mvtec_root / "train/good/000a.tif" not in paths
        assert [problem["problem"] for problem in problems] == ["duplicate"]

    def test_a_normal_image_that_is_also_a_defect_goes(
        self, folder_root: Path, tmp_path: Path, save: SaveImage
    ) -> None:
        save(tmp_path / "bad/a.png", 5)
        settings = config(folder_root, defects=str(tmp_path / "bad"))
        images, _ = check_images(find_images(settings), settings)
        assert "005.png" not in {image.candidate.path.name for image in images}
        assert sum(image.candidate.label for image in images) == 1

    def test_the_test_stays_untouched_but_contradictions_are_reported(self, mvtec_root: Path) -> None:
        shutil.copy(mvtec_root / "test/good/002.png", mvtec_root / "test/stain/009.png")
        settings = DataConfig(format="mvtec", root=str(mvtec_root)).at_size(32)
        images, problems = check_images(find_images(settings), settings)
        assert len(images) == 79
        assert [problem["problem"] for problem in problems] == ["conflicting labels"]
        assert "002.png (good)" in problems[0]["detail"]
        assert "009.png (stain)" in problems[0]["detail"]
