"""`waferroute inspect --klarf`: a tool's defect list and its images in, the same list filled in out."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.wafer_map.klarf_samples import FILE_12, FILE_18
from tool_side.runtime.inspector import Inspector
from wafer_data.errors import ConfigurationError, InputError, WriteError
from wafer_map.klarf import parse_klarf, read_klarf
from waferroute.cli import main
from waferroute.klarf_images import find_image
from waferroute.klarf_inspect import anomaly_score, run_klarf_inspect

Wafer = Callable[..., np.ndarray]


@pytest.fixture
def lot(tmp_path: Path, wafer: Wafer) -> Path:
    """Both samples with their images: defect 1 has a good and a bad page, 3 a good image, 2 none."""
    pages = [Image.fromarray(wafer(1)), Image.fromarray(wafer(3, 0.4))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    Image.fromarray(wafer(2)).save(tmp_path / "b.jpg", quality=95)
    (tmp_path / "d").mkdir()
    Image.fromarray(wafer(3, 0.4)).save(tmp_path / "d" / "1.png")
    Image.fromarray(wafer(1)).save(tmp_path / "1b.png")  # named d/1b.png by the list
    (tmp_path / "12.klarf").write_text(FILE_12)
    (tmp_path / "18.klarf").write_text(FILE_18)
    return tmp_path


def run(bundle: Path, source: Path, target: Path, **options: object) -> tuple[int, str]:
    out = io.StringIO()
    status = run_klarf_inspect(bundle, source, target, out=out, **options)  # type: ignore[arg-type]
    return status, out.getvalue()


@pytest.mark.parametrize("name", ["12.klarf", "18.klarf"])
def test_the_list_comes_back_with_bins_reviews_and_scores(
    bundle: Path, lot: Path, inspector: Inspector, name: str
):
    status, text = run(bundle, lot / name, lot / "out.klarf")
    before, after = read_klarf(lot / name), read_klarf(lot / "out.klarf")
    assert status == 3 and after.defects == before.defects and "REJECT" in text
    first, second = after.wafers[0].defects[:2]
    # The second page, or image, of defect 1 is bad: its severest image decides.
    bad = inspector.inspect(lot / "d" / "1.png")
    assert first.rough_bin == 3 and bad.decision == "REJECT"
    policy = inspector.policy
    expected = anomaly_score(bad.score, policy.full_location, policy.full_scale)
    assert float(first.values["ANOMALYSCORE"]) == pytest.approx(expected, rel=1e-4)
    # Without an image nothing is known, and that is never PASS.
    assert second.rough_bin == 2 and second.values["ANOMALYSCORE"] == "-1"
    assert [d.class_number for d in after.wafers[0].defects] == [
        d.class_number for d in before.wafers[0].defects
    ]


def test_the_pages_of_one_file_are_told_by_an_18_list_as_well(bundle: Path, lot: Path):
    text = FILE_18.replace('"d/1.png" "PNG" 1', '"a.tif" "TIFF" 1').replace(
        '"d/1b.png" "PNG" 1', '"a.tif" "TIFF" 2'
    )
    (lot / "18.klarf").write_text(text)
    found = []
    for name in ("12.klarf", "18.klarf"):
        run(bundle, lot / name, lot / "out.klarf")
        first = read_klarf(lot / "out.klarf").wafers[0].defects[0]
        found.append((first.rough_bin, first.values["ANOMALYSCORE"]))
    # The second page is bad; without its number the file of two pages could not be judged.
    assert found[0] == found[1] and found[0][0] == 3


def test_a_good_image_is_bin_1(bundle: Path, lot: Path):
    run(bundle, lot / "12.klarf", lot / "out.klarf")
    assert read_klarf(lot / "out.klarf").wafers[0].defects[2].rough_bin == 1


def test_json_has_one_object_a_defect(bundle: Path, lot: Path):
    _, text = run(bundle, lot / "12.klarf", lot / "out.klarf", json_output=True)
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["wafer"], row["defect"], row["images"]) for row in rows] == [
        ("W01", 1, 2), ("W01", 2, 0), ("W01", 3, 1), ("W02", 1, 0),
    ]  # fmt: skip
    assert rows[1]["score"] is None and rows[1]["reasons"]


def test_a_missing_page_and_a_damaged_image_are_reviewed_with_the_reason(bundle: Path, lot: Path):
    (lot / "12.klarf").write_text(FILE_12.replace("2 2 1 0 2 0", "2 2 9 0 9 0"))
    (lot / "b.jpg").write_bytes((lot / "b.jpg").read_bytes()[:3000])
    status, text = run(bundle, lot / "12.klarf", lot / "out.klarf", json_output=True)
    rows = [json.loads(line) for line in text.splitlines()]
    assert status == 3 and [row["decision"] for row in rows] == ["REVIEW"] * 4
    assert "no page 9" in rows[0]["reasons"][0] and "truncated" in rows[2]["reasons"][0]


def test_from_the_command_line_in_place(bundle: Path, lot: Path, capsys: pytest.CaptureFixture[str]):
    target = lot / "12.klarf"
    assert (
        main(["inspect", str(bundle), "--klarf", str(target), "--out", str(target), "--score-column", "none"])
        == 3
    )
    text = target.read_text()
    assert "ANOMALYSCORE" not in text and 'VendorRecord "kept" 1 2 3;' in text
    assert "written" in capsys.readouterr().out


def test_a_damaged_list_is_refused_before_anything_is_written(bundle: Path, lot: Path):
    (lot / "12.klarf").write_text(FILE_12.replace("EndOfFile;", ""))
    with pytest.raises(InputError, match="EndOfFile is missing"):
        run(bundle, lot / "12.klarf", lot / "out.klarf")
    assert not (lot / "out.klarf").exists()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("d/1.png", "d/1.png"), ("D:\\data\\x\\b.jpg", "b.jpg"), ("d\\1.png", "d/1.png"), ("/abs/b.jpg", "b.jpg"),
        ("\\\\server\\share\\b.jpg", "b.jpg"), ("../12.klarf", None), ("none.png", None), ("", None), ("a\x00b", None),
    ],
)  # fmt: skip
def test_images_are_found_below_their_folder_only(lot: Path, name: str, found: str | None):
    assert find_image(lot, name) == (None if found is None else lot / found)


def test_a_link_out_of_the_folder_is_not_followed(lot: Path, tmp_path_factory: pytest.TempPathFactory):
    outside = tmp_path_factory.mktemp("outside") / "x.png"
    outside.write_bytes(b"secret")
    (lot / "x.png").symlink_to(outside)
    assert find_image(lot, "x.png") is None


def test_show_prints_wafers_and_oddities(lot: Path, capsys: pytest.CaptureFixture[str]):
    (lot / "12.klarf").write_text(FILE_12.replace("Slot 1;", "Slot 1"))
    assert main(["klarf", "show", str(lot / "12.klarf")]) == 0
    text = capsys.readouterr().out
    assert "wafer W01" in text and "semicolon" in text and "VendorRecord" in text
    assert main(["klarf", "show", str(lot / "18.klarf"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["wafers"][0]["defects"][0]["x_rel"] == pytest.approx(100.5)
    (lot / "bad.klarf").write_bytes(b"FileVersion 1 2;\nSlot")
    assert main(["klarf", "show", str(lot / "bad.klarf")]) == 2
    assert "line 2" in capsys.readouterr().err


def test_a_filled_in_file_can_be_filled_in_again(bundle: Path, lot: Path):
    run(bundle, lot / "18.klarf", lot / "out.klarf")
    once = (lot / "out.klarf").read_bytes()
    run(bundle, lot / "out.klarf", lot / "out.klarf")
    assert (lot / "out.klarf").read_bytes() == once and parse_klarf(once).complete


RULES = {
    "schema": 1,
    "bins": {
        "big": {"rough": 21, "fine": 3, "class_number": 55, "disposition": "REJECT", "killer": True},
        "small": {"rough": 22, "class_number": 56},
    },
    "rules": [{"min_um": 3.0, "bin": "big"}],
    "otherwise": "small",
}


def test_rules_give_class_and_bin_by_size_and_never_a_milder_decision(bundle: Path, lot: Path):
    (lot / "rules.json").write_text(json.dumps(RULES))
    _, text = run(bundle, lot / "12.klarf", lot / "out.klarf", rules=lot / "rules.json", json_output=True)
    wafer = read_klarf(lot / "out.klarf").wafers[0]
    # Sizes are the list's: 2 um, 5 um; the third image is good, the second defect has none and is of the worse bin.
    assert [d.rough_bin for d in wafer.defects] == [22, 21, 1]
    assert [d.class_number for d in wafer.defects] == [56, 55, 0] and wafer.classes[55] == "big"
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["decision"] for row in rows[:3]] == ["REJECT", "REJECT", "PASS"]
    found = rows[0]["defect_found"]
    assert found["type"] == "unknown" and found["bin"] == "small" and found["on_die"] == [100.5, 200.0]
    left, top, right, bottom = found["box"]
    assert right - left <= 32 and bottom - top <= 32  # the spot is 12 x 12 pixels, cells of the map 4 x 4


def test_with_the_pixel_size_the_heat_map_says_the_size(bundle: Path, lot: Path):
    (lot / "rules.json").write_text(json.dumps(RULES))
    options = {"rules": lot / "rules.json", "pixel_um": 1.0}
    run(bundle, lot / "12.klarf", lot / "out.klarf", **options)
    assert read_klarf(lot / "out.klarf").wafers[0].defects[0].rough_bin == 21
    run(bundle, lot / "12.klarf", lot / "out.klarf", **{**options, "pixel_um": 0.001})
    assert read_klarf(lot / "out.klarf").wafers[0].defects[0].rough_bin == 22


@pytest.mark.parametrize(("x_size", "expected"), [("1.5", 22), ("-1", 21), ("0", 21)])
def test_a_size_that_the_tool_does_not_know_counts_as_a_killers(
    bundle: Path, lot: Path, x_size: str, expected: int
):
    (lot / "12.klarf").write_text(FILE_12.replace("0 0 1.5 2 3", f"0 0 {x_size} {x_size} -1"))
    (lot / "rules.json").write_text(json.dumps(RULES))
    run(bundle, lot / "12.klarf", lot / "out.klarf", rules=lot / "rules.json")
    assert read_klarf(lot / "out.klarf").wafers[0].defects[0].rough_bin == expected


@pytest.mark.parametrize("page", [-1, -9])
def test_a_page_that_no_file_has_is_reviewed(bundle: Path, lot: Path, page: int):
    (lot / "12.klarf").write_text(FILE_12.replace("2 2 1 0 2 0", f"1 1 {page} 0"))
    _, text = run(bundle, lot / "12.klarf", lot / "out.klarf", json_output=True)
    first = json.loads(text.splitlines()[0])
    assert first["decision"] == "REVIEW" and f"it has no page {page}" in first["reasons"][0]


def test_an_image_name_too_long_for_a_file_leaves_the_other_defects_their_results(bundle: Path, lot: Path):
    (lot / "12.klarf").write_text(FILE_12.replace("a.tif", "x/" * 3000 + "a" * 300 + ".tif"))
    status, _ = run(bundle, lot / "12.klarf", lot / "out.klarf")
    assert status == 3
    assert [d.rough_bin for d in read_klarf(lot / "out.klarf").wafers[0].defects] == [2, 2, 1]


@pytest.mark.parametrize("target", ["d", "12.klarf/out.klarf", "a" * 300 + ".klarf"])
def test_a_target_that_cannot_be_written_is_refused_before_the_inspection(
    lot: Path, target: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("waferroute.klarf_inspect.Inspector", None)  # it would be called next
    with pytest.raises(WriteError):
        run(lot, lot / "12.klarf", lot / target)


@pytest.mark.parametrize("column", ["XREL", "my score"])
def test_a_column_that_cannot_take_scores_is_refused_before_the_inspection(
    lot: Path, column: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("waferroute.klarf_inspect.Inspector", None)
    with pytest.raises(ConfigurationError):
        run(lot, lot / "12.klarf", lot / "out.klarf", score_column=column)


def test_what_the_list_has_no_column_for_is_told(bundle: Path, lot: Path):
    source = lot / "12.klarf"
    source.write_text(FILE_12.replace("ROUGHBINNUMBER", "OTHER"))
    _, text = run(bundle, source, lot / "out.klarf", score_column=None)
    assert (lot / "out.klarf").read_bytes() == source.read_bytes()
    assert "the list has no column ROUGHBINNUMBER, REVIEWSAMPLE: what belongs there is not written" in text
    assert "marked for review" not in text


def test_notes_do_not_break_the_json(bundle: Path, lot: Path, capsys: pytest.CaptureFixture[str]):
    rules = RULES | {"bins": {**RULES["bins"], "big": {"rough": 21, "class_number": 7}}}  # type: ignore[dict-item]
    (lot / "rules.json").write_text(json.dumps(rules))
    options = {"rules": lot / "rules.json", "json_output": True}
    _, text = run(bundle, lot / "12.klarf", lot / "out.klarf", **options)
    assert all(json.loads(line) for line in text.splitlines())
    assert "note: class 7 is 'Scratch' in the list" in capsys.readouterr().err
