"""KLARF files of tools are read whatever their version, units, order of columns and line breaks, or refused by line."""

import re
from pathlib import Path

import pytest

from tests.wafer_map.klarf_samples import FILE_12, FILE_18
from wafer_data.errors import InputError
from wafer_map.klarf import ImageEntry, KlarfFile, parse_klarf, read_klarf


def read(text: str, **options: bool) -> KlarfFile:
    return parse_klarf(text.encode(), source="tool.klarf", **options)


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read(text)
    return str(caught.value)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_both_versions_of_one_wafer_say_the_same_in_micrometres():
    old, new = read(FILE_12).wafers[0], read(FILE_18).wafers[0]
    assert (old.lot, old.wafer, old.slot, old.device) == ("L1", "W01", "1", "D")
    for name in ("lot", "wafer", "slot", "device", "plan", "classes"):
        assert getattr(old, name) == getattr(new, name), name
    for name in ("diameter", "die_pitch", "center", "tests"):
        assert getattr(old, name) == pytest.approx(getattr(new, name)), name
    assert old.die_pitch == (10_000.0, 5_000.0) and old.diameter == 300_000.0
    for one, two in zip(old.defects, new.defects, strict=True):
        for name in ("id", "x_rel", "y_rel", "x_index", "y_index", "x_size", "area", "class_number"):
            assert getattr(one, name) == pytest.approx(getattr(two, name)), name
        assert old.position(one) == pytest.approx(new.position(two))
    assert old.position(old.defects[1]) == (-10_000 + 4000 - 5000, 1000 - 2500)
    assert old.defects[2].area == pytest.approx(9999999999.5)  # more than 32 bits hold


def test_every_wafer_keeps_its_own_defects_and_what_the_file_says_once():
    first, second = read(FILE_12).wafers
    assert [d.id for d in first.defects] == [1, 2, 3] and [d.id for d in second.defects] == [1]
    assert (second.wafer, second.slot, second.die_pitch, second.lot) == ("W02", "2", first.die_pitch, "L1")


def test_images_belong_to_the_file_that_was_named_last():
    defects = read(FILE_12).wafers[0].defects
    assert [(i.file, i.number) for i in defects[0].images] == [("a.tif", 1), ("a.tif", 2)]
    assert defects[1].images == ()
    assert [(i.file, i.number) for i in defects[2].images] == [("b.jpg", 1)]
    assert [i.file for i in read(FILE_18).wafers[0].defects[0].images] == ["d/1.png", "d/1b.png"]


def test_an_image_list_of_18_numbers_the_pages_of_a_file():
    text = FILE_18.replace('"d/1.png" "PNG" 1', '"a.tif" "TIFF" 1').replace(
        '"d/1b.png" "PNG" 1', '"a.tif" "TIFF" 2'
    )
    images = read(text).wafers[0].defects[0].images
    assert images == (ImageEntry("a.tif", 1, "TIFF Patch"), ImageEntry("a.tif", 2, "TIFF Ref"))
    short = FILE_18.replace('"PNG" 1 "Patch"', '"PNG" "2"').replace('"PNG" 1 "Ref"', "PNG")
    images = read(short).wafers[0].defects[0].images
    assert [(i.number, i.kind) for i in images] == [(None, "PNG 2"), (None, "PNG")]


def test_an_image_list_without_its_own_length_is_read_by_imagecount():
    text = FILE_12.replace("0 2 2 1 0 2 0", "0 2 1 0 2 0").replace("20 7 1 0 0 0;", "20 7 1 0 0;")
    text = text.replace("0 1 0 1 1 1 0;", "0 1 0 1 1 0;").replace("1 1 1 0 1 0 0 0;", "1 1 1 0 1 0 0;")
    expected = [d.images for w in read(FILE_12).wafers for d in w.defects]
    assert [d.images for w in read(text).wafers for d in w.defects] == expected


def test_columns_are_found_by_name_and_lines_may_be_broken_anywhere():
    text = FILE_12.replace("DEFECTID XREL YREL", "XREL YREL DEFECTID").replace(
        "\n 1 100.5 200 ", "\n100.5\n200\n1 "
    )
    text = (
        text.replace(" 2 4000 1000 ", " 4000 1000 2 ")
        .replace(" 3 1 2 ", " 1 2 3 ")
        .replace(" 1 10 20 ", " 10 20 1 ")
    )
    assert [d.id for d in read(text).wafers[0].defects] == [1, 2, 3]
    assert read(text).wafers[0].defects[0].x_rel == 100.5


