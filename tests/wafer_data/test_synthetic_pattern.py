"""Anomalies of a printed pattern: they find its structures, and do to them what their name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wafer_data.synthetic import GENERATORS, bridge, missing_feature, pattern_shift, residue, stain
from wafer_data.synthetic.structures import find_structures

PITCH = 16
LINE, SPACE = 0.7, 0.3
NEW = ("residue", "pattern_shift", "bridge", "missing_feature")


def lines(size: int = 96, noise: float = 0.01, seed: int = 0) -> np.ndarray:
    """Upright bright lines, 4 of 16 pixels wide, on dark ground."""
    columns = np.where(np.arange(size) % PITCH < 4, LINE, SPACE)
    rng = np.random.default_rng(seed)
    return (columns[None] + rng.normal(0, noise, (size, size))).clip(0, 1).astype(np.float32)


def dots(size: int = 96) -> np.ndarray:
    """Dark discs of radius 4 on bright ground."""
    y, x = np.mgrid[:size, :size] % PITCH - PITCH / 2
    noise = np.random.default_rng(0).normal(0, 0.01, (size, size))
    return (np.where(x * x + y * y < 16, SPACE, LINE) + noise).clip(0, 1).astype(np.float32)


def on_line(size: int = 96) -> np.ndarray:
    return np.broadcast_to(np.arange(size) % PITCH < 4, (size, size))


CONTENT = {
    "constant": lambda h, w, rng: np.full((h, w), rng.random()),
    "black and white": lambda h, w, rng: (rng.random((h, w)) < 0.5).astype(float),
    "all white": lambda h, w, rng: np.ones((h, w)),
    "ramp": lambda h, w, rng: np.linspace(0, 1, w)[None] * np.ones((h, 1)),
    "faint noise": lambda h, w, rng: 0.5 + rng.normal(0, 1e-4, (h, w)),
    "stripes": lambda h, w, rng: 0.5 + 0.2 * np.sign(np.sin(np.arange(w) / 2))[None] * np.ones((h, 1)),
    "one bright pixel": lambda h, w, rng: (np.arange(h * w) == h).reshape(h, w),
}


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("content", CONTENT)
@given(seed=st.integers(0, 10_000), height=st.integers(32, 110), width=st.integers(32, 110))
@settings(max_examples=12, deadline=None)
def test_any_content_and_size_gets_an_exact_visible_change(
    name: str, content: str, seed: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    image = CONTENT[content](height, width, rng).clip(0, 1).astype(np.float32)
    changed, mask = GENERATORS[name](image, np.random.default_rng(seed), None)
    again, _ = GENERATORS[name](image, np.random.default_rng(seed), None)
    np.testing.assert_array_equal(changed, again)
    np.testing.assert_array_equal(changed != image, mask)
    assert changed.dtype == np.float32 and changed.min() >= 0 and changed.max() <= 1
    assert np.abs(changed - image).max() >= 1 / 255


class TestStructures:
    def test_lines_are_found_with_their_grey(self) -> None:
        for seed in range(10):
            found = find_structures(lines(), np.random.default_rng(seed))
            assert found is not None
            assert (found.grey, found.surroundings) == pytest.approx((LINE, SPACE), abs=0.08)
            top, left = found.corner
            height, width = found.inside.shape
            expected = on_line()[top : top + height, left : left + width]
            assert (found.inside == expected).mean() > 0.85  # a mean of 3 x 3 pixels moves edges a little

    def test_structures_are_what_covers_less(self) -> None:
        for seed in range(10):
            found = find_structures(dots(), np.random.default_rng(seed))
            assert found is not None and found.grey < found.surroundings and found.inside.mean() < 0.5

    def test_an_even_image_has_none(self) -> None:
        assert find_structures(np.full((64, 64), 0.4, np.float32), np.random.default_rng(0)) is None


class TestBridge:
    def test_it_joins_two_lines(self) -> None:
        """The changed pixels lie between lines and are bright; a column of space is interrupted by them."""
        image = lines()
        joined = 0
        for seed in range(40):
            changed, mask = bridge(image, np.random.default_rng(seed))
            assert (changed - image)[mask & ~on_line()].mean() > 0  # the lines' grey, in the gap
            bright = ndimage.uniform_filter(changed, 3) > (LINE + SPACE) / 2
            labels, _ = ndimage.label(bright)
            before, _ = ndimage.label(ndimage.uniform_filter(image, 3) > (LINE + SPACE) / 2)
            joined += labels.max() < before.max()
        assert joined > 15  # the others are fainter than the middle grey

    def test_its_grey_is_that_of_the_structures(self) -> None:
        image = lines(noise=0.0)
        strongest = max(bridge(image, np.random.default_rng(seed))[0][~on_line()].max() for seed in range(40))
        assert LINE - 0.1 < strongest <= LINE + 1e-6

    def test_it_stays_small(self) -> None:
        areas = [bridge(lines(), np.random.default_rng(seed))[1].mean() for seed in range(40)]
        assert max(areas) < 0.05


class TestMissingFeature:
    def test_a_dot_vanishes(self) -> None:
        image = dots()
        counts = []
        for seed in range(40):
            changed, mask = missing_feature(image, np.random.default_rng(seed))
            counts.append(ndimage.label(ndimage.uniform_filter(changed, 3) < 0.45)[1])
            assert (changed - image)[mask].mean() > 0  # the bright ground comes in its place
        whole = ndimage.label(ndimage.uniform_filter(image, 3) < 0.45)[1]
        assert sum(count == whole - 1 for count in counts) > 15  # the others are fainter, or dented only
        assert min(counts) >= whole - 1

    def test_a_line_is_interrupted(self) -> None:
        image = lines()
        for seed in range(20):
            changed, mask = missing_feature(image, np.random.default_rng(seed))
            assert (changed - image)[mask & on_line()].mean() < -0.02
            assert mask.mean() < 0.15


class TestPatternShift:
    def test_the_patch_is_the_image_from_a_few_pixels_away(self) -> None:
        """In the patch's middle, where nothing is blended, each value occurs in the image nearby."""
        image = np.random.default_rng(0).random((96, 96), dtype=np.float32)
        for seed in range(20):
            changed, mask = pattern_shift(image, np.random.default_rng(seed))
            inner = ndimage.binary_erosion(mask, iterations=3)
            if not inner.any():
                continue
            moves = [
                (dy, dx)
                for dy in range(-6, 7)
                for dx in range(-6, 7)
                if np.allclose(changed[inner], np.roll(image, (dy, dx), (0, 1))[inner], atol=1e-6)
            ]
            assert len(moves) == 1 and moves[0] != (0, 0)

    def test_lines_are_not_moved_along_themselves(self) -> None:
        image = lines(noise=0.0)
        strong = [np.abs(pattern_shift(image, np.random.default_rng(s))[0] - image).max() for s in range(60)]
        assert np.mean(np.array(strong) > 0.2) > 0.95


