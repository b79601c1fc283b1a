"""Tables that people keep: commas or semicolons, columns in any case; what is wrong is named with its line."""

import pytest

from wafer_data.csv_table import read_table
from wafer_data.errors import DataError, InputError


def cells(path, content: bytes, *needed: str) -> list[dict[str, str]]:
    (path / "t.csv").write_bytes(content)
    return [row.cells for row in read_table(path / "t.csv", needed)]


@pytest.mark.parametrize(
    "content",
    [
        b"wafer,sites\nW1,2\nW2,3\n",
        b"\xef\xbb\xbfWafer; SITES\r\nW1;2\r\n\r\nW2;3\r\n",
        b'"wafer","sites"\n"W1","2"\nW2,3',
    ],
)
def test_tables_of_every_spelling_read_alike(tmp_path, content):
    assert cells(tmp_path, content, "sites") == [{"wafer": "W1", "sites": "2"}, {"wafer": "W2", "sites": "3"}]


def test_a_cell_may_hold_the_separator_and_a_line_break(tmp_path):
    assert cells(tmp_path, b'a,b\n"x, y","1\n2"\n') == [{"a": "x, y", "b": "1\n2"}]


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    assert cells(tmp_path, b"a,b\n", "a") == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no column a: its first line must name a"),
        (b"b,c\n1,2\n", "no column a"),
        (b"a,A\n1,2\n", "line 1: two columns a"),
        (b"a,b\n1,2\n1\n", "line 3: it has another number of cells"),
        (b"a,b\n\xff,2\n", "not UTF-8"),
    ],
)
def test_what_is_no_such_table_is_named(tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        cells(tmp_path, content, "a")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "none.csv", ("a",))


@pytest.mark.parametrize("text", ["", "-1", "1.5", "x", "1234567890"])
def test_a_count_that_is_no_whole_number_is_named_with_its_line(tmp_path, text):
    (tmp_path / "t.csv").write_text(f"a,b\n{text},0\n")
    (row,) = read_table(tmp_path / "t.csv", ("a",))
    with pytest.raises(DataError, match="line 2: a must be a whole number"):
        row.whole("a")
