"""The split by part: all images of a part go the same way, and shares are met as nearly as whole parts can."""

import collections
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wafer_data.checks import CheckedImage
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.part_split import divide_parts, parts_said, shown_parts
from wafer_data.sources import Candidate
from wafer_data.split import assign_splits
from wafer_data.store import prepare_data


def image(name: str, side: Any = "train", kind: str = "good", pixels: str = "") -> CheckedImage:
    candidate = Candidate(Path("/set") / kind / name, side, int(kind != "good"), kind)
    return CheckedImage(candidate, "", pixels or f"{side}{kind}{name}", 8, 0, False)


def config(**values: Any) -> DataConfig:
    return DataConfig(**({"format": "mvtec", "root": "x"} | values))


def tiles(parts: int, each: int, **more: Any) -> list[CheckedImage]:
    return [image(f"scan{part:03}_y{tile}_x0.png", **more) for part in range(parts) for tile in range(each)]


def parts_of_split(images: list[CheckedImage], splits: list[Any]) -> dict[str, set[str]]:
    """Names of the scans in each split."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for one, split in zip(images, splits, strict=True):
        found[split].add(one.candidate.path.name.partition("_")[0])
    return found


class TestDivide:
    @given(
        sizes=st.lists(st.integers(1, 30), min_size=1, max_size=80),
        test=st.floats(0, 0.4),
        calibration=st.floats(0.05, 0.4),
        seed=st.integers(0, 9),
    )
    @settings(max_examples=200, deadline=None)
    def test_a_part_is_never_torn_and_no_share_is_missed_by_more_than_a_part(
        self, sizes: list[int], test: float, calibration: float, seed: int
    ) -> None:
        parts = [part for part, size in enumerate(sizes) for _ in range(size)]
        shares = {"test": test, "calibration": calibration}
        found = divide_parts(parts, shares, "train", np.random.default_rng(seed))
        split_of = dict(zip(parts, found, strict=True))
        assert [split_of[part] for part in parts] == found
        for split, share in shares.items():
            assert found.count(split) - len(parts) * share <= max(sizes) / 2
        assert set(found) <= {"test", "calibration", "train"}

    def test_shares_of_many_small_parts_are_met_in_every_stretch_of_them(self) -> None:
        parts = [part for part in range(200) for _ in range(4)]
        found = divide_parts(parts, {"test": 0.25, "calibration": 0.15}, "train", np.random.default_rng(0))
        for start in range(0, 800, 80):
            counts = collections.Counter(found[start : start + 80])
            assert counts == {"test": 20, "calibration": 12, "train": 48}

    def test_a_few_large_parts_do_not_make_up_a_calibration_set(self) -> None:
        sizes = [60] * 4 + [5] * 30
        parts = [part for part, size in enumerate(sizes) for _ in range(size)]
        for seed in range(20):
            found = divide_parts(parts, {"calibration": 0.2}, "train", np.random.default_rng(seed))
            calibrating = {part for part, split in zip(parts, found, strict=True) if split == "calibration"}
            assert all(sizes[part] == 5 for part in calibrating)
            assert len(calibrating) in (15, 16)

    def test_parts_of_one_size_may_all_calibrate(self) -> None:
        parts = [part for part in range(3) for _ in range(100)]
        found = divide_parts(parts, {"calibration": 0.2}, "train", np.random.default_rng(0))
        assert collections.Counter(found) == {"train": 200, "calibration": 100}


class TestByName:
    @pytest.mark.parametrize("form", ["mvtec", "folder"])
    def test_tiles_follow_what_they_were_cut_from(self, form: Any) -> None:
        images = tiles(30, 8, side="train" if form == "mvtec" else "any")
        splits = assign_splits(images, config(format=form, seed=3))
        found = parts_of_split(images, splits)
        assert set(found) == {"train", "calibration"} | ({"test"} if form == "folder" else set())
        assert sum(len(scans) for scans in found.values()) == 30
        counts = collections.Counter(splits)
        assert counts["calibration"] == 48 if form == "mvtec" else counts["test"] == 64

    def test_it_is_said(self) -> None:
        (line,) = parts_said(tiles(30, 8), config())
        assert (line["problem"], line["path"]) == ("tiles of parts", "/set/good/scan000_y0_x0.png")
        assert line["detail"].startswith("240 normal images of 30 parts by their names")

    def test_few_parts_are_divided_one_by_one_and_that_is_said(self) -> None:
        images = tiles(9, 30)
        assert shown_parts(images, config()) is None
        (line,) = parts_said(images, config())
        assert line["problem"] == "tiles of few parts"
        assert "270 normal images of 9 parts" in line["detail"]

    @pytest.mark.parametrize(
        "images",
        [
            [*tiles(30, 8), image("another.png")],  # one name does not say
            tiles(200, 1),  # nothing to keep together
            [image(f"{i}.png") for i in range(200)],
            tiles(30, 8, side="test"),
        ],
    )
    def test_other_names_say_nothing_and_the_split_is_that_of_single_images(
        self, images: list[CheckedImage]
    ) -> None:
        assert shown_parts(images, config()) is None
        assert parts_said(images, config()) == []

    def test_never_divides_one_by_one(self) -> None:
        images = tiles(30, 8)
        splits = assign_splits(images, config(same_part="never"))
        found = parts_of_split(images, splits)
        assert len(found["train"] & found["calibration"]) > 20
        assert parts_said(images, config(same_part="never")) == []

    def test_tiles_of_defects_need_no_row_and_column(self) -> None:
        images = [*tiles(30, 8), *(image(f"{i}.png", "test", "pit") for i in range(12))]
        splits = assign_splits(images, config(labelled_defects_per_type=4, calibration_defect_fraction=0.25))
        assert collections.Counter(splits[240:]) == {"train": 3, "calibration": 1, "test": 8}


class TestByPattern:
    def test_what_the_pattern_finds_stays_together(self) -> None:
        images = [image(f"tool{shot}_wafer{wafer}.png") for shot in range(6) for wafer in range(40)]
        splits = assign_splits(images, config(same_part="wafer([0-9]+)"))
        wafers: dict[str, set[str]] = collections.defaultdict(set)
        for one, split in zip(images, splits, strict=True):
            wafers[one.candidate.path.stem.partition("_")[2]].add(split)
        assert all(len(found) == 1 for found in wafers.values())
        assert splits.count("calibration") == 48

    def test_names_of_the_test_need_not_fit(self) -> None:
        images = [*tiles(30, 8), image("x.png", "test"), image("y.png", "test", "pit")]
        assert assign_splits(images, config(same_part="(scan[0-9]+)"))[-2:] == ["test", "test"]

    def test_a_name_that_must_fit_and_does_not_is_named(self) -> None:
        with pytest.raises(InputError, match=r"data\.same_part: .* no part in the name x\.png"):
            assign_splits([*tiles(30, 8), image("x.png")], config(same_part="(scan[0-9]+)"))

    def test_too_few_parts_say_how_to_go_on(self) -> None:
        with pytest.raises(InputError, match=r"data\.same_part=never"):
            assign_splits(tiles(2, 200), config(same_part="(scan[0-9]+)"))

    def test_what_is_no_expression_is_refused(self) -> None:
        with pytest.raises(ValueError, match="regular expression"):
            config(same_part="(")


class TestLabelled:
    def labelled(self, defects: list[CheckedImage], number: int) -> dict[str, set[str]]:
        images = [*tiles(30, 8), *defects]
        asked = config(
            same_part="(scan[0-9]+|part[0-9]+)",
            labelled_defects_per_type=number,
            calibration_defect_fraction=0.5,
        )
        splits = assign_splits(images, asked)
        return parts_of_split(images[240:], splits[240:])

    def test_no_part_teaches_and_is_tested_or_certifies(self) -> None:
        defects = [image(f"part{part}_{shot}.png", "test", "pit") for part in range(20) for shot in range(3)]
        found = self.labelled(defects, 12)
        assert {split: len(parts) for split, parts in found.items()} == {
            "train": 2,
            "calibration": 2,
            "test": 16,
        }

    def test_a_part_with_two_types_of_defects_stays_in_the_test(self) -> None:
        defects = [
            *(image(f"part{part}_0.png", "test", "pit") for part in range(4)),
            *(image(f"part{part}_1.png", "test", "crack") for part in range(3)),
        ]
        found = self.labelled(defects, 2)
        assert found["train"] | found.get("calibration", set()) == {"part3"}

    def test_a_part_with_more_pictures_than_asked_for_stays_in_the_test(self) -> None:
        defects = [image(f"part{part}_{shot}.png", "test", "pit") for part in range(5) for shot in range(4)]
        assert set(self.labelled(defects, 3)) == {"test"}

    def test_a_part_with_a_copied_picture_stays_in_the_test(self) -> None:
        defects = [image(f"part{part}_{shot}.png", "test", "pit") for part in range(3) for shot in range(2)]
        copies = [image(f"part{part}_9.png", "test", "pit", f"testpitpart{part}_0.png") for part in range(2)]
        found = self.labelled([*defects, *copies], 4)
        assert found["train"] | found.get("calibration", set()) == {"part2"}


def test_a_data_set_of_tiles_is_divided_by_what_they_were_cut_from_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    for folder, count in (("train/good", 12), ("test/good", 1), ("test/pit", 1)):
        (tmp_path / "set" / folder).mkdir(parents=True)
        for part in range(count):
            for tile in range(5):
                file = tmp_path / "set" / folder / f"scan{part:02}_y000_x{tile * 32:03}.png"
                Image.fromarray(random.integers(0, 256, (32, 32), dtype=np.uint8)).save(file)
    store = prepare_data(config(root=str(tmp_path / "set")), tmp_path / "data")
    of = collections.defaultdict(set)
    for record in store.records:
        if "/train/" in record.path:
            of[Path(record.path).name[:6]].add(record.split)
    assert len(of) == 12
    assert sorted(len(splits) for splits in of.values()) == [1] * 12
    assert store.counts()["calibration_normal"] == 20
    assert "60 normal images of 12 parts" in caplog.text
