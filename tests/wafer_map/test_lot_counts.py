"""What is counted of a lot: nothing unknown is good, no wafer counts twice, and bad tables are refused by line."""

from pathlib import Path

import pytest

from tests.wafer_map.klarf_samples import FILE_12
from wafer_data.errors import ConfigurationError, DataError
from wafer_map.decide import WaferCounts
from wafer_map.lot_counts import CountedWafer, count_lot

BINNED = FILE_12.replace("0 1 0 2 2 1", "0 1 3 2 2 1").replace("20 7 1 0 0 0", "20 7 1 1 0 0")


@pytest.fixture
def count(tmp_path: Path):
    """Counts files of these contents; those that begin as a table does are tables."""

    def counted(*texts: str, bins: list[int] | None = None) -> list[CountedWafer]:
        paths = [tmp_path / f"{i}{'.klarf' if text[:1] == 'F' else '.csv'}" for i, text in enumerate(texts)]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        return count_lot(paths, bins)

    return counted


def test_dies_are_counted_by_bin_and_those_without_one_are_unjudged(count):
    first, second = count(BINNED, bins=[3])
    assert (first.lot, first.name, first.counts) == ("L1", "W01", WaferCounts(2, 1, unjudged=1))
    assert second.counts == WaferCounts(2, 0, unjudged=1) and "unjudged" in second.notes[0]
    assert [one.counts for one in count(BINNED)] == [WaferCounts(3, 3), WaferCounts(3, 1)]


def test_of_a_list_that_was_never_binned_no_die_with_a_defect_counts_as_judged(count):
    assert count(FILE_12, bins=[3])[0].counts == WaferCounts(0, 0, unjudged=3)


def test_bins_of_a_list_without_them_are_refused_with_file_and_wafer(count):
    with pytest.raises(DataError, match=r"0\.klarf: wafer W01: its defect list has no column ROUGHBINNUMBER"):
        count(FILE_12.replace("ROUGHBINNUMBER", "OTHER"), bins=[3])
    with pytest.raises(ConfigurationError, match="a table holds counts already"):
        count("wafer,sites,defects\nW,1,0\n", bins=[3])


def test_without_a_sample_plan_every_die_counts_and_that_is_told(count):
    start, end = FILE_12.index("SampleTestPlan"), FILE_12.index("AreaPerTest")
    first = count(FILE_12[:start] + FILE_12[end:])[0]
    assert first.counts.sites > 600 and "no sample plan, so every die" in first.notes[0]


def test_of_a_wafer_without_a_defect_list_nothing_is_known(count):
    third = count(FILE_12.replace("EndOfFile;", 'WaferID "W03";\nEndOfFile;'))[2]
    assert third.counts == WaferCounts(0, 0, unjudged=3) and "no defect list" in third.notes[0]
    third = count(FILE_12.replace("EndOfFile;", 'WaferID "W03";\nDefectList;\nEndOfFile;'))[2]
    assert third.counts == WaferCounts(3, 0)


def test_a_file_without_a_wafer_is_refused(count):
    with pytest.raises(DataError, match="holds no wafer: nothing is known"):
        count("FileVersion 1 2;\nEndOfFile;\n")


def test_a_wafer_is_counted_once(count):
    with pytest.raises(DataError, match=r"1\.klarf: wafer W01 was counted already .*0\.klarf"):
        count(FILE_12, FILE_12)
    with pytest.raises(DataError, match=r"line 4: wafer W1 was counted already .*line 2"):
        count("wafer,sites,defects\nW1,9,0\nW2,9,0\nW1,9,0\n")


def test_several_lots_are_refused_by_name(count):
    other = FILE_12.replace('"L1"', '"L2"')
    with pytest.raises(DataError, match="wafer W01 is of lot L2, others are of lot L1"):
        count(FILE_12, other)
    with pytest.raises(DataError, match="line 3: wafer W1 is of lot B, others are of lot A"):
        count("lot,wafer,sites,defects\nA,W1,9,0\nB,W1,9,0\n")


def test_an_empty_cell_is_no_count_of_sites_or_defects_and_else_says_nothing(count):
    for row in ("W1,100,", "W1,,2"):
        with pytest.raises(DataError, match=r"line 2: .* must be a whole number .* got ''"):
            count(f"wafer,sites,defects\n{row}\n")
    (only,) = count("wafer,sites,defects,unjudged,killers\nW1,100,2,,1\n")
    assert only.counts == WaferCounts(100, 2, killers=1)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("W1,9,0\n\n\nW2,x,0\n", "line 5: sites"), ("W1,9,0\n\nW2,100,101\n", "line 4: 101 sites with defects"),
        ('"W\n1",9,0\n\nW2,9\n', "line 5: it has another number of cells"),
    ],
)  # fmt: skip
def test_lines_are_those_of_the_file(count, rows: str, words: str):
    with pytest.raises(DataError, match=words):
        count("wafer,sites,defects\n" + rows)


def test_a_column_that_stands_twice_is_refused(count):
    with pytest.raises(DataError, match="line 1: two columns defects"):
        count("wafer,sites,defects,defects\nW1,9,0,9\n")
