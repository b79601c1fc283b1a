"""Synthetic micrographs: reproducible one by one, with exact masks and defects that can be seen."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import ndimage

from wafer_data.micrograph import (
    DEFECT_TYPES,
    KNOWN_TYPES,
    NOVEL_TYPES,
    MicrographConfig,
    defective_image,
    draw_micrograph,
    iterate_micrographs,
    normal_image,
)
from wafer_data.micrograph.dataset import to_bits

LAYOUTS = ("line_space", "contacts", "logic")
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_type = pytest.mark.parametrize("kind", DEFECT_TYPES)


def check(normal: np.ndarray, image: np.ndarray, mask: np.ndarray) -> None:
    """The mask holds exactly the pixels that differ, as floats and in files of 8 and 16 bits."""
    assert image.dtype == np.float32 and mask.dtype == bool
    assert image.min() >= 0 and image.max() <= 1
    np.testing.assert_array_equal(image != normal, mask)
    for bits in (8, 16):
        np.testing.assert_array_equal(to_bits(image, bits) != to_bits(normal, bits), mask)


class TestNormalImages:
    @every_layout
    @pytest.mark.parametrize("size", [64, 127, 256, 512])
    def test_shape_type_and_range(self, layout: str, size: int) -> None:
        image = normal_image(MicrographConfig(layout=layout, size=size), 0, 0)
        assert image.shape == (size, size) and image.dtype == np.float32
        assert image.min() >= 0 and image.max() <= 1
        assert 0.2 < image.mean() < 0.6 and image.std() > 0.06
        assert ((image == 0) | (image == 1)).mean() < 0.01  # neither black nor white swallows anything

    @every_layout
    def test_seed_and_index_decide(self, layout: str) -> None:
        config = MicrographConfig(layout=layout, size=64)
        first = normal_image(config, 1, 7)
        normal_image(config, 1, 8)  # what is drawn in between does not matter
        np.testing.assert_array_equal(first, normal_image(config, 1, 7))
        assert (first != normal_image(config, 1, 8)).mean() > 0.9
        assert (first != normal_image(config, 2, 7)).mean() > 0.9

    def test_another_process_with_other_threads_makes_the_same(self) -> None:
        code = (
            "import hashlib; from wafer_data.micrograph import *;"
            "c = MicrographConfig(layout='logic', size=96); "
            "print(hashlib.sha256(b''.join(draw_micrograph(c, 3, i, t).image.tobytes()"
            " for i, t in enumerate(('good',) + DEFECT_TYPES))).hexdigest())"
        )
        hashes = {
            subprocess.run(
                [sys.executable, "-c", code],
                env={"OMP_NUM_THREADS": threads, "PATH": ""},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for threads in ("1", "2")
        }
        assert len(hashes) == 1

    @every_layout
    def test_images_are_nearly_aligned_but_not_quite(self, layout: str) -> None:
        """Two clean images differ by the jitter, at most 2 x jitter; without jitter they are aligned."""

        def correlations(jitter: float) -> list[float]:
            still = {"noise": 0.002, "roughness": 0.0, "width_variation": 0.0, "drift": 0.0, "blur_low": 1.2}
            config = MicrographConfig.model_validate(
                {"layout": layout, "size": 128, "jitter": jitter} | still
            )
            images = [normal_image(config, 0, i) for i in range(5)]
            return [float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in pairwise(images)]

        assert min(correlations(0.0)) > 0.98
        assert max(correlations(4.0)) < 0.97

    def test_the_iterator_gives_the_same_images(self) -> None:
        config = MicrographConfig(size=64)
        drawn = list(iterate_micrographs(config, 5, range(3, 6), "bridge"))
        assert [micrograph.index for micrograph in drawn] == [3, 4, 5]
        for micrograph in drawn:
            image, mask = defective_image(config, 5, micrograph.index, "bridge")
            np.testing.assert_array_equal(micrograph.image, image)
            np.testing.assert_array_equal(micrograph.mask, mask)


class TestDefects:
    @every_type
    @every_layout
    def test_only_the_mask_differs_from_the_image_without_defect(self, layout: str, kind: str) -> None:
        for size in (64, 160):
            config = MicrographConfig(layout=layout, size=size)
            for index in range(4):
                check(normal_image(config, 0, index), *defective_image(config, 0, index, kind))

    @every_type
    @given(
        seed=st.integers(0, 2**40),
        index=st.integers(0, 2**33),
        layout=st.sampled_from(LAYOUTS),
        size=st.integers(32, 130),
        noise=st.floats(0.002, 0.06),
        fill=st.floats(0.35, 0.65),
        jitter=st.floats(0, 16),
        roughness=st.floats(0, 1.5),
        drift=st.floats(0, 0.1),
    )
    @settings(max_examples=12, deadline=None)
    def test_masks_are_exact_for_any_configuration(
        self, kind: str, seed: int, index: int, **settings: float | str
    ) -> None:
        config = MicrographConfig.model_validate(settings)
        image, mask = defective_image(config, seed, index, kind)
        check(normal_image(config, seed, index), image, mask)
        assert mask.any()
        np.testing.assert_array_equal(image, defective_image(config, seed, index, kind)[0])

    @every_type
    @every_layout
    def test_a_person_can_see_it_and_severities_vary(self, layout: str, kind: str) -> None:
        config = MicrographConfig(layout=layout, size=160)
        found = [draw_micrograph(config, 0, index, kind) for index in range(24)]
        severities = [micrograph.severity for micrograph in found if micrograph.severity]
        assert len(severities) == 24
        assert min(severity.visible_px for severity in severities) >= 12
        contrasts = [severity.contrast_to_noise for severity in severities]
        assert min(contrasts) >= 3
        if kind not in ("pattern_shift", "missing_feature"):  # those are there or not
            assert max(contrasts) > 1.7 * min(contrasts)
        assert max(s.area_px for s in severities) > 1.2 * min(s.area_px for s in severities)
        for micrograph, severity in zip(found, severities, strict=True):
            assert micrograph.mask is not None and severity.area_px == micrograph.mask.sum()
            assert severity.area_px < 0.5 * config.size**2

    @every_type
    def test_the_reported_contrast_is_that_of_the_image(self, kind: str) -> None:
        """Reference: the mean over many pixels of |image - normal| / noise, from the pixels themselves."""
        config = MicrographConfig(size=160, line_noise=0, drift=0)
        for index in range(6):
            micrograph = draw_micrograph(config, 0, index, kind)
            assert micrograph.mask is not None and micrograph.severity is not None
            normal = normal_image(config, 0, index)
            change = np.abs(micrograph.image - normal)[micrograph.mask]
            noise = config.noise * np.sqrt(2 * ndimage.gaussian_filter(normal, 1)[micrograph.mask])
            top = max(12, int(np.ceil(0.1 * change.size)))
            measured = np.sort(change / noise)[-top]
            assert measured == pytest.approx(micrograph.severity.contrast_to_noise, rel=0.3)

    def test_known_and_novel_types_are_apart(self) -> None:
        assert len(KNOWN_TYPES) == 5 and len(NOVEL_TYPES) == 2
        assert not set(KNOWN_TYPES) & set(NOVEL_TYPES) and set(DEFECT_TYPES) == {*KNOWN_TYPES, *NOVEL_TYPES}

    def test_the_defect_does_not_depend_on_other_types_and_types_differ(self) -> None:
        config = MicrographConfig(size=96)
        masks = [defective_image(config, 0, 0, kind)[1] for kind in DEFECT_TYPES]
        for a, b in pairwise(masks):
            assert (a != b).any()

    def test_an_unknown_type_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no such defect type: dent"):
            defective_image(MicrographConfig(size=64), 0, 0, "dent")


class TestConfig:
    def test_small_images_get_a_smaller_pitch(self) -> None:
        assert MicrographConfig(size=256).pitch_px == 20
        assert MicrographConfig(size=40).pitch_px == 10

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"size": 64, "pitch": 30.0}, "fewer than three pitches"),
            ({"blur_low": 1.5, "blur_high": 1.0}, "blur_low must not exceed"),
            ({"size": 32, "blur_high": 2.0}, "wipes out a pattern of 8 pixels pitch"),
            ({"size": 16}, "greater than or equal to 32"),
            ({"layout": "mixed"}, "line_space"),
            ({"sise": 64}, "Extra inputs"),
        ],
    )
    def test_impossible_settings_are_refused(self, settings: dict, message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            MicrographConfig.model_validate(settings)
