"""Grey levels: found where images use a small part of their range, exact in 16 bits, and kept off ordinary images."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wafer_data.arrays import to_counts, to_grey
from wafer_data.errors import InputError
from wafer_data.imaging.levels import MARGIN, ORDINARY_SPAN, Levels, find_levels

COUNTS = {8: np.uint8, 16: np.uint16}


@st.composite
def levels(draw: Callable[..., Any]) -> Levels:
    """Any levels at least 1 % apart."""
    black = draw(st.floats(0, 0.98))
    return Levels(black, draw(st.floats(black + 0.01, 1)))


def counts(
    bits: int, seed: int = 0, low: float = 0.0, high: float = 1.0, shape: tuple = (64, 64)
) -> np.ndarray:
    """Random pixels evenly between two shares of the range of `bits`."""
    top = 2**bits - 1
    return np.random.default_rng(seed).integers(
        round(low * top), round(high * top), shape, dtype=COUNTS[bits], endpoint=True
    )


class TestApplying:
    @settings(deadline=None)
    @given(st.sampled_from([8, 16]), st.integers(0, 99))
    def test_the_identity_leaves_every_bit(self, bits: int, seed: int) -> None:
        grey = to_grey(counts(bits, seed))
        assert Levels().apply(grey) is grey
        np.testing.assert_array_equal(to_counts(grey, bits), counts(bits, seed))

    @settings(deadline=None)
    @given(levels(), st.sampled_from([8, 16]), st.integers(0, 99))
    def test_what_comes_out_survives_16_bits_to_the_last_bit(
        self, chosen: Levels, bits: int, seed: int
    ) -> None:
        grey = chosen.apply(to_grey(counts(bits, seed)))
        assert grey.dtype == np.float32
        np.testing.assert_array_equal(to_grey(to_counts(grey, 16)), grey)

    @settings(deadline=None)
    @given(levels())
    def test_every_16_bit_grey_is_mapped_monotonely_into_the_range(self, chosen: Levels) -> None:
        grey = to_grey(np.arange(65536, dtype=np.uint16))
        stretched = chosen.apply(grey)
        assert (np.diff(stretched) >= 0).all()
        assert stretched.min() >= 0 and stretched.max() <= 1

    @settings(deadline=None)
    @given(levels())
    def test_black_and_white_are_the_ends_and_what_lies_beyond_is_clipped(self, chosen: Levels) -> None:
        beyond = np.array(
            [0, chosen.black - 0.1, chosen.black, chosen.white, chosen.white + 0.1, 1], np.float32
        )
        np.testing.assert_allclose(chosen.apply(np.clip(beyond, 0, 1)), [0, 0, 0, 1, 1, 1], atol=2e-5)

    @settings(deadline=None)
    @given(levels(), st.floats(0, 1))
    def test_between_them_it_is_a_straight_line(self, chosen: Levels, share: float) -> None:
        grey = np.array([chosen.black + share * (chosen.white - chosen.black)], np.float32)
        np.testing.assert_allclose(chosen.apply(grey), share, atol=3e-5)

    @settings(deadline=None)
    @given(levels(), st.sampled_from([(5,), (3, 4), (2, 1, 6, 6)]))
    def test_shape_and_input_stay(self, chosen: Levels, shape: tuple) -> None:
        grey = to_grey(counts(16, shape=shape))
        before = grey.copy()
        assert chosen.apply(grey).shape == shape
        np.testing.assert_array_equal(grey, before)


class TestFinding:
    @settings(max_examples=30, deadline=None)
    @given(
        st.sampled_from([8, 16]), st.floats(0, 0.5), st.floats(ORDINARY_SPAN + 0.05, 0.5), st.integers(0, 9)
    )
    def test_images_of_ordinary_range_are_left_alone(
        self, bits: int, low: float, span: float, seed: int
    ) -> None:
        assert find_levels([counts(bits, seed, low, low + span)]).unchanged

    def test_12_bit_images_in_16_bit_files_fill_the_range(self) -> None:
        images = [counts(16, seed, 1000 / 65535, 3000 / 65535) for seed in range(5)]
        found = find_levels(images)
        span = 2000 / 65535
        assert found.black == pytest.approx(0, abs=1e-3)  # 1000 less half the span is 0
        assert found.white == pytest.approx(3000 / 65535 + MARGIN * span, abs=1e-3)
        stretched = found.apply(to_grey(images[0]))
        assert stretched.min() == pytest.approx(0.25, abs=0.02)
        assert stretched.max() == pytest.approx(0.75, abs=0.02)

    def test_12_bit_images_that_use_their_whole_range_lose_nothing(self) -> None:
        images = [counts(16, seed, 0, 4095 / 65535) for seed in range(5)]
        found = find_levels(images)
        assert found.black == 0
        grey = np.arange(4096, dtype=np.uint16)
        assert len(np.unique(found.apply(to_grey(grey)))) == 4096

    @pytest.mark.parametrize("bits", [8, 16])
    def test_faint_images_are_spread_with_room_on_either_side(self, bits: int) -> None:
        image = counts(bits, low=0.5, high=0.6)
        stretched = find_levels([image]).apply(to_grey(image))
        assert 0.2 < stretched.min() < 0.3
        assert 0.7 < stretched.max() < 0.8

    @settings(max_examples=30, deadline=None)
    @given(st.floats(0, 0.95), st.floats(0.005, 0.35), st.integers(0, 9))
    def test_at_most_the_tails_are_clipped(self, low: float, span: float, seed: int) -> None:
        image = counts(16, seed, low, min(1.0, low + span))
        found = find_levels([image])
        grey = to_grey(image)
        assert ((grey < found.black - 1e-5) | (grey > found.white + 1e-5)).mean() <= 0.002

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 99))
    def test_neither_order_nor_depth_of_the_files_matters(self, seed: int) -> None:
        images = [counts(8, seed + i, 0.3, 0.5) for i in range(3)]
        deep = [image.astype(np.uint16) * np.uint16(257) for image in images]
        assert find_levels(images) == find_levels(images[::-1]) == find_levels(deep)

    def test_single_hot_and_dead_pixels_do_not_decide(self) -> None:
        image = counts(16, 0, 0.02, 0.05)
        spoiled = image.copy()
        spoiled[0, 0], spoiled[5, 5] = 65535, 0
        clean, found = find_levels([image]), find_levels([spoiled])
        assert found.black == pytest.approx(clean.black, abs=1e-3)
        assert found.white == pytest.approx(clean.white, abs=1e-3)

    def test_images_are_not_kept(self) -> None:
        seen: list[weakref.ref[np.ndarray]] = []

        def one_by_one() -> Iterator[np.ndarray]:
            for seed in range(6):
                assert sum(image() is not None for image in seen) <= 1
                image = counts(8, seed)
                seen.append(weakref.ref(image))
                yield image
                del image

        assert find_levels(one_by_one()).unchanged
        assert len(seen) == 6

    def test_no_image_is_refused(self) -> None:
        with pytest.raises(InputError, match="no training image"):
            find_levels([])

    def test_images_of_one_grey_value_are_refused(self) -> None:
        flat = np.full((64, 64), 1000, np.uint16)
        flat[0, 0] = 50000
        with pytest.raises(InputError, match="constant"):
            find_levels([flat])

    def test_two_neighbouring_values_are_levels(self) -> None:
        image = np.full((64, 64), 1000, np.uint16)
        image[:32] = 1001
        found = find_levels([image])
        assert np.unique(found.apply(to_grey(image))) == pytest.approx([0.25, 0.75], abs=0.05)


@pytest.mark.parametrize(
    ("black", "white"),
    [
        (0.5, 0.5),
        (0.6, 0.4),
        (-0.1, 1.0),
        (0.0, 1.1),
        (float("nan"), 1.0),
        (0.0, float("inf")),
        (True, 1.0),
        ("0", 1.0),
        (None, 1.0),
    ],
)
def test_what_are_no_levels(black: Any, white: Any) -> None:
    with pytest.raises(InputError, match="levels: black and white must be numbers"):
        Levels(black, white)
