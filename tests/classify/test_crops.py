"""Crops around a defect: where they lie, and which views of them show the same defect."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from classify.crops import APART, PLACES, SIDE, VIEWS, crop_at, example_of, look_at, peaks, views

IMAGE, CELLS = 256, 64
HALF = SIDE // 2


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((IMAGE, IMAGE)).astype(np.float32)


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


class TestPeaks:
    def test_they_are_the_highest_cells_that_lie_apart(self) -> None:
        heat = np.zeros((CELLS, CELLS))
        heat[10, 10], heat[10, 12], heat[40, 40], heat[60, 5] = (
            4,
            3,
            2,
            1,
        )  # the second is 8 pixels from the first
        assert peaks(heat, 3, IMAGE) == [(10, 10), (40, 40), (60, 5)]

    @given(seed=st.integers(0, 1000), cells=st.sampled_from([8, 16, 32, 64]), most=st.integers(1, 6))
    def test_any_map_has_at_least_one_and_none_are_close(self, seed: int, cells: int, most: int) -> None:
        heat = np.random.default_rng(seed).random((cells, cells))
        found = peaks(heat, most, IMAGE)
        assert 1 <= len(found) <= most and heat[found[0]] == heat.max()
        distances = [np.hypot(*np.subtract(a, b)) for i, a in enumerate(found) for b in found[:i]]
        assert all(distance * IMAGE / cells >= APART for distance in distances)

    def test_what_is_not_a_number_counts_as_high(self) -> None:
        heat = np.zeros((CELLS, CELLS))
        heat[3, 4] = np.nan
        assert peaks(heat, 1, IMAGE) == [(3, 4)]


class TestExample:
    """A heat map that is highest beside the defect, and second highest on it."""

    image, heat = picture(), np.zeros((CELLS, CELLS), np.float32)
    mask = np.zeros((IMAGE, IMAGE), bool)
    heat[10, 10], heat[40, 40], heat[60, 5] = 3, 2, 1
    mask[150:170, 158:170] = True

    def test_without_a_mask_it_is_the_highest_place(self) -> None:
        found = example_of(self.image, self.heat, None, None, mean_look)
        assert found.views.shape == (2 * VIEWS, 4) and found.nothing.shape == (0, VIEWS, 4)
        np.testing.assert_array_equal(
            found.views[0], look_at(self.image, self.heat, [(10, 10)], mean_look)[0]
        )
        np.testing.assert_array_equal(found.views[:VIEWS], found.views[VIEWS:])

    def test_with_a_mask_it_is_seen_from_its_middle_and_from_the_highest_place_on_it(self) -> None:
        found = example_of(self.image, self.heat, None, self.mask, mean_look)
        np.testing.assert_allclose(
            found.views[0], mean_look(crop_at(self.image, 159, 163)[None])[0], atol=0.01
        )
        np.testing.assert_array_equal(
            found.views[VIEWS], look_at(self.image, self.heat, [(40, 40)], mean_look)[0]
        )

    def test_places_beside_the_mask_are_no_defect(self) -> None:
        found = example_of(self.image, self.heat, None, self.mask, mean_look)
        expected = look_at(self.image, self.heat, [(10, 10), (60, 5)], mean_look)
        np.testing.assert_array_equal(found.nothing[:2, 0], expected)

    def test_offered_is_what_the_tool_will_choose_from(self) -> None:
        found = example_of(self.image, self.heat, None, self.mask, mean_look)
        expected = look_at(self.image, self.heat, peaks(self.heat, PLACES, IMAGE), mean_look)
        np.testing.assert_array_equal(found.offered, expected)
