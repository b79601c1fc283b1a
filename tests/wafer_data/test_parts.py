"""Which pictures show the same part."""

from pathlib import PurePosixPath

import pytest

from wafer_data.errors import ConfigurationError, InputError
from wafer_data.parts import cut_from, parts_named, parts_of


def test_what_the_pattern_finds_is_the_part() -> None:
    assert parts_of(["w1_a.png", "w2_a.png", "w1_b.png"], r"(w\d+)_") == [0, 1, 0]


def test_running_numbers_without_a_large_step_are_one_part() -> None:
    names = [f"exp{i}_num_{number}.jpg" for i, number in enumerate([1000, 5000, 1100, 1250, 5201])]
    assert parts_of(names, r"num_(\d+)", 200) == [0, 1, 0, 0, 2]


def test_no_names_have_no_parts() -> None:
    assert parts_of([], r"(\d+)", 5) == []


@pytest.mark.parametrize(
    ("pattern", "gap", "kind", "words"),
    [
        ("(", 0, ConfigurationError, "regular"),
        ("x", 0, InputError, "a.png"),
        ("a", 3, InputError, "whole number"),
    ],
)
def test_what_cannot_be_meant_is_refused(pattern: str, gap: int, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        parts_of(["a.png"], pattern, gap)


@pytest.mark.parametrize(
    "name",
    [
        "scan7_y0240_x1200.jpg",
        "scan7_x12_y7.png",
        "scan7-r3-c12.tif",
        "scan7 row_3_col_12.png",
        "scan7_Row3_Column4.png",
    ],
)
def test_a_tile_is_cut_from_what_its_name_begins_with(name: str) -> None:
    found = cut_from(PurePosixPath("/lot/good") / name)
    assert found is not None
    assert found.startswith("/lot/good/scan7")
    other = cut_from(PurePosixPath("/lot/good") / name.replace("scan7", "scan8"))
    assert other is not None
    assert other != found
    assert cut_from(PurePosixPath("/lot/else") / name) != found


def test_tiles_of_a_folder_without_further_name_are_cut_from_one_image() -> None:
    assert (
        cut_from(PurePosixPath("/scan7/y0_x0.png"))
        == cut_from(PurePosixPath("/scan7/y0_x256.png"))
        is not None
    )


@pytest.mark.parametrize(
    "name", ["exp1_num_743.jpg", "test_00001.jpg", "max3_y2.png", "y0.png", "a_x3.png", "a_xy_3_4.png"]
)
def test_other_names_name_no_tile(name: str) -> None:
    assert cut_from(PurePosixPath(name)) is None


def test_parts_are_named_as_the_configuration_has_it():
    tiles = [
        PurePosixPath("a/scan1_y0_x0.png"),
        PurePosixPath("a/scan2_y0_x0.png"),
        PurePosixPath("a/scan1_y0_x8.png"),
    ]
    assert parts_named(tiles, "auto") == [0, 1, 0]
    assert parts_named(tiles, "never") is None
    assert parts_named(tiles, "x([0-9]+)") == [0, 0, 1]
    assert parts_named([*tiles, PurePosixPath("a/whole.png")], "auto") is None, (
        "one name says nothing of a part"
    )
