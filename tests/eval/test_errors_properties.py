"""What is measured on a single defect, and which failure mode follows from it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.errors.by_type import TypedDefects, extremes, type_rows
from eval.errors.findings import Error
from eval.errors.modes import RULES, mode_of
from eval.errors.operating_point import ALONE, ESCALATED, NEVER, REFUSED
from eval.errors.properties import DefectFigures, HeatFigures, measure_defect, measure_heat

CELL = 1 / 256
LARGE = DefectFigures(area=0.05, contrast=-2.0, texture=1.0, edge_distance=0.3)


def error(kind: str = "missed", **more) -> Error:
    plain = Error(
        index=0,
        path="test/crack/0.png",
        type="crack",
        kind=kind,
        decision="PASS" if kind == "missed" else "REVIEW",
        route=NEVER if kind == "missed" else ESCALATED,
        student="lowres" if kind == "missed" else "full",
        margin=-2.0 if kind == "missed" else 2.0,
        full_flags=False,
        quality={},
        unusual=[],
        refused_because=[],
        similarity=0.5,
        similarity_rank=0.4,
        nearest_normal="train/good/1.png",
        defect=LARGE if kind == "missed" else None,
        heat=HeatFigures(peak=2.0, peak_edge_distance=0.4, hot_share=0.3),
    )
    return replace(plain, **more)


class TestDefects:
    def test_a_square_on_noise_has_the_area_and_contrast_that_it_was_given(self):
        rng = np.random.default_rng(0)
        grey = (0.5 + 0.05 * rng.normal(size=(128, 128))).astype(np.float32)
        mask = np.zeros((128, 128), bool)
        mask[60:80, 40:60] = True
        grey[mask] += 0.1
        found = measure_defect(grey, mask)
        assert found.area == 400 / 128**2
        assert found.contrast == pytest.approx(2.0, abs=0.2)
        assert found.texture == pytest.approx(1.0, abs=0.1)
        assert found.edge_distance == pytest.approx(50 / 128)
        assert not found.at_edge

    def test_a_mask_over_the_whole_image_has_no_surround(self):
        found = measure_defect(np.full((32, 32), 0.5, np.float32), np.ones((32, 32), bool))
        assert (found.area, found.contrast, found.texture) == (1.0, None, None)

    def test_no_mask_and_an_empty_one_have_no_figures(self):
        grey = np.zeros((32, 32), np.float32)
        assert measure_defect(grey, None) is None
        assert measure_defect(grey, np.zeros((32, 32), bool)) is None

    @given(st.integers(0, 31), st.integers(0, 31))
    def test_edge_distance_does_not_change_when_the_image_is_mirrored(self, down, right):
        rng = np.random.default_rng(1)
        grey = rng.random((32, 32)).astype(np.float32)
        mask = np.zeros((32, 32), bool)
        mask[down, right] = True
        found = [measure_defect(grey[::s, ::t], mask[::s, ::t]) for s in (1, -1) for t in (1, -1)]
        assert all(one.edge_distance == pytest.approx(found[0].edge_distance) for one in found)
        assert all(one.contrast == pytest.approx(found[0].contrast, rel=1e-4) for one in found)

    def test_a_spot_of_heat_in_a_corner(self):
        heat = np.full((16, 16), 0.1, np.float32)
        heat[0, 15] = 3.0
        found = measure_heat(heat)
        assert (found.peak, found.hot_share, found.at_edge) == (3.0, 1 / 256, True)


class TestModes:
    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"full_flags": True}, "lowres_plain"),
            ({"full_flags": True, "defect": None}, "lowres_plain"),
            ({"full_flags": True, "defect": replace(LARGE, area=0.001)}, "lowres_tiny"),
            ({"full_flags": True, "defect": replace(LARGE, contrast=0.1)}, "lowres_faint"),
            ({"full_flags": True, "defect": replace(LARGE, edge_distance=0.01)}, "lowres_edge"),
            ({"route": ESCALATED, "margin": -0.3}, "narrow_miss"),
            ({"route": ALONE, "margin": -0.3}, "narrow_miss"),
            ({"route": ESCALATED, "margin": -3.0}, "plain"),
            ({"defect": replace(LARGE, area=0.001)}, "tiny"),
            ({"defect": replace(LARGE, contrast=-0.4)}, "faint"),
            ({"defect": replace(LARGE, contrast=None)}, "plain"),
            ({"defect": replace(LARGE, edge_distance=0.06)}, "edge"),
            ({"unusual": ["sharpness"]}, "quality"),
            ({"defect": None, "similarity_rank": 0.5}, "looks_normal"),
            ({"defect": None, "similarity_rank": 0.49}, "unlike"),
        ],
    )
    def test_a_missed_defect_belongs_to_the_first_rule_that_fits(self, changes, key):
        assert mode_of(error(**changes), CELL).key == key

    @pytest.mark.parametrize(
        ("changes", "key"),
        [
            ({"route": REFUSED, "margin": None, "heat": None}, "refused"),
            ({"unusual": ["mean"]}, "quality_alarm"),
            ({"similarity_rank": 0.01}, "rare"),
            ({"margin": 0.2}, "narrow_alarm"),
            ({"heat": HeatFigures(2.0, 0.02, 0.3)}, "edge_alarm"),
            ({"heat": HeatFigures(2.0, 0.4, 0.01)}, "spot"),
            ({}, "diffuse"),
        ],
    )
    def test_a_false_alarm_belongs_to_the_first_rule_that_fits(self, changes, key):
        assert mode_of(error("false alarm", **changes), CELL).key == key

    def test_every_rule_has_its_advice_and_its_own_key(self):
        from eval.errors.mitigations import _ADVICE

        assert {rule.key for rule in RULES} == set(_ADVICE)
        assert len({rule.key for rule in RULES}) == len(RULES)


class TestTypes:
    def defects(self, **types: tuple[int, int, DefectFigures | None]) -> TypedDefects:
        """Each type with so many defects, so many missed, all of the same figures."""
        names, passed, figures = [], [], []
        for name, (count, missed, figure) in types.items():
            names += [name] * count
            passed += [True] * missed + [False] * (count - missed)
            figures += [figure] * count
        flags = np.array(passed)
        return TypedDefects(np.array(names), flags, np.where(flags, -1.0, 1.0), figures)

    def test_the_hardest_is_the_one_with_most_misses_and_its_reason_is_what_it_differs_in(self):
        defects = self.defects(
            dot=(20, 8, replace(LARGE, area=0.001)), scratch=(20, 0, LARGE), stain=(20, 2, LARGE)
        )
        rows = type_rows(defects)
        assert [row.type for row in rows] == ["dot", "stain", "scratch"]
        easiest, hardest = extremes(defects, rows)
        assert (easiest.type, hardest.type) == ("scratch", "dot")
        assert "They are smaller: median area 0.10" in hardest.reason.replace("\xa0", " ")
        assert hardest.figures["area_of_others"] == 0.05
        assert "12 of 20 defects found" in hardest.reason.replace("\u202f", " ")

    def test_one_type_has_no_extremes_and_a_tiny_type_is_not_one(self):
        alone = self.defects(scratch=(20, 3, LARGE))
        assert extremes(alone, type_rows(alone)) == (None, None)
        three = self.defects(rare=(1, 1, LARGE), scratch=(20, 3, LARGE), stain=(20, 1, LARGE))
        assert extremes(three, type_rows(three))[1].type == "scratch"

    def test_without_masks_nothing_is_said_about_size(self):
        defects = self.defects(dot=(20, 8, None), scratch=(20, 0, None))
        _, hardest = extremes(defects, type_rows(defects))
        assert "Without masks" in hardest.reason
        assert hardest.figures["area"] is None
