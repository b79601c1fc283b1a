"""Signatures of wafers: found where they are, with p-values that hold on random wafers. The maps here are synthetic."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.wafer_map.klarf_samples import FILE_12
from wafer_data.errors import DataError
from wafer_map.klarf import parse_klarf
from wafer_map.learn import learn_signatures, read_labelled_maps, read_map_image
from wafer_map.signature_features import BAD, GOOD, OFF, features, polar
from wafer_map.signature_model import SignatureModel
from wafer_map.signatures import KINDS, find_signatures
from wafer_map.svg import draw
from wafer_map.wafer import WaferMap, dies_on_wafer


def disc(side: int = 25) -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    return np.where(np.hypot(y, x) <= 1.0, GOOD, OFF).astype(np.int8)


def planted(kind: str, seed: int, side: int = 25, base: float = 0.04) -> np.ndarray:
    """A synthetic wafer with one signature over a random background."""
    rng = np.random.default_rng(seed)
    grid = disc(side)
    radius, angle = polar(grid)
    turn = rng.uniform(-np.pi, np.pi)
    away = np.abs((angle - turn + np.pi) % (2 * np.pi) - np.pi)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    cy, cx = rng.uniform(-0.35, 0.35, 2)
    along = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn)
    across = (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    where = {
        "center": radius < 0.3, "ring": np.abs(radius - 0.5) < 0.1, "edge_ring": radius > 0.88,
        "edge_local": (radius > 0.8) & (away < 0.35), "scratch": (np.abs(across) < 0.05) & (np.abs(along) < 0.5),
        "cluster": np.hypot(y - 0.5 * np.sin(turn), x - 0.5 * np.cos(turn)) < 0.22, "random": radius > 9,
    }[kind]  # fmt: skip
    rate = np.where(where, 0.8, base)
    return np.where(grid == OFF, OFF, np.where(rng.random(grid.shape) < rate, BAD, GOOD)).astype(np.int8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_signature_is_found_for_what_it_is(kind: str):
    found = [find_signatures(WaferMap.from_grid(planted(kind, seed))) for seed in range(3)]
    assert [one.kind for one in found].count(kind) >= 2, [one.kind for one in found]
    assert [one.tests[0].p_family <= 0.01 for one in found].count(True) >= 2


def test_on_random_wafers_p_values_keep_their_level():
    wafers = [WaferMap.from_grid(planted("random", seed, base=0.15, side=13)) for seed in range(30)]
    called = sum(find_signatures(w, level=0.1, permutations=99).kind != "random" for w in wafers)
    assert called <= 8  # binomial(30, 0.1): more in 0.5 % of cases


def test_each_kinds_p_value_is_uniform_on_random_wafers():
    wafers = [WaferMap.from_grid(planted("random", 1000 + seed, base=0.2, side=13)) for seed in range(20)]
    values = [t.p for w in wafers for t in find_signatures(w, level=0.1, permutations=99).tests]
    assert 0.38 < np.mean(values) < 0.65 and np.mean(np.array(values) <= 0.2) < 0.35


def test_the_region_and_its_counts_belong_together():
    wafer = WaferMap.from_grid(planted("edge_local", 3))
    test = find_signatures(wafer).tests[0]
    assert test.bad == sum(wafer.bad[i] for i in test.region) and test.dies == len(test.region)
    assert test.expected == pytest.approx(test.dies * np.mean(wafer.bad)) and test.excess > 3
    drawing = draw(wafer, "W<1>", region=test.region)
    assert drawing.count("<rect") == len(wafer.dies) and "W&lt;1&gt;" in drawing


def test_wafers_without_or_with_bad_dies_only():
    assert find_signatures(WaferMap.from_grid(disc())).kind == "none"
    assert find_signatures(WaferMap.from_grid(np.where(disc() == OFF, OFF, BAD))).kind == "random"
    assert find_signatures(WaferMap(((0, 0),), (True,))).kind == "random"
    with pytest.raises(DataError, match="at least 599 permutations"):
        find_signatures(WaferMap.from_grid(disc()), permutations=99)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_features_are_finite_for_any_map(height: int, width: int, seed: int):
    grid = np.random.default_rng(seed).choice([OFF, GOOD, BAD], (height, width))
    grid[0, 0] = GOOD
    assert np.isfinite(features(grid)).all()


def test_features_hardly_change_when_the_map_is_turned_or_mirrored():
    grid = planted("scratch", 4)
    base, other = features(grid), features(planted("center", 4))
    for same in (np.rot90(grid), grid[:, ::-1], grid.T):
        assert np.abs(features(same) - base).sum() < 0.15 * np.abs(other - base).sum()


def test_a_learned_classifier_names_planted_signatures_and_is_read_back_the_same(tmp_path):
    kinds = ("center", "edge_ring", "scratch", "random")
    grids = [planted(kind, seed) for kind in kinds for seed in range(8)]
    labels = [kind for kind in kinds for _ in range(8)]
    model = learn_signatures(grids, labels)
    fresh = [(planted(kind, 100 + seed), kind) for kind in kinds for seed in range(5)]
    right = [next(iter(model.probabilities(grid))) == kind for grid, kind in fresh]
    assert np.mean(right) >= 0.9
    model.save(tmp_path / "model.json")
    again = SignatureModel.load(tmp_path / "model.json")
    assert again.probabilities(fresh[0][0]) == pytest.approx(model.probabilities(fresh[0][0]))
    assert sum(model.probabilities(fresh[0][0]).values()) == pytest.approx(1)
    content = json.loads((tmp_path / "model.json").read_text())
    for change in ({"schema": 9}, {"bias": [1.0]}, {"weights": None}):
        (tmp_path / "bad.json").write_text(json.dumps({**content, **change}))
        with pytest.raises(DataError):
            SignatureModel.load(tmp_path / "bad.json")
    two = learn_signatures(grids[:16], labels[:16])
    assert next(iter(two.probabilities(planted("edge_ring", 55)))) == "edge_ring"
    with pytest.raises(DataError, match="two kinds"):
        learn_signatures(grids[:8], labels[:8])


def picture(grid: np.ndarray, die: int = 4) -> Image.Image:
    colours = np.array([[32, 144, 140], [253, 231, 36], [68, 1, 84]], dtype=np.uint8)
    return Image.fromarray(np.repeat(np.repeat(colours[grid], die, axis=0), die, axis=1))


def test_map_pictures_are_read_back(tmp_path):
    (tmp_path / "scratch").mkdir()
    grid = planted("scratch", 1)
    picture(grid).save(tmp_path / "scratch" / "1.png")
    grids, kinds, files = read_labelled_maps(tmp_path, 4)
    assert (grids[0] == grid).all() and kinds == ["scratch"] and files[0].name == "1.png"
    full = np.where(disc() == OFF, OFF, BAD)
    picture(full).save(tmp_path / "full.png")
    assert (read_map_image(tmp_path / "full.png", 4) == full).all()
    for bad, pixels, reason in (("scratch/1.png", 7, "whole number"), ("none.png", 4, "cannot be read")):
        with pytest.raises(DataError, match=reason):
            read_map_image(tmp_path / bad, pixels)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)).save(
        tmp_path / "noise.png"
    )
    with pytest.raises(DataError, match="a wafer map has a colour"):
        read_map_image(tmp_path / "noise.png", 4)


def test_a_klarf_wafer_is_a_map():
    wafer = parse_klarf(FILE_12.encode()).wafers[0]
    found = WaferMap.from_klarf(wafer)
    assert found.dies == ((0, 0), (-1, 0), (1, -1)) and found.bad == (True, True, True)
    only = WaferMap.from_klarf(wafer, lambda defect: defect.class_number == 7)
    assert only.bad == (False, True, False) and only.pitch == (10_000, 5_000)
    assert found.grid().tolist() == [[BAD, BAD, OFF], [OFF, OFF, BAD]]
    wafer.plan = ()
    whole = WaferMap.from_klarf(wafer)
    assert len(whole.dies) == len(dies_on_wafer(wafer)) > 1000
    # Whole dies fill most of the disc, and none of them leaves it.
    assert 0.9 < len(whole.dies) * 10 * 5 / (math.pi * 150**2) < 1.0


@pytest.mark.parametrize(
    ("dies", "bad"),
    [((), ()), (((0, 0),), ()), (((0, 0), (0, 0)), (True, False)), (((0, 0), (10**6, 0)), (True, False))],
)  # fmt: skip
def test_impossible_maps_are_refused(dies: tuple, bad: tuple):
    with pytest.raises(DataError):
        WaferMap(dies, bad)
