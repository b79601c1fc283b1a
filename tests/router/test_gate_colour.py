"""The quality gate and colour: figures of the luminance, uninformative pixels only where all channels are constant."""

import numpy as np
import pytest

from router.gate import QualityGate, fit_gate_images
from router.gate_figures import measure_image, measure_quality
from router.gate_mask import MaskFit, PixelMask
from router.route_scores import look
from wafer_data.errors import InputError
from wafer_data.imaging.planes import LUMA, luminance

SIDE = 64


def wafer(seed: int, frame: float = 0.2) -> np.ndarray:
    """(3, SIDE, SIDE) noise on lines, in a frame of one colour."""
    rng = np.random.default_rng(seed)
    lines = 0.5 + 0.1 * np.sin(np.arange(SIDE) / 3)[None, :]
    image = lines + rng.normal(0, 0.04, (SIDE, SIDE)) + np.array([0.1, 0, -0.1])[:, None, None]
    image[:, :8] = np.array([frame, 0.1, 0.3])[:, None, None]
    return image.clip(0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def gate() -> QualityGate:
    return fit_gate_images(wafer(seed) for seed in range(120))


def test_figures_are_those_of_the_luminance() -> None:
    found, expected = measure_image(wafer(0)), measure_quality(luminance(wafer(0)))
    assert found == expected
    assert found.binned is not None and found.binned.shape == (3, SIDE // 4, SIDE // 4)


def test_fresh_images_are_admitted_and_dark_or_blurred_ones_refused(gate: QualityGate) -> None:
    refused = sum(bool(look(gate, wafer(1000 + seed)).reasons) for seed in range(20))
    assert refused <= 2
    assert "too dark" in " ".join(look(gate, wafer(7) * np.float32(0.2)).reasons)
    flat = np.broadcast_to(wafer(7).mean((1, 2), keepdims=True), (3, SIDE, SIDE)).astype(np.float32)
    assert look(gate, flat).reasons
    broken = wafer(7)
    broken[1, 30, 30] = np.nan
    assert "not finite" in look(gate, broken).reasons[0]


def test_a_constant_frame_is_masked_and_another_hue_there_is_a_reason(gate: QualityGate) -> None:
    assert gate.mask is not None and gate.mask.masked[:2].all() and not gate.mask.masked[2:].any()
    strange = wafer(7)
    # more red, less green: the luminance of the frame stays what it is
    strange[0, :4, :8] += 0.15
    strange[1, :4, :8] -= np.float32(0.15 * LUMA[0] / LUMA[1])
    assert "where every normal image is constant" in " ".join(look(gate, strange).reasons)


def test_networks_see_the_frame_at_its_colour(gate: QualityGate) -> None:
    image = wafer(7)
    seen = look(gate, image).seen
    assert seen.shape == image.shape
    np.testing.assert_allclose(seen[:, 0, 0], [0.2, 0.1, 0.3], atol=1e-6)
    np.testing.assert_array_equal(seen[:, 8:], image[:, 8:])


def test_pixels_of_constant_luminance_and_changing_hue_are_informative() -> None:
    fit = MaskFit()
    for seed in range(60):
        red = np.random.default_rng(seed).uniform(-0.1, 0.1, (SIDE, SIDE))
        fit.add(
            np.stack([0.5 + red, 0.5 - red * LUMA[0] / LUMA[1], np.full_like(red, 0.5)]).astype(np.float32)
        )
    assert fit.mask() is None


def test_a_mask_is_read_back_as_it_was_written(gate: QualityGate) -> None:
    assert gate.mask is not None
    assert PixelMask.from_dict(gate.mask.to_dict()) == gate.mask
    assert QualityGate.from_dict(gate.to_dict()) == gate
    damaged = gate.mask.to_dict() | {"greys": gate.mask.to_dict()["greys"][:2]}
    with pytest.raises(InputError, match="damaged"):
        PixelMask.from_dict(damaged)


def test_an_image_of_the_other_kind_is_no_image_of_the_mask(gate: QualityGate) -> None:
    assert "grey or colour" in " ".join(gate.reasons(measure_image(wafer(7)[0])))
