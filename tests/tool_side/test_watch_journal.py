"""The results file of watch mode: whole lines, kept through crashes; and its copy as a table."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Never

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tool_side.watch.csv import COLUMNS, CsvCopy
from tool_side.watch.done import Done, FileState
from tool_side.watch.journal import Journal
from wafer_data.errors import InputError

STATE = FileState(1000, 1_700_000_000_123_456_789, 42)


def row(name: str, **more: Any) -> dict[str, Any]:
    return {
        "schema": 1, "source": name, **STATE._asdict(), "sha256": "ab" * 32, "decision": "PASS", "route": "lowres",
        "score": 0.5, "lowres_score": 1.5, "full_score": None, "reasons": [], "seconds": {"total": 0.0012345},
    } | more  # fmt: skip


def write(path: Path, *names: str) -> bytes:
    with Journal(path) as journal:
        journal.load()
        journal.append([row(name) for name in names])
    return path.read_bytes()


def loaded(path: Path) -> tuple[list[str], int]:
    """Sources in the file and how many bytes were cut off."""
    sources: list[str] = []
    with Journal(path) as journal:
        cut = journal.load(lambda found: sources.append(found["source"]))
        assert journal.rows == len(sources)
    return sources, cut


class TestLines:
    def test_what_was_appended_is_there_at_the_next_start(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        write(path, "a", "b")
        write(path, "c")
        assert loaded(path) == (["a", "b", "c"], 0)
        assert [json.loads(line)["source"] for line in path.read_text().splitlines()] == ["a", "b", "c"]

    def test_cut_anywhere_the_whole_lines_stay_and_the_rest_goes(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        data = write(path, "a", "b")
        first = data.index(b"\n") + 1
        for length in (*range(0, len(data), 13), first - 1, first, first + 1, len(data) - 1):
            path.write_bytes(data[:length])
            whole = ["a"] if length >= first else []
            assert loaded(path) == (whole, length - first * len(whole))
            write(path, "c")
            assert loaded(path) == ([*whole, "c"], 0)

    def test_zeros_that_a_power_cut_left_go_too(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        data = write(path, "a")
        path.write_bytes(data + bytes(300))
        assert loaded(path) == (["a"], 300)

    def test_names_that_are_no_text_survive(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        write(path, "line\nbreak \udcff 晶圓.png")
        assert loaded(path)[0] == ["line\nbreak \udcff 晶圓.png"]

    def test_a_full_disk_leaves_whole_lines_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "r.jsonl"
        before = write(path, "a")
        with Journal(path) as journal:
            journal.load()

            def full(_: int) -> Never:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "fsync", full)
            with pytest.raises(InputError, match="disk full"):
                journal.append([row("b"), row("c")])
            monkeypatch.undo()
            assert path.read_bytes() == before
            journal.append([row("b")])
        assert loaded(path)[0] == ["a", "b"]


class TestRefused:
    @pytest.mark.parametrize(
        "content",
        [
            b"my notes, without a line end",
            b"my notes\n",
            b'{"source": "a.png", "decision": "PASS"}\n',
            b'{"schema": 1, "source": 3}\n',
            b"[1, 2]\n",
            b"\x89PNG\r\n\x1a\n" * 1000,
        ],
    )
    def test_other_files_are_left_alone(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a results file"):
            loaded(path)
        assert path.read_bytes() == content

    def test_a_broken_line_inside(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        data = write(path, "a", "b")
        path.write_bytes(data.replace(b'"size"', b'"sise"', 1))
        with pytest.raises(InputError, match="a line before line 2 is not a result"):
            loaded(path)

    def test_another_version(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        path.write_text(json.dumps(row("a", schema=2)) + "\n")
        with pytest.raises(InputError, match="line 1 has schema 2, this version writes 1"):
            loaded(path)

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot write"):
            loaded(tmp_path)

    def test_a_file_that_was_moved_or_changed_meanwhile(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        with Journal(path) as journal:
            journal.load()
            journal.append([row("a")])
            path.rename(tmp_path / "old.jsonl")
            with pytest.raises(InputError, match="moved or removed"):
                journal.append([row("b")])
            path.write_text("")
            with pytest.raises(InputError, match="replaced or changed"):
                journal.append([row("b")])
        assert loaded(tmp_path / "old.jsonl")[0] == ["a"]

    @pytest.mark.skipif(os.name != "posix", reason="files are not locked here")
    def test_a_second_writer(self, tmp_path: Path) -> None:
        path = tmp_path / "r.jsonl"
        code = (
            "from pathlib import Path; from tool_side.watch.journal import Journal; import sys\n"
            "with Journal(Path(sys.argv[1])) as j: j.load(); print('held', flush=True); sys.stdin.read()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="end that one, or name another file"):
            Journal(path)
        other.kill()  # the lock ends with the process, however that ends
        other.wait()
        assert loaded(path) == ([], 0)


class TestDone:
    @given(
        st.text(),
        st.integers(0, 2**63),
        st.integers(-(2**62), 2**62),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=32, max_size=32),
    )
    @settings(max_examples=30, deadline=None)
    def test_a_file_is_known_by_its_state_and_by_its_content(
        self, path: str, size: int, mtime_ns: int, inode: int, digest: bytes
    ) -> None:
        done, state = Done(), FileState(size, mtime_ns, inode)
        assert not done.is_same_file(path, state)
        assert not done.is_same_content(path, digest.hex())
        done.add(path, state, digest.hex())
        assert done.is_same_file(path, state)
        assert done.is_same_content(path, digest.hex())
        assert not done.is_same_file(path, state._replace(size=size + 1))
        assert not done.is_same_file(path, state._replace(mtime_ns=mtime_ns + 1))
        assert not done.is_same_content(path, bytes(reversed(digest)).hex()) or digest == digest[::-1]

    def test_only_the_last_content_of_a_path_counts(self) -> None:
        done = Done()
        done.add("a", STATE, "00" * 31 + "01")
        done.add("a", STATE, None)
        assert not done.is_same_content("a", "00" * 31 + "01")
        assert len(done) == 1


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


class TestTable:
    def copy(self, results: Path, table: Path, *new: str) -> None:
        with Journal(results) as journal, CsvCopy(table) as copy:
            journal.load(copy.add)
            copy.publish()
            rows = [row(name, reasons=["too dark", 'a "quote", a comma']) for name in new]
            journal.append(rows)
            copy.append(rows)

    def test_it_holds_every_result(self, tmp_path: Path) -> None:
        results, table = tmp_path / "r.jsonl", tmp_path / "r.csv"
        self.copy(results, table, "a", "b")
        self.copy(results, table, "c")
        head, *rows = rows_of(table)
        assert tuple(head) == COLUMNS
        assert [cells[0] for cells in rows] == ["a", "b", "c"]
        assert rows[0][COLUMNS.index("reasons")] == 'too dark; a "quote", a comma'
        assert rows[0][COLUMNS.index("milliseconds")] == "1.234"
        assert [path.name for path in tmp_path.iterdir()].count(".r.csv.part") == 0

    def test_whatever_a_crash_left_it_is_made_anew(self, tmp_path: Path) -> None:
        results, table = tmp_path / "r.jsonl", tmp_path / "r.csv"
        self.copy(results, table, "a", "b")
        whole = table.read_bytes()
        for left in (whole[:-7], whole[: len(whole) // 2], whole + b"more", b""):
            table.write_bytes(left)
            (tmp_path / ".r.csv.part").write_bytes(b"left by a kill")
            self.copy(results, table)
            assert table.read_bytes() == whole

    def test_a_name_that_is_no_text_is_shown_as_escapes(self, tmp_path: Path) -> None:
        self.copy(tmp_path / "r.jsonl", tmp_path / "r.csv", "\udcff.png")
        assert rows_of(tmp_path / "r.csv")[1][0] == "\\udcff.png"

    def test_another_file_is_not_overwritten(self, tmp_path: Path) -> None:
        table = tmp_path / "mine.csv"
        table.write_text("lot,yield\n1,0.98\n")
        with pytest.raises(InputError, match="not a table of watch mode"):
            self.copy(tmp_path / "r.jsonl", table, "a")
        assert table.read_text() == "lot,yield\n1,0.98\n"


def test_a_device_cannot_hold_results() -> None:
    with pytest.raises(InputError, match="not a regular file"):
        Journal(Path("/dev/zero"))
