"""The split: fixed by the seed, even over the files' order, and the test keeps its defects."""

import collections
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wafer_data.checks import CheckedImage
from wafer_data.config import DataConfig
from wafer_data.errors import InputError
from wafer_data.sources import Candidate
from wafer_data.split import assign_splits


def image(number: int, side: Any = "any", kind: str = "good", pixels: str | None = None) -> CheckedImage:
    candidate = Candidate(Path(f"/{kind}/{number:05}.png"), side, int(kind != "good"), kind)
    return CheckedImage(candidate, "", pixels or f"{side}{kind}{number}", 8, number, False)


def normals(count: int, side: Any = "any") -> list[CheckedImage]:
    return [image(i, side) for i in range(count)]


def config(**values: Any) -> DataConfig:
    return DataConfig(**({"format": "folder", "root": "x"} | values))


class TestNormals:
    @given(
        count=st.integers(200, 400),
        test=st.floats(0.05, 0.5),
        calibration=st.floats(0.1, 0.45),
        seed=st.integers(0, 9),
    )
    @settings(max_examples=50, deadline=None)
    def test_shares_are_met_within_one_image(
        self, count: int, test: float, calibration: float, seed: int
    ) -> None:
        chosen = config(test_fraction=test, calibration_fraction=calibration, seed=seed)
        found = collections.Counter(assign_splits(normals(count), chosen))
        assert abs(found["test"] - count * test) <= 1
        rest = count - found["test"]
        assert abs(found["calibration"] - max(rest * calibration, min(40, rest / 3))) <= 1
        assert sum(found.values()) == count

    def test_every_stretch_of_files_gives_its_share(self) -> None:
        splits = assign_splits(normals(400), config(test_fraction=0.25, calibration_fraction=0.2))
        for start in range(0, 400, 20):
            found = collections.Counter(splits[start : start + 20])
            assert found == {"test": 5, "calibration": 3, "train": 12}

    def test_within_a_block_the_choice_is_random(self) -> None:
        splits = assign_splits(normals(2000), config())
        places = collections.Counter(i % 20 for i, split in enumerate(splits) if split == "test")
        assert set(places) == set(range(20))
        assert max(places.values()) < 50  # of 100 blocks; 25 expected

    def test_the_seed_decides_and_nothing_else(self) -> None:
        images = normals(200)
        first = assign_splits(images, config(seed=3))
        assert assign_splits(images, config(seed=3)) == first
        assert assign_splits(images, config(seed=4)) != first
        assert assign_splits(images[::-1], config(seed=3)) == first[::-1]

    def test_a_train_side_of_its_own_gives_nothing_to_the_test(self) -> None:
        images = normals(300, "train") + [image(i, "test") for i in range(30)]
        found = assign_splits(images, config(format="mvtec", calibration_fraction=0.2))
        assert collections.Counter(found[:300]) == {"train": 240, "calibration": 60}
        assert set(found[300:]) == {"test"}

    @pytest.mark.parametrize(("count", "calibration"), [(60, 20), (120, 40), (160, 40), (200, 40), (250, 50)])
    def test_small_sets_give_more_to_calibration(self, count: int, calibration: int) -> None:
        found = assign_splits(normals(count, "train"), config(format="mvtec", calibration_fraction=0.2))
        assert collections.Counter(found) == {"train": count - calibration, "calibration": calibration}

    @pytest.mark.parametrize(
        ("count", "message"),
        [
            (0, "0 to train on"),
            (30, "15 to train on .* 7 to calibrate on"),
            (35, "17 to train on .* 9 to calibrate"),
        ],
    )
    def test_too_few_are_refused_with_the_counts(self, count: int, message: str) -> None:
        with pytest.raises(InputError, match=message):
            assign_splits(normals(count), config())

    def test_just_enough_pass(self) -> None:
        found = assign_splits(normals(30, "train"), config(format="mvtec", calibration_fraction=1 / 3))
        assert collections.Counter(found) == {"train": 20, "calibration": 10}


class TestDefects:
    def images(self) -> list[CheckedImage]:
        scratches = [image(i, "test", "scratch") for i in range(12)]
        return normals(100) + scratches + [image(i, "test", "stain") for i in range(3)]

    def labelled(
        self, images: list[CheckedImage], wanted: str = "train", **values: Any
    ) -> collections.Counter[str]:
        splits = assign_splits(images, config(**values))
        return collections.Counter(
            found.candidate.type
            for found, split in zip(images, splits, strict=True)
            if found.candidate.label and split == wanted
        )

    def test_all_stay_in_the_test_unless_labels_are_asked_for(self) -> None:
        splits = assign_splits(self.images(), config())
        assert set(splits[100:]) == {"test"}

    def test_labels_move_by_type_and_never_more_than_half(self) -> None:
        asked = {"labelled_defects_per_type": 5, "calibration_defect_fraction": 0.0}
        assert self.labelled(self.images(), **asked) == {"scratch": 5, "stain": 1}
        assert not self.labelled(self.images(), "calibration", **asked)

    @pytest.mark.parametrize(
        ("fraction", "training", "calibrating"), [(0.25, 3, 1), (0.5, 2, 2), (1.0, 0, 4)]
    )
    def test_a_share_of_each_type_calibrates_and_trains_nothing(
        self, fraction: float, training: int, calibrating: int
    ) -> None:
        images = normals(100) + [image(i, "test", "scratch") for i in range(8)]
        asked = {"labelled_defects_per_type": 4, "calibration_defect_fraction": fraction}
        assert self.labelled(images, **asked)["scratch"] == training
        assert self.labelled(images, "calibration", **asked)["scratch"] == calibrating
        assert self.labelled(images, "test", **asked)["scratch"] == 4

    def test_asking_for_labels_does_not_change_the_normals(self) -> None:
        images = self.images()
        with_labels = assign_splits(images, config(labelled_defects_per_type=5))
        assert with_labels[:100] == assign_splits(images, config())[:100]

    def test_more_labels_include_the_fewer(self) -> None:
        images = self.images()

        def chosen(number: int) -> set[int]:
            splits = assign_splits(images, config(labelled_defects_per_type=number))
            return {i for i in range(100, 112) if splits[i] == "train"}

        assert chosen(2) < chosen(4) < chosen(6)

    def test_a_defect_with_a_copy_in_the_test_never_moves(self) -> None:
        copies = [image(i, "test", "scratch", pixels="same") for i in range(9)]
        single = image(9, "test", "scratch")
        assert self.labelled([*normals(100), *copies, single], labelled_defects_per_type=3) == {"scratch": 1}
