"""Divide the images into train, calibration and test."""

import collections
from typing import Literal

import numpy as np

from wafer_data.checks import CheckedImage
from wafer_data.config import DataConfig
from wafer_data.errors import DataError
from wafer_data.part_split import divide_parts, shown_parts

Split = Literal["train", "calibration", "test"]

BLOCK = 20  # images
MIN_TRAIN, MIN_CALIBRATION = 20, 10  # normal images, below which nothing can be fitted or calibrated
WANTED_CALIBRATION = 40  # normal images, for whose sake small sets give up to a third to calibration


def assign_splits(images: list[CheckedImage], config: DataConfig) -> list[Split]:
    """The split of each image, in the order given; the same seed and images give the same answer.

    Normal images are sorted by path, cut into consecutive blocks of about 20, and divided at random within
    each block. File names usually count up through time, tool or wafer; so each of these gives its share to
    train, calibration and test, and calibration images are exchangeable with test images, which the
    thresholds' guarantee rests on. `test_fraction` of the images of side "any" go to test,
    `calibration_fraction` of the rest to calibration; totals are within one image of these shares. Small sets
    calibrate on more than that: on 40 images or a third, whichever is less, since a threshold that fewer than
    some 20 images must carry cannot be had at all.

    Where several images show one part (`data.same_part`), its normal images all go the same way, and so do its
    labelled defects; shares are met as nearly as whole parts can (`divide_parts`). The ones do not say where the others
    go: a defect of the test may lie on a part whose good places taught.

    Images of side "test" stay there, except `labelled_defects_per_type` of each defect type, at most half of
    it, which leave it: `calibration_defect_fraction` of them to calibration, the others to train, so that no
    defect both teaches a model and certifies what it misses. A defect whose pixels occur twice never moves:
    its copy would stay in the test. Of parts only those move whose defects are all of one type, and no more of
    them than make up the number asked for.

    Raises:
        DataError: With the counts if fewer than 20 train or 10 calibration normal images would result.
    """
    splits: list[Split] = ["test"] * len(images)
    random = np.random.default_rng(config.seed)
    parts = shown_parts(images, config)
    for side, test_fraction in (("train", 0.0), ("any", config.test_fraction)):
        members = [i for i, image in enumerate(images) if image.candidate.side == side]
        members.sort(key=lambda i: images[i].candidate.path)
        share = _calibration_share(round(len(members) * (1 - test_fraction)), config.calibration_fraction)
        if parts is None:
            divided = _divide(len(members), test_fraction, share, random)
        else:
            shares: dict[Split, float] = {"test": test_fraction, "calibration": (1 - test_fraction) * share}
            divided = divide_parts([parts[i] for i in members], shares, "train", random)
        for i, split in zip(members, divided, strict=True):
            splits[i] = split
    for chosen in _labelled(images, parts, config.labelled_defects_per_type, random):
        training = len(chosen) - round(len(chosen) * config.calibration_defect_fraction)
        taught: set[int] = set()
        for place, i in enumerate(chosen):
            part = i if parts is None else parts[i]
            splits[i] = "train" if place < training or part in taught else "calibration"
            if splits[i] == "train":
                taught.add(part)
    _require_enough(images, splits, parts)
    return splits


def _calibration_share(count: int, asked: float) -> float:
    """Share of `count` train-side normals that calibrate."""
    return max(asked, min(WANTED_CALIBRATION / max(count, 1), 1 / 3))


def _divide(
    count: int, test_fraction: float, calibration_fraction: float, random: np.random.Generator
) -> list[Split]:
    splits: list[Split] = []
    new: list[Split]
    tests = calibrations = 0
    for block in np.array_split(np.arange(count), max(1, round(count / BLOCK))):
        seen = len(splits) + len(block)
        # Quotas count from the start, so that rounding errors do not add up over the blocks.
        new_tests = round(seen * test_fraction) - tests
        tests += new_tests
        new_calibrations = min(
            max(0, round((seen - tests) * calibration_fraction) - calibrations), len(block) - new_tests
        )
        calibrations += new_calibrations
        new = ["train"] * len(block)
        order = random.permutation(len(block))
        for place in order[:new_tests]:
            new[place] = "test"
        for place in order[new_tests : new_tests + new_calibrations]:
            new[place] = "calibration"
        splits += new
    return splits


def _labelled(
    images: list[CheckedImage], parts: list[int] | None, per_type: int, random: np.random.Generator
) -> list[list[int]]:
    """Positions of the defects that become labelled examples, a list in random order for each type, part by part."""
    copies = collections.Counter(image.pixels for image in images)
    shown = list(range(len(images))) if parts is None else parts
    types: dict[str, list[int]] = collections.defaultdict(list)
    kept: set[int] = set()  # parts that stay in the test
    type_of: dict[int, str] = {}
    for i, image in enumerate(images):
        if image.candidate.label == 1:
            kind = image.candidate.type
            types[kind].append(i)
            if copies[image.pixels] > 1 or type_of.setdefault(shown[i], kind) != kind:
                kept.add(shown[i])
    chosen: list[list[int]] = []
    for name in sorted(types):
        members = sorted(types[name], key=lambda i: images[i].candidate.path)
        moving: dict[int, list[int]] = collections.defaultdict(list)
        for i in members:
            if shown[i] not in kept:
                moving[shown[i]].append(i)
        number, drawn = min(per_type, len(members) // 2), list[int]()
        groups = list(moving.values())
        for k in random.permutation(len(groups)):
            if len(drawn) + len(groups[k]) <= number:
                drawn += groups[k]
        chosen.append(drawn)
    return chosen


def _require_enough(images: list[CheckedImage], splits: list[Split], parts: list[int] | None) -> None:
    counts = collections.Counter(
        split for image, split in zip(images, splits, strict=True) if image.candidate.label == 0
    )
    train, calibration = counts["train"], counts["calibration"]
    if train < MIN_TRAIN or calibration < MIN_CALIBRATION:
        whole = "" if parts is None else ", or divide by image and not by part (data.same_part=never)"
        raise DataError(
            f"too few normal images: {train} to train on (at least {MIN_TRAIN} are needed) and "
            f"{calibration} to calibrate on (at least {MIN_CALIBRATION}). Add images, or change "
            f"data.calibration_fraction and data.test_fraction{whole}"
        )