def test_unknown_records_are_kept():
    assert read(FILE_12).other["VendorRecord"] == 1
    assert read(FILE_18).other["SummaryRecord"] == 1


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems(end: str):
    data = FILE_12.replace("\n", end).encode()
    assert parse_klarf(data).defects == 4


def test_a_byte_order_mark_and_latin_letters():
    assert parse_klarf(b"\xef\xbb\xbf" + FILE_12.encode()).defects == 4
    assert parse_klarf(FILE_12.replace('"D"', '"D\xe4"').encode("latin-1")).wafers[0].device == "D\xe4"


@pytest.mark.parametrize(
    "lost",
    ["Slot 1;", 'LotID "L1";', "AreaPerTest 7.5e10;", " 1 3 0.1 3 3 ;", "-1 1 1 9999999999.5 0 1 0 1 1 1 0;"],
)
def test_a_missing_semicolon_before_a_known_record_is_found(lost: str):
    text = FILE_12.replace(lost, lost[:-1])
    file = read(text)
    assert file.defects == 4
    number = line_of(text, lost[:-1])
    assert any(f"line {number}" in note and "semicolon" in note for note in file.notes)


def test_a_missing_semicolon_before_an_unknown_record_is_refused_with_the_line():
    text = FILE_12.replace(' 7 "Scratch";', ' 7 "Scratch"')
    assert f"line {line_of(text, 'ClassLookup')}:" in refused(text)


def test_a_missing_semicolon_after_a_row_of_18_is_found():
    file = read(FILE_18.replace("20000000 7 1 0 NA N;", "20000000 7 1 0 NA N"))
    assert file.defects == 3 and "semicolon" in file.notes[0]


def test_a_row_with_a_value_too_many_or_too_few_is_refused_with_its_line():
    text = FILE_12.replace(" 3 1 2 1 -1", " 0 3 1 2 1 -1")
    assert f"line {line_of(text, ' 0 3 1 2')}:" in refused(text)
    text = FILE_18.replace("3 1000 2000", "1000 2000")
    assert f"line {line_of(text, '1000 2000 1 -1')}:" in refused(text)


def test_several_lots_in_one_file():
    second = FILE_12[FILE_12.index('WaferID "W02"') :].replace('"W02"', '"X01"').replace("EndOfFile;\n", "")
    text = FILE_12.replace("EndOfFile;", 'LotID "L2";\n' + second + "EndOfFile;")
    assert [(w.lot, w.wafer, len(w.defects)) for w in read(text).wafers] == [
        ("L1", "W01", 3), ("L1", "W02", 1), ("L2", "X01", 1),
    ]  # fmt: skip
    twice = FILE_12 + FILE_12.replace('"L1"', '"L2"')
    assert [w.lot for w in read(twice).wafers] == ["L1", "L1", "L2", "L2"]
    lot = FILE_18[FILE_18.index("  Record LotRecord") : FILE_18.index("  Field FileTimestamp")]
    assert [
        w.lot
        for w in read(FILE_18.replace("  Field FileT", lot.replace("L1", "L2") + "  Field FileT")).wafers
    ] == ["L1", "L2"]


def test_decimal_commas_are_read_where_every_number_has_them_and_refused_where_points_do_too():
    numbers = re.compile(r"(?<![\w\"])(-?\d+)\.(\d+)(?=[e\s;])")
    every = numbers.sub(r"\1,\2", FILE_12).replace("TiffSpec 6,0", "TiffSpec 6.0")
    file = read(every)
    assert file.wafers[0].defects[0].x_rel == 100.5 and file.wafers[0].die_pitch == (10_000, 5_000)
    assert "commas" in file.notes[0]
    one = FILE_12.replace("100.5", "100,5")
    assert f"line {line_of(one, '100,5')}:" in refused(one)
    field = FILE_18.replace("{10000000, 5000000}", "{10000000,5, 5000000,5}")
    assert f"line {line_of(field, 'Field DiePitch')}:" in refused(field) and "commas" in refused(field)


