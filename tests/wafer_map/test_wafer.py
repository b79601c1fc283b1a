"""Which dies of a wafer were judged, which are bad, and that their map is XML whatever their names are."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.wafer_map.klarf_samples import FILE_12
from wafer_data.errors import DataError
from wafer_map.e142 import die_bins
from wafer_map.klarf import Defect, WaferResult, parse_klarf
from wafer_map.svg import draw
from wafer_map.wafer import WaferMap, counted_defects, dies_of

PLAN = ((0, 0), (1, 0), (2, 0), (3, 0))


def wafer(*bins: tuple[int, int | None]) -> WaferResult:
    """A wafer of four dies with defects (column of the die, bin)."""
    defects = [Defect(i + 1, x_index=x, y_index=0, rough_bin=number) for i, (x, number) in enumerate(bins)]
    columns = ("DEFECTID", "XINDEX", "YINDEX", "RoughBinNumber")
    return WaferResult(lot="L", wafer="W", plan=PLAN, columns=columns, defects=defects)


def counted(found: WaferResult, bins: list[int] | None) -> list[bool | None]:
    return list(dies_of(found, counted_defects(found, bins)).values())


def test_without_bins_every_defect_counts():
    assert counted(wafer((0, 0), (1, 3)), None) == [True, True, False, False]


def test_by_bins_a_die_with_a_defect_that_has_no_bin_yet_is_unjudged_unless_another_counts():
    found = wafer((0, 0), (1, None), (2, 0), (2, 3), (3, 0), (3, 1))
    assert counted(found, [3]) == [None, None, True, None]
    assert counted(wafer((0, 1), (1, 2)), [3]) == [False] * 4


def test_by_bins_a_defect_without_a_judged_image_is_unjudged_unless_its_bin_counts():
    found = wafer((0, 2), (1, 2))
    found.defects[0] = replace(found.defects[0], values={"ANOMALYSCORE": "-1"})
    assert counted(found, [3]) == [None, False, False, False]
    assert counted(found, [2]) == [True, True, False, False]


def test_bins_of_a_list_without_such_a_column_are_refused():
    found = replace(wafer((0, None)), columns=("DEFECTID", "XINDEX", "YINDEX"))
    with pytest.raises(DataError, match="wafer W: its defect list has no column ROUGHBINNUMBER"):
        counted_defects(found, [3])


def test_a_defect_that_lies_on_no_die_is_refused_unless_it_does_not_count():
    found = wafer((0, 1))
    found.defects.append(Defect(2, rough_bin=3))
    assert counted(found, [2]) == [False] * 4
    with pytest.raises(DataError, match=r"wafer W, defect 2: its die \(XINDEX, YINDEX\) is unknown"):
        counted(found, [3])


def test_a_map_holds_the_judged_dies():
    found = wafer((0, 0), (1, 3))
    assert WaferMap.from_klarf(found, counted_defects(found, [3])).dies == PLAN[1:]
    with pytest.raises(DataError, match="inspected and judged"):
        WaferMap.from_klarf(parse_klarf(FILE_12.encode()).wafers[0], lambda _: None)


def test_a_name_that_xml_cannot_hold_does_not_break_a_map():
    found = replace(wafer((0, 3)), lot="L\x00", wafer="W\x01\ufffe")
    dies = WaferMap.from_klarf(found)
    assert "W\ufffd\ufffd" in die_bins(dies, found)
    for text in (die_bins(dies, found), draw(dies, f"{found.lot} {found.wafer}")):
        ElementTree.fromstring(text.encode())
