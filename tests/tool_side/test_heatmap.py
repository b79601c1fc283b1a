"""Heat maps keep one scale for all images."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tool_side.runtime.heatmap import overlay, strength, write_heatmap
from wafer_data.errors import InputError

GREY = np.full((256, 256), 0.5, np.float32)


def test_the_scale_is_fixed_by_the_reference() -> None:
    values = np.array([[0.0, 0.1, 0.2, 0.25, 0.4, 4.0]], np.float32)
    assert strength(values, 0.2)[0] == pytest.approx([0, 0, 1 / 3, 0.5, 1, 1])
    assert strength(values * 10, 2.0) == pytest.approx(strength(values, 0.2))


def test_a_normal_map_leaves_the_image_grey_whatever_its_own_range() -> None:
    faint = np.random.default_rng(0).uniform(0, 0.099, (32, 32)).astype(np.float32)
    picture = overlay(GREY, faint, 0.2)
    assert (picture == 128).all()


def test_a_strong_place_does_not_change_the_colour_of_the_others() -> None:
    mild = np.full((32, 32), 0.3, np.float32)
    with_defect = mild.copy()
    with_defect[:4, :4] = 50.0
    one, two = overlay(GREY, mild, 0.2), overlay(GREY, with_defect, 0.2)
    assert np.array_equal(one[128:, 128:], two[128:, 128:])
    red, green, blue = two[5, 5].astype(int)
    assert red > 150 and green < 60 and blue < 70


def test_a_value_that_is_no_number_shows_at_full_strength() -> None:
    assert strength(np.array([[np.nan, np.inf]]), 1.0).tolist() == [[1.0, 1.0]]


def test_the_reference_must_be_positive() -> None:
    for reference in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="positive"):
            strength(np.ones((2, 2)), reference)


def test_the_png_holds_the_overlay(tmp_path: Path) -> None:
    heat = np.random.default_rng(0).uniform(0, 1, (16, 16)).astype(np.float32)
    write_heatmap(tmp_path / "deep" / "map.png", GREY, heat, 0.3)
    with Image.open(tmp_path / "deep" / "map.png") as picture:
        assert np.array_equal(np.asarray(picture), overlay(GREY, heat, 0.3))


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="disk full"):
        write_heatmap(tmp_path / "map.png", GREY, np.ones((4, 4)), 1.0)
    assert list(tmp_path.iterdir()) == []