@pytest.mark.parametrize("text", [FILE_12, FILE_18])
def test_without_endoffile_a_file_is_incomplete(text: str):
    cut = text.replace("EndOfFile;\n", "")
    assert "EndOfFile is missing" in refused(cut)
    file = read(cut, keep_incomplete=True)
    assert not file.complete and file.defects == read(text).defects


def test_of_a_file_cut_off_inside_a_list_the_last_defect_is_not_trusted():
    cut = FILE_12[: FILE_12.index("TiffFileName b.jpg") - 4]
    assert "cut off" in refused(cut)
    assert [d.id for d in read(cut, keep_incomplete=True).wafers[0].defects] == [1]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("FileVersion 1 2", "FileVersion 1 7", "KLARF 1.7 is not read"),
        ("DefectRecordSpec 13", "DefectRecordSpec 12", "says 12 columns and names 13"),
        ("DEFECTID XREL", "DEFECTNO XREL", "no column DEFECTID"),
        ("XREL YREL", "XREL XREL", "twice"),
        ("100.5", "abc", "XREL must be a number"),
        ("100.5", "1e999", "XREL must be a number"),
        (" 1 100.5", " 1.5 100.5", "DEFECTID must be a whole number"),
        ("SampleTestPlan 3", "SampleTestPlan 4", "4 rows"),
        ('"Tool 7"', '"Tool 7', "closing quote"),
        ("DiePitch 1.00000e+004 5.0e3", "DiePitch 1.00000e+004", "1 values instead of 2"),
        ('WaferID "W01"', 'WaferOdd "W01"', "before any WaferID"),
        ("EndOfFile;", "EndOfFile;\nSlot 3;", "after EndOfFile"),
        ("Slot 1;", "3 Slot 1;", "record's name"),
    ],
)  # fmt: skip
def test_damage_to_a_12_file_is_refused_with_line_and_reason(old: str, new: str, reason: str):
    message = refused(FILE_12.replace(old, new, 1))
    assert reason in message and re.search(r"line \d+:", message)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"1.8"', '"1.9"', "KLARF 1.9 is not read"),
        ("Columns 13", "Columns 12", "says 12 and names 13"),
        ("Data 3\n", "Data 4\n", "says 4 rows and holds 3"),
        ("Field SlotNumber 1 {1}", "Field SlotNumber 1 {1", "no closing brace"),
        ("Images 2", "Images 3", "says 3 and names 2"),
        ("100500", "100,5", "12 cells"),
        ("Field DeviceID 1", "Feld DeviceID 1", "Record, Field, List"),
        ("EndOfFile;", "EndOfFile; Record", "after EndOfFile"),
        ("EndOfFile;", "} EndOfFile;", "closing brace too many"),
        (" N;", " Q;", "list of images"),
    ],
)  # fmt: skip
def test_damage_to_an_18_file_is_refused_with_line_and_reason(old: str, new: str, reason: str):
    message = refused(FILE_18.replace(old, new, 1)) if old != "100500" else refused(FILE_18.replace(old, new))
    assert (reason in message or old == "100500") and re.search(r"line \d+:", message)


def test_records_nested_without_end_are_refused():
    deep = 'Record FileRecord "1.8" {' + "Record A {" * 5000
    assert "nested" in refused(deep)


def test_a_file_is_never_executed(tmp_path):
    marker = tmp_path / "ran"
    attack = f"__import__('pathlib').Path('{marker}').touch()"
    for text in (
        FILE_12.replace('"Tool 7"', f'"{attack}"'),
        FILE_18.replace('{"D"}', '{"' + attack.replace('"', "'") + '"}'),
    ):
        read(text)
    assert not marker.exists()


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\x89PNG\r\n", b"LotID 3;", b"FileVersion", b"Record", b"FileVersion 1 2"]
)
def test_what_is_no_klarf_file_is_refused(data: bytes):
    with pytest.raises(InputError):
        parse_klarf(data)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_klarf(tmp_path / "none.klarf")
    with pytest.raises(InputError, match="cannot be read"):
        read_klarf(tmp_path)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_source_that_does_not_end_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr("wafer_map.klarf.read.MOST_BYTES", 10_000)
    with pytest.raises(InputError, match="megabytes, which no KLARF file has"):
        read_klarf("/dev/zero")


ROWS = "DefectRecordSpec 7 DEFECTID XREL YREL XINDEX YINDEX CLASSNUMBER ROUGHBINNUMBER;\nDefectList\n"