class TestResidue:
    def test_it_is_fainter_than_a_stain_and_has_a_texture_of_its_own(self) -> None:
        image = np.full((128, 128), 0.5, np.float32)
        image[::2, ::2] += 0.1  # a spread to scale by
        roughness = {}
        for name, generator in (("residue", residue), ("stain", stain)):
            ratios = []
            for seed in range(40):
                changed, _ = generator(image, np.random.default_rng(seed))
                change = changed - image
                core = ndimage.binary_erosion(change != 0, iterations=4)
                if core.sum() > 50:
                    fine = change - ndimage.gaussian_filter(change, 3)
                    ratios.append(fine[core].std() / np.abs(change[core]).mean())
            roughness[name] = np.median(ratios)
        assert roughness["residue"] > 1.5 * roughness["stain"]

    def test_it_veils_the_pattern(self) -> None:
        """Bright lines are brightened less than dark spaces, or darkened more."""
        image = lines()
        gain = []
        for seed in range(40):
            changed, mask = residue(image, np.random.default_rng(seed))
            change = changed - image
            if min((mask & on_line()).sum(), (mask & ~on_line()).sum()) > 30:
                gain.append(change[mask & on_line()].mean() - change[mask & ~on_line()].mean())
        assert np.mean(gain) < -0.01
