"""`waferroute wafer` and `waferroute lot` as a user meets them. The wafers are synthetic."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.wafer_map.klarf_samples import FILE_12, FILE_18
from wafer_map.decide import Costs, LotPlan
from wafer_map.klarf import Defect, WaferResult, write_12
from wafer_map.wafer import dies_on_wafer
from waferroute.cli import main

TIME = "03-04-2026 10:20:30"


def wafer(name: str, seed: int, edge: bool) -> WaferResult:
    """A wafer of some 500 dies: a few random bad ones, or most of the edge; and a flaw at one place of the reticle."""
    rng = np.random.default_rng(seed)
    found = WaferResult(
        lot="L",
        wafer=name,
        slot="1",
        die_pitch=(10_000.0, 12_000.0),
        center=(5_000.0, 6_000.0),
        diameter=300_000.0,
    )
    found.plan = tuple(dies_on_wafer(found))
    centers = np.array([found.die_center(*die) for die in found.plan])
    rim = np.hypot(*centers.T) > 125_000
    bad = rng.random(len(found.plan)) < np.where(rim & edge, 0.8, 0.02)
    defects = [
        (die, tuple(rng.uniform(0, 10_000, 2))) for die, hit in zip(found.plan, bad, strict=True) if hit
    ]
    defects += [(die, (1000.0, 2000.0)) for die in found.plan if die[0] % 4 == 0 and die[1] % 4 == 0]
    found.defects = [
        Defect(
            i + 1,
            x_rel=float(p[0]),
            y_rel=float(p[1]),
            x_index=d[0],
            y_index=d[1],
            rough_bin=3 if i < bad.sum() else 2,
        )
        for i, (d, p) in enumerate(defects)
    ]
    return found


@pytest.fixture
def klarf(tmp_path: Path) -> Path:
    path = tmp_path / "lot.klarf"
    path.write_bytes(write_12([wafer("W1", 1, True), wafer("W2", 2, False)], TIME))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main([str(part) for part in arguments])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_signature_of_every_wafer(klarf: Path, capsys):
    status, text = run(capsys, "wafer", "signature", klarf, "--bins", "3", "--json")
    first, second = (json.loads(line) for line in text.splitlines())
    assert status == 0 and (first["signature"], second["signature"]) == ("edge_ring", "random")
    assert first["tests"][0]["p_family"] <= 0.01
    assert "edge_ring" in run(capsys, "wafer", "signature", klarf, "--wafer", "W1", "--bins", "3")[1]
    status, text = run(capsys, "wafer", "signature", klarf, "--wafer", "W9")
    assert status == 2 and "it holds W1, W2" in text


def test_map_as_picture_and_as_e142(klarf: Path, tmp_path: Path, capsys):
    assert run(capsys, "wafer", "map", klarf, "--wafer", "W1", "--out", tmp_path / "w.svg")[0] == 0
    picture = ElementTree.parse(tmp_path / "w.svg").getroot()
    dies = len(wafer("W1", 1, True).plan)
    assert sum(element.tag.endswith("rect") for element in picture.iter()) == dies
    assert run(capsys, "wafer", "map", klarf, "--wafer", "W1", "--out", tmp_path / "w.xml")[0] == 0
    space = "{urn:semi-org:xsd.E142-1.V1005.SubstrateMap}"
    root = ElementTree.parse(tmp_path / "w.xml").getroot()
    rows = [element.text or "" for element in root.iter(f"{space}BinCode")]
    counts = {e.get("BinCode"): int(e.get("BinCount") or 0) for e in root.iter(f"{space}BinDefinition")}
    codes = [row[i : i + 2] for row in rows for i in range(0, len(row), 2)]
    assert sum(counts.values()) == dies == len(codes) - codes.count("FF")
    assert {code: codes.count(code) for code in counts} == counts
    # The lowest row comes first, and the reference says where die (0, 0) is.
    at = next(root.iter(f"{space}Coordinates"))
    bad = {(d.x_index, d.y_index) for d in wafer("W1", 1, True).defects}
    x, y = int(at.get("X") or 0), int(at.get("Y") or 0)
    assert all(rows[row + y][2 * (column + x) :][:2] == "FA" for column, row in bad)
    status, text = run(capsys, "wafer", "map", klarf, "--out", tmp_path / "w.svg")
    assert status == 2 and "choose one with --wafer" in text


def test_repeaters_point_to_the_reticle(klarf: Path, capsys):
    status, text = run(capsys, "wafer", "repeaters", klarf, "--reticle", 4, 4, "--json")
    found = [json.loads(line) for line in text.splitlines()]
    assert status == 0 and len(found) == 1 and found[0]["points_to"] == "reticle"
    assert (
        found[0]["place"] == pytest.approx([1000, 2000], abs=1) and found[0]["points"][0]["wafer"] == "L/W1"
    )


def test_a_file_that_is_given_twice_says_no_more_than_once(tmp_path: Path, capsys):
    (tmp_path / "a.klarf").write_text(FILE_12)
    once = run(capsys, "wafer", "repeaters", tmp_path / "a.klarf")
    assert run(capsys, "wafer", "repeaters", *[tmp_path / "a.klarf"] * 3) == once


def test_next_sites_are_dies_that_were_not_inspected(tmp_path: Path, capsys):
    (tmp_path / "a.klarf").write_text(FILE_12)
    status, text = run(
        capsys, "wafer", "sites", tmp_path / "a.klarf", "--wafer", "W01", "--count", 5, "--json"
    )
    dies = [tuple(die) for die in json.loads(text)["dies"]]
    assert status == 0 and len(set(dies)) == 5 and not set(dies) & {(0, 0), (-1, 0), (1, -1)}


def test_learn_then_name(tmp_path: Path, klarf: Path, capsys):
    colours = np.array([[32, 144, 140], [253, 231, 36], [68, 1, 84]], dtype=np.uint8)
    y, x = np.mgrid[-1:1:21j, -1:1:21j]
    radius, rng = np.hypot(y, x), np.random.default_rng(0)
    for kind, rate in (("rim", np.where(radius > 0.85, 0.8, 0.03)), ("even", np.full(radius.shape, 0.1))):
        (tmp_path / "maps" / kind).mkdir(parents=True)
        for i in range(6):
            grid = np.where(radius > 1, -1, rng.random(radius.shape) < rate)
            Image.fromarray(colours[grid.astype(int)]).save(tmp_path / "maps" / kind / f"{i}.png")
    model = tmp_path / "model.json"
    status, text = run(capsys, "wafer", "learn", tmp_path / "maps", "--out", model)
    assert status == 0 and "6 even, 6 rim" in text
    _, text = run(
        capsys, "wafer", "signature", klarf, "--wafer", "W1", "--bins", 3, "--model", model, "--json"
    )
    assert json.loads(text)["probabilities"]["rim"] > 0.5
    assert run(capsys, "wafer", "learn", tmp_path, "--out", model)[0] == 2


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    content = LotPlan(good_rate=0.01, bad_rate=0.05, sites_per_wafer=200, costs=Costs(5000, 300, 0.02))
    path.write_text(json.dumps(content.to_dict()))
    return path


@pytest.mark.parametrize(
    ("defects", "status", "word"), [((2, 2, 2), 0, "GO"), ((2, 5, 10), 4, "HOLD"), ((2, 15, 14), 5, "STOP")]
)
def test_lot_decide_from_a_table(tmp_path: Path, plan: Path, capsys, defects: tuple, status: int, word: str):
    rows = "".join(f"W{i},200,{n},0\n" for i, n in enumerate(defects))
    (tmp_path / "counts.csv").write_text("wafer,sites,defects,unjudged\n" + rows)
    found, text = run(capsys, "lot", "decide", plan, tmp_path / "counts.csv")
    assert found == status and f"lot: {word}" in text and "judged sites have a defect" in text
    found, text = run(capsys, "lot", "decide", plan, tmp_path / "counts.csv", "--json")
    assert found == status and json.loads(text)["lot"]["action"] == word


@pytest.mark.parametrize("count", ["-1", "1.5", "9" * 10, "9" * 5000, "\N{SUPERSCRIPT TWO}"])
def test_a_count_that_is_none_is_refused_with_its_line(tmp_path: Path, plan: Path, capsys, count: str):
    (tmp_path / "counts.csv").write_text(f"wafer,sites,defects\nW1,{count},0\n", encoding="utf-8")
    status, text = run(capsys, "lot", "decide", plan, tmp_path / "counts.csv")
    assert status == 2 and "line 2: sites must be a whole number" in text and len(text) < 400


def test_lot_decide_from_klarf_counts_dies(plan: Path, klarf: Path, capsys):
    status, text = run(capsys, "lot", "decide", plan, klarf, "--bins", 3, "--json")
    assert status == 5 and [w["action"] for w in json.loads(text)["wafers"]] == ["STOP", "GO"]


def test_lot_plan_says_what_it_promises(tmp_path: Path, plan: Path, capsys):
    status, text = run(capsys, "lot", "plan", plan)
    assert status == 0 and "at most once in 1000" in text and "after 3 wafers or fewer" in text
    status, text = run(capsys, "lot", "plan", plan, "--cheapest")
    assert status == 0 and LotPlan.from_dict(json.loads(text)).good_rate == 0.01
    plan.write_text(plan.read_text().replace('"sites_per_wafer": 200', '"sites_per_wafer": 10'))
    status, text = run(capsys, "lot", "plan", plan)
    assert status == 2 and "inspect" in text and "sites a wafer" in text


def test_commonality_of_a_table(tmp_path: Path, capsys):
    rng = np.random.default_rng(0)
    rows = [f"{i},200,{rng.poisson(12 if i % 3 == 1 else 2)},etch {i % 3},{i % 2}" for i in range(24)]
    (tmp_path / "t.csv").write_text("\n".join(["wafer,sites,defects,tool,chamber", *rows]))
    status, text = run(capsys, "lot", "commonality", tmp_path / "t.csv", "--json")
    assert status == 0 and [(one["factor"], one["value"]) for one in json.loads(text)] == [("tool", "etch 1")]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no column wafer and sites and defects"), ("wafer,sites\nW,1\n", "no column defects"),
        ("wafer,sites,defects\nW,1\n", "line 2"), ("wafer,sites,defects\nW,x,1\n", "line 2: sites"),
        ("wafer,sites,defects\nW,1,2\n", "only 1 judged"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_by_line(tmp_path: Path, plan: Path, capsys, content: str, reason: str):
    (tmp_path / "c.csv").write_text(content)
    status, text = run(capsys, "lot", "decide", plan, tmp_path / "c.csv")
    assert status == 2 and reason in text


@pytest.mark.parametrize("header", ["wafer;sites;defects", "Wafer ; Sites;DEFECTS"])
def test_a_table_of_another_spelling_counts_alike(tmp_path: Path, plan: Path, capsys, header: str):
    (tmp_path / "c.csv").write_text("wafer,sites,defects\nW1,200,2\nW2,200,60\n")
    (tmp_path / "other.csv").write_text(f"\ufeff{header}\r\nW1;200;2\r\n\r\nW2;200;60\r\n", encoding="utf-8")
    said = run(capsys, "lot", "decide", plan, tmp_path / "c.csv")
    assert run(capsys, "lot", "decide", plan, tmp_path / "other.csv") == said
    assert said[0] == 5


def test_commonality_of_a_table_without_rows_is_refused(tmp_path: Path, capsys):
    (tmp_path / "t.csv").write_text("wafer,sites,defects,tool\n")
    status, text = run(capsys, "lot", "commonality", tmp_path / "t.csv")
    assert status == 2 and "holds no wafer" in text


def test_a_plan_that_cannot_keep_its_promise_is_said_with_the_verdict(tmp_path: Path, plan: Path, capsys):
    (tmp_path / "c.csv").write_text("wafer,sites,defects\nW1,200,2\n")
    assert "cannot keep" not in run(capsys, "lot", "decide", plan, tmp_path / "c.csv")[1]
    plan.write_text(plan.read_text().replace('"sites_per_wafer": 200', '"sites_per_wafer": 10'))
    assert "cannot keep what it promises" in run(capsys, "lot", "decide", plan, tmp_path / "c.csv")[1]
    _, text = run(capsys, "lot", "decide", plan, tmp_path / "c.csv", "--json")
    assert "cannot keep what it promises" in json.loads(text)["notes"][0]


def test_what_was_taken_for_granted_is_said_with_the_verdict(tmp_path: Path, plan: Path, capsys):
    start, end = FILE_12.index("SampleTestPlan"), FILE_12.index("AreaPerTest")
    (tmp_path / "a.klarf").write_text(FILE_12[:start] + FILE_12[end:])
    _, text = run(capsys, "lot", "decide", plan, tmp_path / "a.klarf")
    assert "no sample plan, so every die" in text
    _, text = run(capsys, "lot", "decide", plan, tmp_path / "a.klarf", "--json")
    assert "no sample plan" in json.loads(text)["wafers"][0]["notes"][0]


def test_a_list_that_was_never_inspected_is_no_go(tmp_path: Path, plan: Path, capsys):
    (tmp_path / "a.klarf").write_text(FILE_12)
    status, text = run(capsys, "lot", "decide", plan, tmp_path / "a.klarf", "--bins", 3)
    assert status == 4 and "no site was judged" in text
    status, text = run(capsys, "wafer", "signature", tmp_path / "a.klarf", "--bins", 3)
    assert status == 2 and "a.klarf: wafer W01: no die is known to have been inspected and judged" in text


def test_dies_that_are_not_judged_are_left_out_of_a_map_and_told(tmp_path: Path, capsys):
    (tmp_path / "a.klarf").write_text(FILE_12)
    map_of = (
        "wafer",
        "map",
        tmp_path / "a.klarf",
        "--wafer",
        "W02",
        "--bins",
        3,
        "--out",
        tmp_path / "m.svg",
    )
    status, text = run(capsys, *map_of)
    assert status == 0 and "1 dies that are not judged are left out" in text
    _, text = run(capsys, "wafer", "signature", tmp_path / "a.klarf", "--wafer", "W02", "--bins", 3, "--json")
    assert json.loads(text)["unjudged"] == 1 and json.loads(text)["dies"] == 2


def test_wafers_of_one_name_are_told_by_their_lot(tmp_path: Path, capsys):
    (tmp_path / "a.klarf").write_text(FILE_12 + FILE_12.replace('"L1"', '"L2"'))
    sites = ("wafer", "sites", tmp_path / "a.klarf", "--wafer", "W01")
    status, text = run(capsys, *sites)
    assert status == 2 and "(lot L1 wafer W01, lot L2 wafer W01): choose one with --lot and --wafer" in text
    assert run(capsys, *sites, "--lot", "L2")[0] == 0
    status, text = run(capsys, *sites, "--lot", "L3")
    assert status == 2 and "no lot L3 wafer W01; it holds lot L1 wafer W01" in text
    (tmp_path / "a.klarf").write_text(FILE_12 + FILE_12)
    status, text = run(capsys, *sites)
    assert status == 2 and "holds W01 2 times: split the file" in text


def test_a_file_without_a_wafer_is_named(tmp_path: Path, capsys):
    (tmp_path / "a.klarf").write_text("FileVersion 1 2;\nEndOfFile;\n")
    status, text = run(capsys, "wafer", "signature", tmp_path / "a.klarf")
    assert status == 2 and "a.klarf holds no wafer" in text
    status, text = run(capsys, "klarf", "show", tmp_path / "a.klarf")
    assert status == 0 and "it holds no wafer" in text


def test_files_of_one_product_may_round_its_pitch(tmp_path: Path, capsys):
    (tmp_path / "18.klarf").write_text(FILE_18.replace("{10000000, 5000000}", "{8765407, 5000000}"))
    (tmp_path / "12.klarf").write_text(FILE_12.replace("1.00000e+004", "8.76541e+003"))
    assert run(capsys, "wafer", "repeaters", tmp_path / "12.klarf", tmp_path / "18.klarf")[0] == 0
    (tmp_path / "12.klarf").write_text(FILE_12)
    status, text = run(capsys, "wafer", "repeaters", tmp_path / "12.klarf", tmp_path / "18.klarf")
    assert status == 2 and "die pitch" in text


def test_commonality_refuses_more_defects_than_sites_with_the_line(tmp_path: Path, capsys):
    (tmp_path / "t.csv").write_text("sites,defects,tool\n10,1,a\n\n10,90,b\n")
    status, text = run(capsys, "lot", "commonality", tmp_path / "t.csv")
    assert status == 2 and "line 4: 90 sites with defects, but only 10 judged" in text


def test_a_plan_with_a_key_twice_is_refused(plan: Path, capsys):
    plan.write_text(plan.read_text().replace('"good_rate"', '"good_rate": 0.5, "good_rate"'))
    status, text = run(capsys, "lot", "plan", plan)
    assert status == 2 and "'good_rate' stands twice" in text
