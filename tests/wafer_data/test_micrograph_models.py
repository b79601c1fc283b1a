"""The models behind a micrograph: geometry, roughness, illumination, noise. Checked against their formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from wafer_data.micrograph import MicrographConfig
from wafer_data.micrograph.change import View
from wafer_data.micrograph.fields import correlated_field, illumination
from wafer_data.micrograph.geometry import Box
from wafer_data.micrograph.pattern_defects import bridge, missing_feature
from wafer_data.micrograph.scene import draw_scene, layout_of

LAYOUTS = ("line_space", "contacts", "logic")
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


class TestRoughness:
    @pytest.mark.parametrize("length", [4.0, 10.0, 25.0])
    def test_variance_is_one_and_the_autocorrelation_is_gaussian(self, length: float) -> None:
        fields = [correlated_field(200, length, np.random.default_rng(seed)) for seed in range(60)]
        stack = np.stack(fields).astype(float)
        assert stack.var() == pytest.approx(1, abs=0.04)
        for lag in (int(length / 2), int(length), int(2 * length)):
            expected = np.exp(-((lag / length) ** 2))
            for moved in (stack[:, lag:] * stack[:, :-lag], stack[:, :, lag:] * stack[:, :, :-lag]):
                assert moved.mean() == pytest.approx(expected, abs=0.05)

    def test_the_variance_is_the_same_everywhere(self) -> None:
        stack = np.stack([correlated_field(60, 10, np.random.default_rng(seed)) for seed in range(600)])
        spread = stack.std(axis=0)
        assert spread.min() > 0.85 and spread.max() < 1.15  # sampling error of 600 draws: 3 %

    def test_edges_of_lines_follow_the_configuration(self) -> None:
        """Where the signed distance crosses zero, an edge lies off its place by `roughness`."""
        config = MicrographConfig(size=256, roughness=0.8, width_variation=0, jitter=0)
        edges = []
        for seed in range(12):
            distance = draw_scene(config, np.random.default_rng(seed)).pattern()
            # The left edge of line 6 has its ideal place at (6 + 1/2) * 20 - 5 = 125.
            window = distance[:, 119:132]
            first = (window > 0).argmax(axis=1)
            rows = np.arange(256)
            low, high = window[rows, first - 1], window[rows, first]
            edges.append(119 + first - high / (high - low) - 125)
        assert np.std(edges) == pytest.approx(0.8, abs=0.12)
        assert abs(np.mean(edges)) < 0.25


class TestImaging:
    def test_illumination_is_a_quadratic_of_the_stated_strength(self) -> None:
        fields = np.stack([illumination(65, 0.03, np.random.default_rng(seed)) for seed in range(2000)])
        assert np.sqrt(np.mean((fields - 1.0) ** 2)) == pytest.approx(0.03, rel=0.08)
        assert np.abs(np.diff(fields[0].astype(float), n=3, axis=0)).max() < 1e-5

    def test_noise_variance_grows_with_the_signal(self) -> None:
        config = MicrographConfig(size=256, noise=0.04, line_noise=0)
        scene = draw_scene(config, np.random.default_rng(0))
        for grey in (0.2, 0.5, 0.8):
            image = scene.expose(np.full((256, 256), grey, np.float32))
            assert image.std() == pytest.approx(0.04 * np.sqrt(grey / 0.5), rel=0.02)
            assert image.mean() == pytest.approx(grey, abs=0.002)

    def test_defocus_widens_edges(self) -> None:
        sharp, soft = (
            draw_scene(MicrographConfig(blur_low=b, blur_high=b), np.random.default_rng(0))
            for b in (0.4, 2.0)
        )
        grey = sharp.layout.tone.grey(sharp.pattern())
        steepest = [np.abs(np.diff(scene.signal(grey), axis=1)).max() for scene in (sharp, soft)]
        assert steepest[1] < 0.5 * steepest[0]


class TestGeometry:
    @every_layout
    @given(dy=st.floats(-5, 5), dx=st.floats(-5, 5))
    @settings(max_examples=15, deadline=None)
    def test_distances_are_distances(self, layout: str, dy: float, dx: float) -> None:
        """A signed distance changes by at most 1 a pixel (sqrt 2 along a diagonal)."""
        distance = layout_of(MicrographConfig(layout=layout, size=96, jitter=5)).distance((dy, dx))
        assert distance.shape == (96, 96) and distance.dtype == np.float32
        assert np.abs(np.diff(distance, axis=0)).max() < 1.01
        assert np.abs(np.diff(distance, axis=1)).max() < 1.01
        assert (distance > 0).any() and (distance < 0).any()

    @every_layout
    def test_an_offset_moves_the_pattern(self, layout: str) -> None:
        pattern = layout_of(MicrographConfig(layout=layout, size=96, jitter=8))
        still, moved = pattern.distance((0, 0)), pattern.distance((3, -2))
        np.testing.assert_allclose(moved[3:, :-2], still[:-3, 2:], atol=1e-4)

    @pytest.mark.parametrize(("layout", "share"), [("line_space", 0.4), ("contacts", np.pi / 4 * 0.16)])
    def test_structures_cover_what_the_fill_says(self, layout: str, share: float) -> None:
        config = MicrographConfig(layout=layout, size=400, fill=0.4)
        assert (layout_of(config).distance((0.3, 0.3)) > 0).mean() == pytest.approx(share, abs=0.02)

    @pytest.mark.parametrize("size", [32, 48, 64])
    def test_every_small_logic_block_shows_a_gap_and_a_wire(self, size: int) -> None:
        for seed in range(20):
            block = layout_of(MicrographConfig(layout="logic", size=size, pattern_seed=seed))
            rng = np.random.default_rng(0)
            assert isinstance(block.feature(rng, (0, 0)), Box)
            assert block.gap(rng, (0, 0)).box.right > 0

    def test_the_pattern_seed_is_the_product(self) -> None:
        first, second = (
            layout_of(MicrographConfig(layout="logic", pattern_seed=seed)).distance((0, 0)) for seed in (0, 1)
        )
        assert ((first > 0) != (second > 0)).mean() > 0.2

    @every_layout
    @given(seed=st.integers(0, 10_000), dy=st.floats(-3, 3), dx=st.floats(-3, 3))
    @settings(max_examples=25, deadline=None)
    def test_a_gap_lies_between_two_structures(self, layout: str, seed: int, dy: float, dx: float) -> None:
        pattern = layout_of(MicrographConfig(layout=layout, size=120, jitter=3))
        distance = pattern.distance((dy, dx))
        gap = pattern.gap(np.random.default_rng(seed), (dy, dx))
        middle = np.array([gap.box.top + gap.box.bottom, gap.box.left + gap.box.right]) / 2
        length = gap.box.bottom - gap.box.top if gap.upright else gap.box.right - gap.box.left
        step = np.array([1.0, 0.0]) if gap.upright else np.array([0.0, 1.0])

        def at(place: np.ndarray) -> float:
            return float(ndimage.map_coordinates(distance, place[:, None], order=1, mode="nearest")[0])

        assert at(middle) == pytest.approx(-length / 2, abs=0.8)  # free in its middle
        for sign in (-1, 1):
            assert at(middle + sign * (length / 2 + 2) * step) > 0.5  # a structure at either end


class TestPatternDefects:
    """On a pattern without roughness, what a defect does to the number of connected structures."""

    @staticmethod
    def views(layout: str) -> list[View]:
        config = MicrographConfig(layout=layout, size=128, roughness=0, width_variation=0)
        return [View.of(draw_scene(config, np.random.default_rng(seed))) for seed in range(15)]

    @staticmethod
    def structures(view: View, change: np.ndarray) -> int:
        """Connected structures, as the grey levels show them."""
        tone = view.scene.layout.tone
        side = 1 if tone.inside > tone.outside else -1
        grey = side * (view.ideal + change)
        return int(ndimage.label(grey > side * (tone.inside + tone.outside) / 2)[1])

    @every_layout
    def test_a_bridge_joins(self, layout: str) -> None:
        fewer = 0
        for seed, view in enumerate(self.views(layout)):
            change = bridge(view, np.random.default_rng(seed))
            grey = np.where(change.footprint, change.grey, 0)
            fewer += self.structures(view, grey) < self.structures(view, np.zeros_like(grey))
            assert self.structures(view, grey) <= self.structures(view, np.zeros_like(grey))
        # In layout logic the two may already be joined elsewhere.
        assert fewer == 15 if layout != "logic" else fewer >= 8

    def test_a_missing_contact_is_gone(self) -> None:
        for seed, view in enumerate(self.views("contacts")):
            change = missing_feature(view, np.random.default_rng(seed))
            grey = np.where(change.footprint, change.grey, 0)
            assert self.structures(view, grey) == self.structures(view, np.zeros_like(grey)) - 1
            remaining = (view.ideal + grey)[change.footprint]
            assert remaining.min() > view.scene.layout.tone.outside - 0.05  # no trace is left of it

    def test_a_missing_piece_interrupts_a_line(self) -> None:
        more = 0
        for seed, view in enumerate(self.views("line_space")):
            change = missing_feature(view, np.random.default_rng(seed))
            grey = np.where(change.footprint, change.grey, 0)
            more += self.structures(view, grey) > self.structures(view, np.zeros_like(grey))
        assert more >= 13  # a piece at the border takes the line's end with it

    @every_layout
    @pytest.mark.parametrize("defect", [bridge, missing_feature])
    def test_nothing_else_changes(self, layout: str, defect) -> None:
        """Outside its footprint a defect of the pattern changes next to nothing."""
        for seed, view in enumerate(self.views(layout)):
            change = defect(view, np.random.default_rng(seed))
            assert np.abs(change.grey[~change.footprint]).max() < 0.5 * np.abs(change.grey).max()
            assert np.abs(change.grey[~change.footprint]).mean() < 1e-3