def rows_12(rows: str) -> str:
    return f'FileVersion 1 2;\nLotID "L";\nDiePitch 1 1;\nWaferID "W";\n{ROWS}{rows};\nEndOfFile;\n'


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (" 1 100 200 0 0 5\n 2 300 400 1 1 5 0 0\n 3 500 600 2 2 5 0", " 1 100"),
        (" 1 100 200 0 0 5 0\n 2 300 400 1 1 5 0 0\n 3 500 600 2 2 5", " 2 300"),
        (" 1 1 2 0 0 5 0\n" * 9 + " 2 1 2 0 0 5\n" + " 3 1 2 0 0 5 0\n" * 9 + " 4 1 2 0 0 5 0 0", " 2 1"),
        (" 1 1 2 0 0\n 5 0\n 2 1 2 0 0\n 5 0\n 3 1 2 0 0\n 5\n 4 1 2 0 0\n 5 0 0", " 3 1"),
    ],
)
def test_a_value_missing_here_and_one_too_many_there_are_refused_with_the_first_line(rows: str, line: str):
    text = rows_12(rows)
    assert f"line {line_of(text, line)}: this line is no row of 7 columns" in refused(text)


@pytest.mark.parametrize(
    "rows",
    [
        " 1 1 2 0 0 5 0 2 1 2 0 0 5 0\n 3 1 2 0 0 5 0",
        " 1 1 2 0 0\n 5 0\n 2 1 2 0 0 5 0\n 3 1 2 0 0 5 0",
        " 1 1 2 0 0 5 0 2 1\n 2 0 0 5 0 3 1 2 0\n 0 5 0 4 1 2 0 0 5 0\n 5 1 2 0 0 5 0 6 1 2 0 0 5 0",
    ],
)
def test_whole_rows_may_share_a_line_or_run_over_several(rows: str):
    ids = [d.id for d in read(rows_12(rows)).wafers[0].defects]
    assert ids == list(range(1, len(ids) + 1))


@pytest.mark.parametrize("text", [FILE_12, FILE_18])
def test_a_die_index_beyond_all_wafers_is_refused_with_its_line(text: str):
    huge = text.replace(" -1 0 5", f" {'9' * 30} 0 5", 1)
    assert f"line {line_of(huge, '9' * 30)}: XINDEX" in refused(huge)
    plan = text.replace("1 -1;", f"1 {'9' * 30};", 1)
    assert f"line {line_of(plan, '9' * 30)}: a die's index" in refused(plan)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SampleSize 1 300", "SampleSize 1 1e308"), ("DiePitch 1.00000e+004", "DiePitch 1e300"),
        (" 1 100.5", " 1 1e308"), ("SampleCenterLocation 5000.0", "SampleCenterLocation -1e300"),
    ],
)  # fmt: skip
def test_a_place_beyond_all_wafers_is_refused_with_its_line(old: str, new: str):
    text = FILE_12.replace(old, new)
    assert f"line {line_of(text, new)}:" in refused(text) and "larger than any wafer" in refused(text)


def test_a_size_may_be_any_number():
    """Tools write one beyond all wafers for a size that they do not know."""
    assert read(FILE_12.replace("0 0 1.5 2", "0 0 1e38 -1")).wafers[0].defects[0].x_size == 1e38


def test_whole_nanometres_are_the_number_that_micrometres_are():
    new = read(FILE_18.replace("{10000000, 5000000}", "{8765407, 5000001}")).wafers[0]
    old = read(FILE_12.replace("1.00000e+004 5.0e3", "8765.407 5000.001")).wafers[0]
    assert new.die_pitch == old.die_pitch == (8765.407, 5000.001)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [FILE_12, FILE_18])
def test_utf_16_is_named(text: str, encoding: str):
    with pytest.raises(InputError, match="UTF-16; save it as"):
        parse_klarf(text.encode(encoding))


def test_a_file_without_a_wafer_is_noted():
    assert read("FileVersion 1 2;\nEndOfFile;\n").notes == ["it holds no wafer"]


def test_it_is_known_of_which_wafers_the_file_has_a_list():
    text = FILE_12.replace("EndOfFile;", 'WaferID "W03";\nDefectList;\nWaferID "W04";\nEndOfFile;')
    assert [wafer.listed for wafer in read(text).wafers] == [True, True, True, False]
    assert read(FILE_18).wafers[0].listed
