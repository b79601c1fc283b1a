"""Masks: every non-zero pixel is defect, and no defect vanishes in resizing."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wafer_data.imaging.read import UnreadableImage
from wafer_data.masks import mask_to_square, read_mask


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 1, 2, 3)])
def test_zero_is_normal_and_everything_else_defect(tmp_path: Path, values: tuple[int, ...]) -> None:
    classes = np.random.default_rng(0).choice(np.array(values, np.uint8), (20, 30))
    Image.fromarray(classes).save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (20, 30), max_pixels=10**6), classes > 0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    "kind", ["palette with white for 0", "white and alpha", "a blue class", "grey and alpha"]
)
def test_what_counts_does_not_depend_on_the_container(tmp_path: Path, kind: str, suffix: str) -> None:
    defect = np.zeros((20, 30), np.uint8)
    defect[5:9, 6:20] = 1
    white, nothing = np.full_like(defect, 255), np.zeros_like(defect)
    if kind == "palette with white for 0":
        image = Image.fromarray(defect, "P")
        image.putpalette([255, 255, 255, 0, 0, 0])
    else:
        image = Image.fromarray(
            np.dstack(
                {
                    "white and alpha": [white, white, white, defect * 255],
                    "a blue class": [nothing, nothing, defect * 4],
                    "grey and alpha": [white, defect * 255],
                }[kind]
            )
        )
    image.save(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(read_mask(tmp_path / f"m{suffix}", (20, 30), max_pixels=10**6), defect == 1)


def test_another_size_than_the_image_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((20, 30), np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(UnreadableImage, match="mask of 30 x 20 pixels for an image of 31 x 20"):
        read_mask(tmp_path / "m.png", (20, 31), max_pixels=10**6)


def test_a_fitting_mask_is_unchanged() -> None:
    mask = np.random.default_rng(0).random((32, 32)) > 0.5
    np.testing.assert_array_equal(mask_to_square(mask, 32), mask)


def test_area_and_place_are_kept() -> None:
    mask = np.zeros((100, 200), dtype=bool)
    mask[:50, :100] = True
    expected = np.zeros((32, 32), dtype=bool)
    expected[:16, :16] = True
    np.testing.assert_array_equal(mask_to_square(mask, 32), expected)


@given(st.integers(16, 300), st.integers(16, 300), st.data())
@settings(max_examples=50, deadline=None)
def test_a_single_pixel_survives_at_its_place(height: int, width: int, data: st.DataObject) -> None:
    mask = np.zeros((height, width), dtype=bool)
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask[y, x] = True
    small = mask_to_square(mask, 32)
    assert small.any()
    rows, columns = np.nonzero(small)
    assert np.abs(rows + 0.5 - (y + 0.5) * 32 / height).max() <= max(1.0, 32 / height)
    assert np.abs(columns + 0.5 - (x + 0.5) * 32 / width).max() <= max(1.0, 32 / width)
