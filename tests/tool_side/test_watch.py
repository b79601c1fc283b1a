"""`waferroute inspect --watch`: every image once, whatever happens to the files and to the process."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest
from PIL import Image

from tool_side import Inspector
from tool_side.watch import watch
from tool_side.watch.csv import CsvCopy
from tool_side.watch.journal import Journal
from tool_side.watch.stopping import StopRequest, stop_on_signals
from tool_side.watch.watch import WatchOptions, run_watch
from wafer_data.errors import InputError

ROOT = Path(__file__).parents[2]
Wafer = Callable[..., np.ndarray]
Watch = Callable[..., list[dict[str, Any]]]


def png(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def drop(tmp_path: Path, wafer: Wafer) -> Path:
    """Two good wafers and one with a spot, in a sub-folder; and a note."""
    folder = tmp_path / "drop"
    (folder / "lot 1").mkdir(parents=True)
    (folder / "a.png").write_bytes(png(wafer(1)))
    (folder / "b.png").write_bytes(png(wafer(2)))
    (folder / "lot 1" / "a.png").write_bytes(png(wafer(3, 0.4)))
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def inspect_all(bundle: Path, drop: Path) -> Watch:
    """Watches until everything in `drop` has its result; returns the lines that this added."""

    def run(**options: Any) -> list[dict[str, Any]]:
        results = options.get("json_lines") or drop.with_name("drop.results.jsonl")
        before = len(results.read_bytes().splitlines()) if results.exists() else 0
        out = io.StringIO()
        run.status = run_watch(bundle, drop, quick(**options), out=out)  # type: ignore[attr-defined]
        run.printed = out.getvalue()  # type: ignore[attr-defined]
        return [json.loads(line) for line in results.read_bytes().splitlines()[before:]]

    return run


def quick(**options: Any) -> WatchOptions:
    return WatchOptions(**{"poll": 0.01, "settle": 0.05, "give_up": 0.2, "once": True} | options)


def names(rows: list[dict[str, Any]]) -> list[str]:
    return sorted("/".join(Path(row["source"]).parts[-2:]) for row in rows)


class TestResults:
    def test_every_image_gets_one_line_with_what_the_inspector_says(
        self, inspect_all: Watch, drop: Path, inspector: Inspector
    ) -> None:
        rows = inspect_all()
        assert names(rows) == ["drop/a.png", "drop/b.png", "lot 1/a.png"]
        for row in rows:
            direct = inspector.inspect(row["source"]).to_dict()
            assert {name: row[name] for name in direct if name != "seconds"} == {
                name: direct[name] for name in direct if name != "seconds"
            }
            assert row["size"] == Path(row["source"]).stat().st_size
        assert [row["decision"] for row in rows if "lot 1" in row["source"]] == ["REJECT"]
        assert inspect_all.status == 0  # type: ignore[attr-defined]

    def test_images_of_a_folder_that_is_not_there_are_not_judged(
        self, inspect_all: Watch, drop: Path
    ) -> None:
        (drop / "lot 2").symlink_to(drop / "not mounted")
        assert len(inspect_all()) == 3
        assert inspect_all.status == 3  # type: ignore[attr-defined]

    def test_a_second_run_has_nothing_to_do(self, inspect_all: Watch) -> None:
        assert len(inspect_all()) == 3
        assert inspect_all() == []

    def test_the_table_and_what_is_printed_agree_with_the_lines(
        self, inspect_all: Watch, tmp_path: Path
    ) -> None:
        table, results = tmp_path / "out.csv", tmp_path / "out.jsonl"
        rows = inspect_all(csv=table, json_lines=results, json_output=True)
        assert [json.loads(line) for line in inspect_all.printed.splitlines()] == rows  # type: ignore[attr-defined]
        with table.open(newline="") as file:
            copied = [(cells["source"], cells["decision"], cells["sha256"]) for cells in csv.DictReader(file)]
        assert copied == [(row["source"], row["decision"], row["sha256"]) for row in rows]

    def test_printed_as_a_table(self, inspect_all: Watch) -> None:
        inspect_all()
        head, *lines = inspect_all.printed.splitlines()  # type: ignore[attr-defined]
        assert head.split() == ["decision", "route", "score", "ms", "image"]
        assert sorted(line.split()[0] for line in lines) == ["PASS", "PASS", "REJECT"]

    def test_heat_maps_keep_the_folders_of_the_images(self, inspect_all: Watch, tmp_path: Path) -> None:
        inspect_all(heatmaps=tmp_path / "maps")
        written = sorted(
            path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png")
        )
        assert written == ["a.png.heatmap.png", "b.png.heatmap.png", "lot 1/a.png.heatmap.png"]


class TestFilesThatChange:
    @pytest.mark.parametrize("in_place", [True, False])
    def test_new_content_under_an_old_name_is_a_new_image(
        self, inspect_all: Watch, drop: Path, wafer: Wafer, in_place: bool
    ) -> None:
        (old,) = [row for row in inspect_all() if row["source"].endswith("drop/a.png")]
        new = drop / ("a.png" if in_place else "staged")
        new.write_bytes(png(wafer(77)))
        new.replace(drop / "a.png")
        (row,) = inspect_all()
        assert row["source"] == old["source"] and row["sha256"] != old["sha256"]

    def test_the_same_content_again_is_not(self, inspect_all: Watch, drop: Path) -> None:
        inspect_all()
        os.utime(drop / "a.png", (1_600_000_000, 1_600_000_000))
        (drop / "staged").write_bytes((drop / "b.png").read_bytes())
        (drop / "staged").replace(drop / "b.png")
        assert inspect_all() == []

    def test_a_file_that_is_still_written_is_waited_for(
        self, inspect_all: Watch, drop: Path, wafer: Wafer, inspector: Inspector
    ) -> None:
        data, path = png(wafer(5, 0.4)), drop / "slow.png"
        path.write_bytes(data[:100])

        def go_on() -> None:
            with path.open("ab") as file:
                for start in range(100, len(data), 1 + len(data) // 5):
                    time.sleep(0.1)  # longer than the time to settle: each piece looks finished for a while
                    file.write(data[start : start + 1 + len(data) // 5])
                    file.flush()

        writer = threading.Thread(target=go_on)
        writer.start()
        rows = inspect_all(give_up=30)
        writer.join()
        (row,) = [row for row in rows if row["source"] == str(path)]
        assert (row["size"], row["decision"]) == (len(data), inspector.inspect(data).decision)

    def test_one_that_never_completes_is_reported_and_inspected_once_it_does(
        self, inspect_all: Watch, drop: Path, wafer: Wafer
    ) -> None:
        data, path = png(wafer(5)), drop / "torn.png"
        path.write_bytes(data[:-100])
        (row,) = [row for row in inspect_all() if row["source"] == str(path)]
        assert row["decision"] == "REVIEW" and "does not reach its own end" in row["reasons"][0]
        assert inspect_all.status == 3  # type: ignore[attr-defined]
        assert inspect_all() == []
        path.write_bytes(data)
        (row,) = inspect_all()
        assert row["decision"] == "PASS"

    def test_what_is_no_image_is_review(self, inspect_all: Watch, drop: Path) -> None:
        (drop / "text.png").write_text("this is no picture")
        (drop / "empty.png").touch()
        reasons = {Path(row["source"]).name: row for row in inspect_all()}
        assert "not an image" in reasons["text.png"]["reasons"][0]
        assert "empty file" in reasons["empty.png"]["reasons"][0]
        assert {reasons[name]["decision"] for name in ("text.png", "empty.png")} == {"REVIEW"}

    def test_a_file_that_may_not_be_read_is_review(
        self, inspect_all: Watch, drop: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = Path.open

        def denied(self: Path, *args: Any, **kwargs: Any) -> Any:
            if self.name == "b.png":  # as root, file modes would stop nobody
                raise PermissionError(13, "Permission denied")
            return opened(self, *args, **kwargs)

        monkeypatch.setattr(Path, "open", denied)
        (row,) = [row for row in inspect_all() if row["source"].endswith("drop/b.png")]
        assert row["reasons"] == ["the image cannot be read: no permission to read it"]
        assert row["sha256"] is None
        assert inspect_all() == []

    def test_odd_names(self, inspect_all: Watch, drop: Path) -> None:
        odd = drop / "line\nbreak \udcff.png"
        (drop / "a.png").rename(odd)
        rows = inspect_all(csv=drop.with_name("odd.csv"))
        assert str(odd) in [row["source"] for row in rows]
        assert inspect_all() == []


class KilledError(BaseException):
    """Stands for a kill: no handler of the program sees it."""


class TestCrashes:
    @pytest.mark.parametrize("at", ["before", "half", "unflushed", "after", "copied"])
    @pytest.mark.parametrize("batch", [1, 2, 64])
    def test_between_any_two_steps_nothing_is_lost_or_doubled(
        self, inspect_all: Watch, drop: Path, monkeypatch: pytest.MonkeyPatch, at: str, batch: int
    ) -> None:
        table, results = drop.with_name("t.csv"), drop.with_name("drop.results.jsonl")
        append, copy = Journal.append, CsvCopy.append

        def killed(*_: object) -> Never:
            raise KilledError

        def append_and_die(self: Journal, rows: Any) -> None:
            if at == "before":
                raise KilledError
            if at == "after":
                append(self, rows)
                raise KilledError
            whole = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
            self._file.seek(0, os.SEEK_END)
            self._file.write(whole[: len(whole) // 2] if at == "half" else whole)
            raise KilledError

        monkeypatch.setattr(watch, "_BATCH_ROWS", batch)
        with monkeypatch.context() as crash, pytest.raises(KilledError):
            if at == "copied":
                crash.setattr(CsvCopy, "append", lambda self, rows: (copy(self, list(rows)[:1]), killed()))
            else:
                crash.setattr(Journal, "append", append_and_die)
            inspect_all(csv=table)
        inspect_all(csv=table)
        rows = [json.loads(line) for line in results.read_bytes().splitlines()]
        assert names(rows) == ["drop/a.png", "drop/b.png", "lot 1/a.png"]
        with table.open(newline="") as file:
            assert [cells["source"] for cells in csv.DictReader(file)] == [row["source"] for row in rows]

    def test_a_folder_that_goes_away_for_a_while(
        self, bundle: Path, drop: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        away = drop.with_name("away")
        results = drop.with_name("drop.results.jsonl")

        def come_and_go(stop: StopRequest, seconds: float) -> None:
            step[0] += 1
            if step[0] == 30:
                drop.rename(away)
            elif step[0] == 60:
                away.rename(drop)
                (drop / "late.png").write_bytes((drop / "a.png").read_bytes())
            elif step[0] > 60 and len(results.read_bytes().splitlines()) == 4:
                stop.requested = True
            time.sleep(0.01)

        step = [0]
        caplog.set_level("INFO")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StopRequest, "sleep", come_and_go)
            assert run_watch(bundle, drop, quick(once=False), out=io.StringIO()) == 0
        said = caplog.text
        assert "cannot be read" in said and "can be read again" in said
        assert "4 images inspected" in said


class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_cleanly_with_a_summary(self, bundle: Path, drop: Path, number: int) -> None:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "waferroute", "inspect", str(bundle), "--watch", str(drop)),
                *("--poll", "0.05", "--settle", "0.05"),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0
        assert sorted(line.split()[0] for line in lines[1:]) == ["PASS", "PASS", "REJECT"]
        assert "3 images inspected, 2 PASS, 0 REVIEW, 1 REJECT; 3 results in" in said
        assert "Traceback" not in said

    def test_a_stop_before_all_is_done_says_what_is_left(
        self, inspect_all: Watch, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")

        def stopped(stop: StopRequest, seconds: float) -> None:
            stop.requested = True

        monkeypatch.setattr(StopRequest, "sleep", stopped)
        assert inspect_all() == []
        assert inspect_all.status == 130  # type: ignore[attr-defined]
        assert "0 images inspected" in (said := caplog.text) and "3 not inspected yet" in said

    def test_the_second_signal_is_not_held_back(self) -> None:
        with pytest.raises(KeyboardInterrupt), stop_on_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.requested
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class TestRefused:
    def test_folders_and_files_that_cannot_be_used(self, bundle: Path, drop: Path, tmp_path: Path) -> None:
        for folder, options, words in (
            (tmp_path / "nowhere", {}, "no such folder"),
            (drop / "notes.txt", {}, "not a folder"),
            (drop, {"json_lines": drop / "notes.txt"}, "not a results file"),
            (drop, {"json_lines": tmp_path / "x", "csv": tmp_path / "x"}, "different files"),
            (drop, {"csv": drop / "notes.txt"}, "not a table"),
        ):
            with pytest.raises(InputError, match=words):
                run_watch(bundle, folder, quick(**options))
        assert (drop / "notes.txt").read_text() == "no image"
        with pytest.raises(InputError, match="no such folder"):
            run_watch(tmp_path / "no bundle", drop, quick())

    @pytest.mark.parametrize("name", ["poll", "settle", "give_up"])
    @pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
    def test_times_must_be_positive(self, name: str, value: float) -> None:
        with pytest.raises(InputError, match="positive number of seconds"):
            quick(**{name: value})
