"""Crops around a defect: where they lie, and which views of them show the same defect."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classify.crops import SIDE, VIEWS, crop_at, measure_crops, measure_views, views
from classify.features import Cells, Seen, geometry

IMAGE, CELLS = 256, 64
HALF = SIDE // 2


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((IMAGE, IMAGE)).astype(np.float32)


def stroke(row: int, column: int) -> tuple[np.ndarray, Cells]:
    """A heat map with a lying stroke of 3 x 9 cells, the highest in its middle; its cells, the highest first."""
    heat = np.zeros((CELLS, CELLS), np.float32)
    heat[row - 1 : row + 2, column - 4 : column + 5] = 1
    heat[row, column] = 2
    return heat, highest(heat)


def highest(heat: np.ndarray) -> Cells:
    rows, columns = np.nonzero(heat > 0)
    order = np.argsort(-heat[rows, columns], kind="stable")
    return rows[order], columns[order]


def mean_look(crops: np.ndarray) -> np.ndarray:
    """A look that tells quadrants apart, so that views differ."""
    half = crops.shape[-1] // 2
    parts = [crops[:, 0, r : r + half, c : c + half] for r in (0, half) for c in (0, half)]
    return np.stack([part.mean(axis=(1, 2)) for part in parts], axis=1)


class TestCropAt:
    def test_it_has_the_place_in_its_middle(self) -> None:
        image = picture()
        np.testing.assert_array_equal(
            crop_at(image, 100.5, 140.2)[0], image[100 - HALF : 100 + HALF, 140 - HALF : 140 + HALF]
        )

    @given(row=st.floats(0, IMAGE - 0.01), column=st.floats(0, IMAGE - 0.01))
    def test_beyond_the_border_the_image_is_mirrored(self, row: float, column: float) -> None:
        image = picture()
        padded = np.pad(image, HALF, mode="reflect")
        expected = padded[int(row) : int(row) + SIDE, int(column) : int(column) + SIDE]
        np.testing.assert_array_equal(crop_at(image, row, column)[0], expected)

    def test_of_colour_each_plane_is_cut_alike(self) -> None:
        planes = np.stack([picture(), picture() / 2, picture() / 4])
        found = crop_at(planes, 3, 250)
        assert found.shape == (3, SIDE, SIDE)
        np.testing.assert_array_equal(found[1], crop_at(planes[1], 3, 250)[0])


class TestViews:
    def test_they_are_the_eight_copies_that_symmetry_makes(self) -> None:
        crop = crop_at(picture(), 128, 128)
        found = views(crop)
        assert found.shape == (VIEWS, 1, SIDE, SIDE)
        np.testing.assert_array_equal(found[0], crop)
        assert len({one.tobytes() for one in found}) == VIEWS
        for one in found:
            np.testing.assert_array_equal(np.sort(one, axis=None), np.sort(crop, axis=None))

    def test_the_first_is_what_the_defect_itself_is_measured_as(self) -> None:
        heat, cells = stroke(20, 30)
        seen = Seen(picture(), heat, np.zeros(2, np.float32))
        own = measure_crops(seen, [cells], 0.5, mean_look)
        every = measure_views(seen, cells, 0.5, mean_look)
        np.testing.assert_array_equal(own[0], every[0])
        assert every.shape == (VIEWS, 4 + 10)

    @pytest.mark.parametrize("view", range(VIEWS))
    def test_each_is_measured_as_the_turned_image_would_be(self, view: int) -> None:
        heat, cells = stroke(20, 30)
        image = picture()

        def turned(plane: np.ndarray) -> np.ndarray:
            plane = np.rot90(plane, view % 4)
            return np.ascontiguousarray(plane[:, ::-1] if view >= 4 else plane)

        seen = Seen(image, heat, np.zeros(2, np.float32))
        shape = measure_views(seen, cells, 0.5, mean_look)[view, 4:]
        expected = geometry(turned(heat), *highest(turned(heat)), 0.5)
        np.testing.assert_allclose(shape, expected, atol=1e-6)


def test_each_defect_of_an_image_is_looked_at() -> None:
    heat, first = stroke(20, 30)
    second = stroke(50, 12)[1]
    seen = Seen(picture(), heat, np.zeros(2, np.float32))
    found = measure_crops(seen, [first, second], 0.5, mean_look)
    assert found.shape == (2, 14) and not np.allclose(found[0, :4], found[1, :4])
