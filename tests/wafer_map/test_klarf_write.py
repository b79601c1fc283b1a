"""What is written reads back the same; what is filled in changes nothing else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.wafer_map.klarf_samples import FILE_12, FILE_18
from tests.wafer_map.klarf_strategies import TIMESTAMP, comparable, damage, wafers
from wafer_data.errors import ConfigurationError, InputError
from wafer_map.klarf import (
    Defect,
    DefectResult,
    ImageEntry,
    WaferResult,
    fill,
    parse_klarf,
    write_12,
    write_18,
)
from wafer_map.klarf.fill import class_name_notes, unwritten_columns

SLOW = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


@SLOW
@given(st.lists(wafers(nanometres=False), min_size=1, max_size=3))
def test_a_12_file_reads_back_the_same(generated: list[WaferResult]):
    file = parse_klarf(write_12(generated, TIMESTAMP))
    assert [comparable(w) for w in file.wafers] == [comparable(w) for w in generated] and not file.notes


@SLOW
@given(st.lists(wafers(nanometres=True), min_size=1, max_size=3))
def test_an_18_file_reads_back_the_same(generated: list[WaferResult]):
    file = parse_klarf(write_18(generated, TIMESTAMP))
    assert [comparable(w) for w in file.wafers] == [comparable(w) for w in generated] and not file.notes


@pytest.mark.parametrize("text", [FILE_12, FILE_18])
def test_an_18_file_keeps_the_images_of_a_file_that_was_read(text: str):
    before = parse_klarf(text.encode()).wafers
    after = parse_klarf(write_18(before, TIMESTAMP)).wafers
    assert [d.images for w in after for d in w.defects] == [d.images for w in before for d in w.defects]
    assert None not in [image.number for d in after[0].defects for image in d.images]


@SLOW
@given(st.data())
def test_a_damaged_file_is_read_or_refused_and_never_crashes(data: st.DataObject):
    whole = data.draw(st.sampled_from([FILE_12.encode(), FILE_18.encode()]))
    broken = data.draw(damage(whole))
    for keep in (False, True):
        try:
            parse_klarf(broken, keep_incomplete=keep)
        except InputError as error:
            assert "\n" not in str(error)


@pytest.mark.parametrize("text", [FILE_12, FILE_18, FILE_12.replace("\n", "\r\n")])
def test_nothing_filled_in_gives_the_same_bytes(text: str):
    assert fill(parse_klarf(text.encode()), {}) == text.encode()


@pytest.mark.parametrize("text", [FILE_12, FILE_18])
def test_filling_in_changes_only_the_cells_that_were_meant(text: str):
    file = parse_klarf(text.encode())
    results = {
        (0, 1): DefectResult(class_number=42, rough_bin=3, score=0.25),
        (0, 0): DefectResult(score=None),
    }
    filled = fill(file, results, class_names={42: "Particle", 9: "unused"})
    again = parse_klarf(filled)
    defect = again.wafers[0].defects[1]
    assert (defect.class_number, defect.rough_bin) == (42, 3)
    assert again.wafers[0].classes == {0: "Unclassified", 7: "Scratch", 42: "Particle"}
    assert [d.values["ANOMALYSCORE"] for d in again.wafers[0].defects] == ["-1", "0.25", "-1"]
    assert [d.images for d in again.wafers[0].defects] == [d.images for d in file.wafers[0].defects]
    # Taken out again, what is left is the input.
    undone = fill(again, {(0, 1): DefectResult(class_number=7, rough_bin=0)}).decode()
    for added in (' 42 "Particle"', "ANOMALYSCORE", "-1", "0.25"):
        assert added in undone
    assert all(word in undone.split() for word in text.split() if word.isalnum() and not word.isdigit())


def test_without_a_score_column_every_other_byte_stays():
    file = parse_klarf(FILE_12.encode())
    filled = fill(file, {(0, 1): DefectResult(class_number=0, score=0.5)}, score_column=None)
    assert filled.decode() == FILE_12.replace("20 7 1 0 0 0;", "20 0 1 0 0 0;")


def test_a_column_that_the_list_has_takes_the_score():
    text = FILE_18.replace("float PHI", "float MYSCORE")
    filled = fill(parse_klarf(text.encode()), {(0, 0): DefectResult(score=1.5)}, score_column="MYSCORE")
    assert filled.decode() == text.replace("0 0.5\n", "0 1.5\n")


def test_imagecount_is_filled_in_only_where_no_image_list_contradicts_it():
    text = FILE_12.replace("DefectRecordSpec 13", "DefectRecordSpec 12").replace(" IMAGELIST ;", ";")
    for old, new in (
        ("0 2 2 1 0 2 0", "0 2"),
        ("20 7 1 0 0 0", "20 7 1 0 0"),
        ("0 1 1 1 0;", "0 1;"),
        ("1 0 1 0 0 0;", "1 0 1 0 0;"),
    ):
        text = text.replace(old, new)
    filled = parse_klarf(fill(parse_klarf(text.encode()), {(1, 0): DefectResult(images=4)}))
    assert filled.wafers[1].defects[0].values["IMAGECOUNT"] == "4"
    kept = fill(parse_klarf(FILE_12.encode()), {(1, 0): DefectResult(images=4)})
    assert kept == FILE_12.encode()


def test_a_result_for_no_defect_is_refused():
    with pytest.raises(InputError, match="no defect 9"):
        fill(parse_klarf(FILE_12.encode()), {(0, 9): DefectResult(rough_bin=1)})


def test_a_class_name_cannot_break_out_of_its_string():
    filled = fill(
        parse_klarf(FILE_12.encode()), {(0, 0): DefectResult(class_number=5)}, class_names={5: 'a";\nSlot 9'}
    )
    assert parse_klarf(filled).wafers[0].slot == "1"


@pytest.mark.parametrize(
    "column",
    [
        "XREL",
        "yrel",
        "DefectID",
        "XINDEX",
        "DSIZE",
        "DEFECTAREA",
        "ROUGHBINNUMBER",
        "IMAGECOUNT",
        "IMAGEINFO",
    ],
)
@pytest.mark.parametrize("text", [FILE_12, FILE_18])
def test_scores_do_not_go_into_a_column_that_says_something_else(text: str, column: str):
    with pytest.raises(ConfigurationError, match=f"{column} of a defect list is no place for scores"):
        fill(parse_klarf(text.encode()), {(0, 0): DefectResult(score=1.0)}, score_column=column)


@pytest.mark.parametrize("column", ["my score", "", 'A"B', "A;", "3D", "\u7c92"])
def test_scores_do_not_go_into_a_column_that_no_file_can_have(column: str):
    with pytest.raises(ConfigurationError, match="no column's name"):
        fill(parse_klarf(FILE_12.encode()), {}, score_column=column)


def test_it_is_told_which_results_have_no_column():
    results = {(0, 0): DefectResult(class_number=1, rough_bin=2, review=1)}
    assert unwritten_columns(parse_klarf(FILE_12.encode()), results) == ("REVIEWSAMPLE",)
    without = FILE_12.replace("ROUGHBINNUMBER", "OTHER")
    assert unwritten_columns(parse_klarf(without.encode()), results) == ("ROUGHBINNUMBER", "REVIEWSAMPLE")
    assert unwritten_columns(parse_klarf(FILE_12.encode()), {(0, 0): DefectResult(score=1.0)}) == ()


def test_a_class_that_the_list_calls_otherwise_keeps_its_name_and_that_is_noted():
    file = parse_klarf(FILE_12.encode())
    (note,) = class_name_notes(file, {7: "big", 42: "new", 0: "Unclassified"})
    assert "class 7 is 'Scratch' in the list" in note and "'big'" in note
    filled = parse_klarf(fill(file, {(0, 0): DefectResult(class_number=7)}, class_names={7: "big"}))
    assert filled.wafers[0].classes[7] == "Scratch"


def test_a_class_name_in_letters_that_the_file_lacks_is_written_without_them_and_that_is_noted():
    file = parse_klarf(FILE_12.replace('"D"', '"D\xe4"').encode("latin-1"))
    names = {42: "\u7c92\u5b50 a"}
    again = parse_klarf(fill(file, {(0, 0): DefectResult(class_number=42)}, class_names=names))
    assert again.wafers[0].classes[42] == "?? a" and again.wafers[0].device == "D\xe4"
    assert "is written as '?? a'" in class_name_notes(file, names)[0]
    assert class_name_notes(parse_klarf(FILE_12.encode()), names) == []


def wafer(*defects: Defect, **more: object) -> WaferResult:
    fields = {
        "lot": "L",
        "wafer": "W",
        "die_pitch": (1.0, 1.0),
        "center": (0.0, 0.0),
        "defects": list(defects),
    }
    return WaferResult(**{**fields, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (wafer(lot=None), "lot is unknown"),
        (wafer(device='a"b'), "quote"),
        (wafer(Defect(1, x_rel=1.0), Defect(2)), "XREL is known for some"),
        (wafer(Defect(1, x_rel=float("nan"))), "no length"),
        (wafer(Defect(1, images=(ImageEntry("a"), ImageEntry("b")))), "one image file"),
        (wafer(Defect(1, values={"PHI": "1; DefectList"})), "cannot be written"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(bad: WaferResult, reason: str):
    with pytest.raises(InputError, match=reason):
        write_12([bad], TIMESTAMP)
