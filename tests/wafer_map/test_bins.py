"""Bins by type, size and place; killers and nuisances; and no bin makes a decision milder."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from router.decision import PASS, REJECT, REVIEW
from wafer_data.defect import DefectFinding
from wafer_data.errors import ConfigurationError, InputError
from wafer_map.areas import read_mask
from wafer_map.bins import BinRules, load_rules, rules_from

CONTENT = {
    "schema": 1,
    "bins": {
        "dust": {"rough": 5, "class_number": 30},
        "big particle": {"rough": 11, "fine": 2, "class_number": 31, "disposition": "REJECT", "killer": True},
        "scratch": {"rough": 12, "killer": True},
        "other": {"rough": 9},
    },
    "rules": [
        {"types": ["particle"], "min_um": 1.0, "bin": "big particle"},
        {"types": ["particle"], "area": "gate", "bin": "big particle"},
        {"types": ["particle"], "max_um": 1.0, "area": "elsewhere", "bin": "dust"},
        {"types": ["scratch"], "min_probability": 0.5, "bin": "scratch"},
    ],
    "otherwise": "other",
    "areas": {"gate": [[100.0, 100.0, 200.0, 200.0]]},
    "costs": {"missed_killer": 10.0, "false_killer": 1.0},
}
RULES = rules_from(CONTENT)


def defect(
    kind: str = "particle", um: float | None = 0.5, at: tuple[float, float] | None = (0.0, 0.0), **more
):
    return DefectFinding(
        box=(0, 0, 1, 1), center=(0, 0), area=1, length=1, width=1, length_um=um, on_die=at, type=kind, **more
    )


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (defect(um=1.0), "big particle"), (defect(um=0.99), "dust"), (defect(at=(150, 150)), "big particle"),
        (defect(at=(99.8, 150)), "big particle"), (defect(at=(99.0, 150)), "dust"), (defect("scratch"), "scratch"),
        (defect("stain"), "other"), (defect("unknown"), "other"),
    ],
)  # fmt: skip
def test_the_first_rule_that_fits_decides(finding: DefectFinding, expected: str):
    assert RULES.assign(finding, REVIEW).finding.bin == expected


def test_what_is_not_known_counts_as_the_worse():
    assert RULES.assign(defect(um=None), REVIEW).finding.bin == "big particle"
    assert RULES.assign(defect(at=None), REVIEW).finding.bin == "big particle"
    assert RULES.assign(defect("scratch"), REVIEW).finding.killer


@pytest.mark.parametrize("decision", [PASS, REVIEW, REJECT])
@pytest.mark.parametrize("kind", ["particle", "scratch", "stain"])
def test_no_bin_makes_a_decision_milder(decision, kind):
    order = [PASS, REVIEW, REJECT]
    after = RULES.assign(defect(kind, um=3.0), decision).decision
    assert order.index(after) >= order.index(decision)
    assert after is REJECT or kind != "particle"


def test_a_likely_nuisance_is_a_killer_where_missing_one_is_dear():
    mixed = defect(
        "stain", probabilities={"stain": 0.85, "scratch": 0.0, "particle": 0.15}, probability=0.85, um=2.0
    )
    assert RULES.assign(mixed, REVIEW).finding.bin == "big particle"
    cheap = replace(RULES, costs=replace(RULES.costs, missed_killer=1.0))
    assert cheap.assign(mixed, REVIEW).finding.bin == "other"


def test_json_form_has_what_the_service_answers():
    binned = RULES.assign(defect(), REVIEW)
    content = json.loads(json.dumps(binned.finding.to_dict()))
    assert list(content)[:5] == ["type", "probability", "set", "bin", "box"]
    assert content["bin"] == "dust" and content["box"] == [0, 0, 1, 1] and content["killer"] is False


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "rules.json").write_text(json.dumps(CONTENT))
    (tmp_path / "rules.toml").write_text(
        'schema = 1\notherwise = "other"\n[bins.other]\nrough = 9\n[[rules]]\nbin = "other"\ntypes = ["x"]\n'
    )
    assert load_rules(tmp_path / "rules.json") == RULES
    assert isinstance(load_rules(tmp_path / "rules.toml"), BinRules)
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ConfigurationError, match="not valid TOML"):
        load_rules(tmp_path / "bad.toml")
    with pytest.raises(InputError):
        load_rules(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schema": 3}, "schema"), ({"otherwise": "none"}, "otherwise must name a bin"), ({"typo": 1}, "typo"),
        ({"bins": {"other": {}}}, "rough is missing"),
        ({"bins": {"other": {"rough": 1, "disposition": "PASS"}}}, "milder"),
        ({"bins": {"other": {"rough": 1}}}, "rough must be a whole number from 2 to .* 1 says PASS"),
        ({"bins": {"other": {"rough": 0}}}, "0 says not binned yet"),
        ({"bins": {"other": {"rough": 10**40}}}, "rough must be a whole number"),
        ({"bins": {"other": {"rough": 2.0}}}, "rough must be a whole number"),
        ({"bins": {"other": {"rough": 9, "fine": -1}}}, "fine must be a whole number from 0"),
        ({"bins": {"other": {"rough": 9, "class_number": 10**40}}}, "class_number must be a whole number"),
        ({"otherwise": ["other"]}, "otherwise must name a bin"), ({"rules": [{"bin": ["other"]}]}, "rule 1: bin"),
        ({"rules": [{"bin": "x"}]}, "rule 1: bin 'x'"), ({"rules": [{"bin": "dust", "area": "x"}]}, "area 'x'"),
        ({"rules": [{"bin": "dust", "min_um": 2, "max_um": 1}]}, "below max_um"),
        ({"rules": [{"bin": "dust", "types": "particle"}]}, "list of names"),
        ({"rules": [{"bin": "dust", "min_probability": 2}]}, "from 0 to 1"),
        ({"areas": {"gate": [[1, 1, 0, 0]]}}, "a box is"), ({"areas": {"elsewhere": [[0, 0, 1, 1]]}}, "elsewhere"),
        ({"costs": {"missed_killer": -1}}, "missed_killer"), ({"rules": {}}, "must be a list"),
    ],
)  # fmt: skip
def test_wrong_rules_are_refused_by_name(change: dict, reason: str):
    with pytest.raises(ConfigurationError, match=reason):
        rules_from({**CONTENT, **change})


def test_a_critical_area_may_be_a_mask_of_the_layout(tmp_path):
    picture = np.zeros((40, 20), np.uint8)
    picture[0:10, 0:5] = 255  # the top left corner: x from 0 to 10, y from 60 to 80 micrometres
    Image.fromarray(picture).save(tmp_path / "gate.png")
    content = CONTENT | {"areas": {"gate": {"mask": "gate.png", "pixel_um": 2.0}}}
    (tmp_path / "rules.json").write_text(json.dumps(content))
    rules = load_rules(tmp_path / "rules.json")
    for place, expected in (
        ((1, 79), "big particle"), ((9.9, 60.1), "big particle"), ((10.2, 70), "big particle"), ((10.4, 70), "dust"),
        ((1, 59), "dust"), ((1, 1), "dust"), ((39, 79), "dust"), ((-50, 70), "dust"), ((1, 500), "dust"),
    ):  # fmt: skip
        assert rules.assign(defect(at=place), REVIEW).finding.bin == expected, place


@pytest.mark.parametrize(
    ("bright", "dark", "name"),
    [
        (np.uint8(128), np.uint8(127), "m.png"), (np.uint16(60_000), np.uint16(200), "m.png"),
        (np.uint16(32_768), np.uint16(32_767), "m.tif"), (np.float32(0.9), np.float32(0.1), "m.tif"),
    ],
)  # fmt: skip
def test_a_mask_is_critical_from_half_of_white_on_whatever_its_depth(bright, dark, name: str, tmp_path):
    picture = np.full((4, 4), dark)
    picture[:, 2:] = bright
    Image.fromarray(picture).save(tmp_path / name)
    mask = read_mask(tmp_path / name, 1.0)
    assert mask.critical.tolist() == [[False, False, True, True]] * 4


def test_a_key_that_stands_twice_is_refused(tmp_path):
    text = json.dumps(CONTENT).replace('"otherwise"', '"schema": 1, "otherwise"')
    (tmp_path / "rules.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"rules\.json: the key 'schema' stands twice"):
        load_rules(tmp_path / "rules.json")


@pytest.mark.parametrize(
    ("area", "words"),
    [
        ({"mask": "gone.png", "pixel_um": 1.0}, "gone.png"),
        ({"mask": "gate.png"}, "pixel_um"),
        ({"mask": 3, "pixel_um": 1.0}, "image file"),
        ({"mask": "gate.png", "pixel_um": 1.0, "more": 1}, "more"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(area, words, tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "gate.png")
    with pytest.raises(InputError, match=words):
        rules_from(CONTENT | {"areas": {"gate": area}}, "rules", tmp_path)


def test_an_unknown_defect_is_binned_as_unknown_and_not_as_the_type_it_is_least_unlike():
    named = {"scratch": 0.9, "particle": 0.1}
    assert RULES.assign(defect("unknown", probabilities=named), REVIEW).finding.bin == "other"
