"""The quality gate: what it measures, what it refuses, what it lets through."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from router.gate import FIGURES, QualityFigures, QualityGate, fit_gate, measure_quality
from router.gate_figures import measure_image, measure_images
from wafer_data.errors import InputError


def wafer(seed: int, side: int = 256) -> np.ndarray:
    """Textured grey image: smooth background, fine grain, some camera noise; float32 on the 8-bit grid."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.normal(0, 1, (9, 9)).astype(np.float32)).resize((side, side), 3)
    grain = Image.fromarray(rng.normal(0, 1, (side // 3, side // 3)).astype(np.float32)).resize(
        (side, side), 2
    )
    brightness = rng.uniform(0.45, 0.55)
    grey = (
        brightness + 0.05 * np.asarray(coarse) + 0.04 * np.asarray(grain) + rng.normal(0, 0.01, (side, side))
    )
    return (np.rint(np.clip(grey, 0, 1) * 255) / 255).astype(np.float32)


def blurred(grey: np.ndarray, radius: float, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    picture = Image.fromarray(np.rint(grey * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(radius))
    noisy = np.asarray(picture) / 255 + np.random.default_rng(seed).normal(0, noise, grey.shape)
    return (np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> QualityGate:
    return fit_gate([measure_quality(wafer(seed)) for seed in range(60)])


class TestMeasureQuality:
    def test_figures_follow_their_definition(self) -> None:
        grey = wafer(1)
        grey[:16], grey[16:32] = 0.0, 1.0
        binned = grey.astype(np.float64).reshape(64, 4, 64, 4).mean((1, 3))

        def laplacian(x: np.ndarray) -> np.ndarray:
            return 4 * x[1:-1, 1:-1] - x[:-2, 1:-1] - x[2:, 1:-1] - x[1:-1, :-2] - x[1:-1, 2:]

        noise = np.mean(laplacian(grey.astype(np.float64))[::16] ** 2) * 1.1 / 16
        groups = binned.reshape(8, 8, 64)[:, :4]
        mean, rows = groups.mean(), grey[::13].astype(np.float64)
        figures = measure_quality(grey)
        assert figures.mean == pytest.approx(mean, rel=1e-5)
        assert figures.std == pytest.approx(np.sqrt(np.mean((rows - mean) ** 2)), rel=1e-4)
        assert figures.black_share == 2 / 20  # rows 0 and 13 of the sixteen black ones
        assert figures.white_share == 1 / 20
        expected = (np.mean([laplacian(group) ** 2 for group in groups]) - noise) / mean**2
        assert figures.sharpness == pytest.approx(expected, rel=1e-3)
        np.testing.assert_allclose(figures.binned, binned, rtol=1e-5, atol=1e-6)
        assert measure_quality(grey, binned=False).binned is None

    def test_the_profile_is_the_typical_detail_at_each_size(self) -> None:
        grey = wafer(1)
        half = grey.astype(np.float64).reshape(128, 2, 128, 2).mean((1, 3)).reshape(8, 16, 128)[:, :8]
        binned = grey.astype(np.float64).reshape(64, 4, 64, 4).mean((1, 3)).reshape(8, 8, 64)[:, :4]
        middle = np.median(binned.reshape(8, 4, 8, 8).mean((1, 3)))
        down = np.median([np.mean((group[0::2] - group[1::2]) ** 2) for group in half])
        profile = measure_quality(grey).profile
        assert profile is not None
        assert profile[0] == pytest.approx(np.log(middle), abs=1e-5)
        assert profile[1] == pytest.approx(0.5 * np.log(down / middle**2 + 1e-7), abs=1e-4)

    @settings(max_examples=20, deadline=None)
    @given(gain=st.floats(0.01, 1.5))
    def test_sharpness_does_not_depend_on_gain(self, gain: float) -> None:
        grey = wafer(2)
        changed = grey * np.float32(gain)
        assert measure_quality(changed).sharpness == pytest.approx(measure_quality(grey).sharpness, rel=1e-3)

    def test_a_strong_defect_does_not_lower_sharpness(self) -> None:
        for level in (0.0, 1.0):
            grey = wafer(6)
            sharp = measure_quality(grey).sharpness
            grey[100:150, 100:150] = level
            assert measure_quality(grey).sharpness > 0.8 * sharp

    def test_blur_lowers_sharpness_with_and_without_camera_noise(self) -> None:
        grey = wafer(3)
        sharp = measure_quality(grey).sharpness
        for noise in (0.0, 0.01, 0.02):
            assert measure_quality(blurred(grey, 6, noise)).sharpness < 0.2 * sharp

    def test_pure_noise_has_no_sharpness(self) -> None:
        noise = np.random.default_rng(0).normal(0.5, 0.02, (256, 256)).astype(np.float32)
        assert measure_quality(noise).sharpness < 0.01 * measure_quality(wafer(0)).sharpness

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_single_pixel_that_is_not_finite_makes_all_figures_nan(self, bad: float) -> None:
        grey = wafer(4)
        grey[100, 100] = bad
        assert all(np.isnan(getattr(measure_quality(grey), name)) for name in FIGURES)

    @pytest.mark.parametrize("shape", [(12, 12), (13, 17), (255, 130)])
    def test_any_shape_from_12_pixels_on(self, shape: tuple[int, int]) -> None:
        assert np.isfinite(measure_quality(wafer(5)[: shape[0], : shape[1]]).sharpness)

    @pytest.mark.parametrize(
        "wrong", [np.zeros((11, 40), np.float32), np.zeros((40, 40), np.uint8), np.zeros((1, 40, 40))]
    )
    def test_another_shape_or_type_is_a_programming_error(self, wrong: np.ndarray) -> None:
        with pytest.raises(ValueError, match="2-D float"):
            measure_quality(wrong)


class TestMeasuredTogether:
    @pytest.mark.parametrize(
        ("shape", "count"), [((256, 256), 16), ((256, 256), 1), ((12, 40), 3), ((33, 70), 5), ((100, 129), 2)]
    )
    @pytest.mark.parametrize("binned", [True, False])
    def test_each_image_has_the_figures_that_it_has_alone_to_the_bit(self, shape, count, binned) -> None:
        images = [wafer(seed)[: shape[0], : shape[1]] for seed in range(count)]
        images[0] = np.full(shape, 0.25, np.float32)
        for image, found in zip(images, measure_images(images, binned=binned), strict=True):
            assert _values(found) == _values(measure_quality(image, binned=binned))

    def test_colour_and_images_of_several_sizes_are_measured_one_by_one(self) -> None:
        colour = [np.stack([wafer(seed), wafer(seed + 1), wafer(seed + 2)]) for seed in range(2)]
        for images in (colour, [wafer(0), wafer(1, 128)], []):
            expected = [_values(measure_image(image)) for image in images]
            assert [_values(found) for found in measure_images(images)] == expected


def _values(figures: QualityFigures) -> list[object]:
    arrays = (figures.profile, figures.cells, figures.binned)
    return [getattr(figures, name) for name in FIGURES] + [
        None if array is None else (array.dtype, array.shape, array.tobytes()) for array in arrays
    ]


class TestFittedGate:
    def test_fresh_normal_images_pass(self, fitted: QualityGate) -> None:
        assert [seed for seed in range(1000, 1100) if fitted.reasons(measure_quality(wafer(seed)))] == []

    def test_local_defects_pass_on_to_the_models(self, fitted: QualityGate) -> None:
        for seed in range(20):
            grey = wafer(seed)
            row, column = np.random.default_rng(seed).integers(0, 220, 2)
            grey[row : row + 30, column : column + 30] = 0.0 if seed % 2 else 1.0
            assert fitted.reasons(measure_quality(grey)) == []

    @pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 1.0])
    def test_constant_images_are_refused(self, fitted: QualityGate, level: float) -> None:
        (reason,) = fitted.reasons(measure_quality(np.full((256, 256), level, np.float32)))
        assert "constant" in reason

    def test_constant_images_are_refused_even_by_a_gate_that_allows_everything(self) -> None:
        gate = QualityGate(dict.fromkeys(FIGURES, (-1e9, 1e9)), fitted_on=0)
        assert gate.reasons(measure_quality(np.full((256, 256), 0.3, np.float32)))
        assert gate.reasons(QualityFigures(*[float("nan")] * 5))

    def test_a_blank_noisy_image_is_refused(self, fitted: QualityGate) -> None:
        for noise in (0.005, 0.02, 0.05):
            rng = np.random.default_rng(1)
            blank = np.clip(rng.normal(0.5, noise, (256, 256)), 0, 1).astype(np.float32)
            assert fitted.reasons(measure_quality(blank))

    @pytest.mark.parametrize("noise", [0.0, 0.01])
    def test_heavily_blurred_images_are_refused(self, fitted: QualityGate, noise: float) -> None:
        for seed in range(20):
            reasons = fitted.reasons(measure_quality(blurred(wafer(seed), 6, noise, seed)))
            assert any("focus" in reason for reason in reasons)

    def test_saturated_and_dark_images_are_refused(self, fitted: QualityGate) -> None:
        for seed in range(20):
            saturated = np.clip(wafer(seed) * 2.5, 0, 1).astype(np.float32)
            assert any("saturated" in reason for reason in fitted.reasons(measure_quality(saturated)))
            dark = (wafer(seed) * 0.3).astype(np.float32)
            assert any("dark" in reason for reason in fitted.reasons(measure_quality(dark)))

    def test_survives_json(self, fitted: QualityGate) -> None:
        again = QualityGate.from_dict(json.loads(json.dumps(fitted.to_dict())))
        assert again == fitted


class TestFitGate:
    def test_ranges_start_at_the_order_statistic_that_the_sample_carries(self) -> None:
        rng = np.random.default_rng(0)

        def figures(count: int) -> list[QualityFigures]:
            return [QualityFigures(mean, 0.2, 0.0, 0.0, 1.0) for mean in rng.uniform(0.3, 0.4, count)]

        # share (n + 1) / 7 = 1.25 -> the smallest; 5.0 -> the fifth smallest.
        for count, order in ((874, 1), (3499, 5)):
            sample = figures(count)
            expected = sorted(figure.mean for figure in sample)[order - 1] / 1.1
            assert fit_gate(sample).ranges["mean"][0] == expected

    def test_few_images_leave_a_wide_margin(self) -> None:
        rng = np.random.default_rng(0)
        few = [QualityFigures(mean, 0.2, 0.0, 0.0, 1.0) for mean in rng.uniform(0.3, 0.4, 99)]
        assert fit_gate(few).ranges["mean"][0] == min(figure.mean for figure in few) / 2
        assert fit_gate(few).appearance is None

    def test_refuses_fewer_than_one_percent_of_any_distribution_by_order_statistics_alone(self) -> None:
        # Heavy tails, no structure: the margins hardly help, the rank of the bounds must.
        rng = np.random.default_rng(1)

        def draw(count: int) -> list[QualityFigures]:
            tail = rng.standard_t(2, (count, 5))
            shares = 1 / (1 + np.exp(-tail[:, :3]))
            std, sharpness = np.exp(np.minimum(tail[:, 3:], 20)).T + 0.01
            columns = (shares[:, 0], std, shares[:, 1], shares[:, 2], sharpness)
            return [QualityFigures(*row) for row in zip(*columns, strict=True)]

        rates = []
        for _ in range(30):
            gate = fit_gate(draw(699))
            rates.append(np.mean([bool(gate.reasons(figure)) for figure in draw(300)]))
        assert np.mean(rates) <= 0.01

    def test_too_few_images(self) -> None:
        with pytest.raises(InputError, match="at least 10 normal images, got 3"):
            fit_gate([measure_quality(wafer(seed)) for seed in range(3)])

    def test_a_constant_image_among_the_normals(self) -> None:
        figures = [measure_quality(wafer(seed)) for seed in range(12)]
        figures[7] = measure_quality(np.full((64, 64), 0.5, np.float32))
        with pytest.raises(InputError, match="number 7 is constant"):
            fit_gate(figures)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "schema 2 is not supported.*calibrate again"),
        ({"ranges": {}}, "must hold exactly"),
        ({"fitted_on": -1}, "number of images"),
        ({"extra": 1}, "none but"),
        ({"ranges": dict.fromkeys(FIGURES, (1.0, 0.0))}, "low <= high"),
        ({"ranges": dict.fromkeys(FIGURES, (0.0, float("nan")))}, "low <= high"),
        ({"ranges": dict.fromkeys(FIGURES, ("0", 1))}, r"\[low, high\]"),
    ],
)
def test_a_malformed_gate_is_refused_with_the_field(fitted: QualityGate, change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        QualityGate.from_dict(fitted.to_dict() | change)
