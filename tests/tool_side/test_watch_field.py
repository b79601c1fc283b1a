"""The watch on computers as they are: coarse clocks, long names, frozen cameras, links, consoles that are none."""

import io
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tool_side import Inspector, load_bundle, sinks
from tool_side.runtime.inspect_files import run_inspect
from tool_side.runtime.repeats import SeenPictures
from tool_side.watch.done import COARSE_NS, Done, FileState
from tool_side.watch.folder import WatchedFolder
from tool_side.watch.watch import WatchOptions, run_watch
from wafer_data.errors import InputError
from wafer_data.imaging.source_size import SourceSize

Wafer = Callable[..., np.ndarray]
ROOT = Path(__file__).parents[2]
SHA, OTHER = "11" * 32, "22" * 32


def save(path: Path, image: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)
    return path


def noted(path: Path, image: np.ndarray, note: str) -> Path:
    """The picture as a program stores it that writes the time, or the wafer, into each file."""
    info = PngInfo()
    info.add_text("wafer", note)
    return save(path, image, pnginfo=info)


def watched(bundle: Path, folder: Path, **options: Any) -> list[dict[str, Any]]:
    """All lines of the results file after a watch of what is there now."""
    settings = {"poll": 0.01, "settle": 0.02, "give_up": 0.1, "once": True} | options
    run_watch(bundle, folder, WatchOptions(**settings), out=io.StringIO())
    return [json.loads(line) for line in folder.with_name(folder.name + ".results.jsonl").open()]


class TestSameTick:
    def test_a_change_that_keeps_size_inode_and_time_is_found(
        self, bundle: Path, tmp_path: Path, wafer: Wafer
    ) -> None:
        path = tmp_path / "drop" / "current.bmp"
        for seed in (1, 2):
            path.parent.mkdir(exist_ok=True)
            with path.open("r+b" if path.exists() else "wb") as file:
                Image.fromarray(wafer(seed)).save(file, "BMP")
            os.utime(
                path, (1_700_000_000, 1_700_000_000)
            )  # what `rsync --times` or a clock of 2 seconds leaves
            rows = watched(bundle, path.parent)
            assert len(rows) == seed
        assert rows[0]["mtime_ns"] == rows[1]["mtime_ns"] and rows[0]["sha256"] != rows[1]["sha256"]

    def test_where_no_time_tells_the_content_is_compared_once_more(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done, now = Done(), 1_700_000_001_000_000_000
        monkeypatch.setattr(time, "time_ns", lambda: now)
        state = FileState(10, 1_700_000_000_000_000_000, 3, 1_700_000_000_000_000_000)
        done.add("a", state, SHA, read_ns=now)
        assert done.is_same_file("a", state)
        now += COARSE_NS
        assert not done.is_same_file("a", state)  # read within a step of the clock: look again
        done.add("a", state, SHA)
        now += COARSE_NS
        assert done.is_same_file("a", state)  # and only once

    def test_an_old_file_is_read_once(self) -> None:
        done, state = Done(), FileState(10, 1_600_000_000_000_000_000, 3, 1_600_000_000_000_000_000)
        done.add("a", state, SHA, read_ns=1_600_000_003_000_000_000)
        assert done.is_same_file("a", state)

    def test_results_of_an_older_version_know_no_time_of_change(self) -> None:
        done, state = Done(), FileState(10, 1_600_000_000_000_000_000, 3)
        done.add("a", state, SHA, read_ns=1_700_000_000_000_000_000)
        assert done.is_same_file("a", state._replace(ctime_ns=1_650_000_000_000_000_000))


class TestFrozenCamera:
    @pytest.fixture
    def frozen(self, tmp_path: Path, wafer: Wafer) -> Path:
        """20 copies of one good wafer, and another one."""
        first = save(tmp_path / "drop" / "wafer_00.png", wafer(1))
        for i in range(1, 20):
            (tmp_path / "drop" / f"wafer_{i:02}.png").write_bytes(first.read_bytes())
        save(tmp_path / "drop" / "wafer_99.png", wafer(2))
        return tmp_path / "drop"

    def test_the_watch_says_so_at_once(
        self, bundle: Path, frozen: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = watched(bundle, frozen)
        assert [row["decision"] for row in rows].count("PASS") == 2
        repeated = [row for row in rows if row["decision"] == "REVIEW"]
        assert len(repeated) == 19
        assert all("the same bytes as" in row["reasons"][-1] for row in repeated)
        alarms = [record.message for record in caplog.records if record.message.startswith("ALARM")]
        assert alarms[0].startswith(
            f"ALARM at {repeated[0]['source']}: the same bytes as {rows[0]['source']}"
        )
        assert len(alarms) == 5  # the 1st, 2nd, 4th, 8th and 16th

    def test_the_same_pixels_in_other_bytes_are_one_picture(
        self, bundle: Path, tmp_path: Path, wafer: Wafer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(4):
            noted(tmp_path / "drop" / f"{number}.png", wafer(1), f"W{number:02}")
        save(tmp_path / "drop" / "4.bmp", wafer(1))
        save(tmp_path / "drop" / "5.png", wafer(2))
        rows = watched(bundle, tmp_path / "drop")
        assert len({row["sha256"] for row in rows}) == 6
        assert [row["decision"] for row in rows].count("PASS") == 2
        assert sum("the same pixels as" in row["reasons"][-1] for row in rows if row["reasons"]) == 4
        assert "the same pixels as" in caplog.text
        out = io.StringIO()
        assert run_inspect(bundle, [tmp_path / "drop"], out=out) == 0
        assert "2 PASS, 4 REVIEW" in out.getvalue()

    def test_the_same_pixels_are_found_once_the_first_file_is_gone_and_after_each_restart(
        self, bundle: Path, tmp_path: Path, wafer: Wafer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Inspected images are moved away, as the documents advise."""
        for number in range(3):
            path = noted(tmp_path / "drop" / f"{number}.png", wafer(1), f"W{number}")
            rows = watched(bundle, tmp_path / "drop")
            path.rename(tmp_path / path.name)
        assert [row["decision"] for row in rows] == ["PASS", "REVIEW", "REVIEW"]
        assert all(
            "the same pixels as" in row["reasons"][-1] and "0.png" in row["reasons"][-1] for row in rows[1:]
        )
        assert caplog.text.count("ALARM") == 2  # one a start

    def test_a_file_that_is_overwritten_with_the_same_pixels_is_a_repeat(
        self, bundle: Path, tmp_path: Path, wafer: Wafer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in range(2):
            noted(tmp_path / "drop" / "current.png", wafer(1), f"W{number}")
            rows = watched(bundle, tmp_path / "drop")
        assert [row["decision"] for row in rows] == ["PASS", "REVIEW"]
        assert "the same pixels as before in" in rows[1]["reasons"][-1] and "ALARM" in caplog.text

    def test_one_picture_that_keeps_coming_is_not_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tool_side.runtime.repeats._MOST_PICTURES", 3)
        seen = SeenPictures()
        for number in range(10):
            seen.remember(f"other {number}", "another", SHA)
            assert seen.remember("frozen", f"{number}.png", f"{number}") == ("0.png", "0")

    def test_results_of_an_older_version_know_no_picture(
        self, bundle: Path, tmp_path: Path, wafer: Wafer
    ) -> None:
        noted(tmp_path / "drop" / "0.png", wafer(1), "W0")
        (row,) = watched(bundle, tmp_path / "drop")
        del row["picture"]
        (tmp_path / "drop.results.jsonl").write_text(json.dumps(row) + "\n")
        noted(tmp_path / "drop" / "1.png", wafer(1), "W1")
        assert [row["decision"] for row in watched(bundle, tmp_path / "drop")] == ["PASS", "PASS"]

    def test_also_after_a_restart(self, bundle: Path, frozen: Path) -> None:
        watched(bundle, frozen)
        (frozen / "wafer_50.png").write_bytes((frozen / "wafer_00.png").read_bytes())
        assert watched(bundle, frozen)[-1]["decision"] == "REVIEW"

    def test_inspect_says_so_too(self, bundle: Path, frozen: Path, caplog: pytest.LogCaptureFixture) -> None:
        out = io.StringIO()
        assert run_inspect(bundle, [frozen], out=out) == 0
        assert "2 PASS, 19 REVIEW" in out.getvalue()
        assert "ALARM" in caplog.text

    def test_a_moved_file_is_no_repeat(self, bundle: Path, tmp_path: Path, wafer: Wafer) -> None:
        path = save(tmp_path / "drop" / "a.png", wafer(1))
        watched(bundle, path.parent)
        path.rename(path.with_name("b.png"))
        assert [row["decision"] for row in watched(bundle, path.parent)] == ["PASS", "PASS"]

    def test_one_file_named_twice_is_none_either(self, bundle: Path, tmp_path: Path, wafer: Wafer) -> None:
        path = save(tmp_path / "a.png", wafer(1))
        (tmp_path / "b.png").symlink_to(path)
        out = io.StringIO()
        run_inspect(bundle, [path, path, tmp_path / "b.png"], out=out)
        assert "3 PASS" in out.getvalue()


class TestHeatMaps:
    @pytest.mark.parametrize("name", ["a" * 251, "晶" * 83, "x" * 230])
    def test_a_long_name_costs_nothing(self, bundle: Path, tmp_path: Path, wafer: Wafer, name: str) -> None:
        save(tmp_path / "drop" / f"{name}.png", wafer(1))
        save(tmp_path / "drop" / "z.png", wafer(2))
        assert len(watched(bundle, tmp_path / "drop", heatmaps=tmp_path / "maps")) == 2
        assert len(list((tmp_path / "maps").iterdir())) == 2
        assert run_inspect(bundle, [tmp_path / "drop"], heatmaps=tmp_path / "more", out=io.StringIO()) == 0
        assert len(list((tmp_path / "more").iterdir())) == 2

    def test_one_that_cannot_be_written_costs_itself_only(
        self, bundle: Path, tmp_path: Path, wafer: Wafer, caplog: pytest.LogCaptureFixture
    ) -> None:
        for i in range(3):
            save(tmp_path / "drop" / f"{i}.png", wafer(i))
        (tmp_path / "maps").write_text("a file where a folder should be")
        assert len(watched(bundle, tmp_path / "drop", heatmaps=tmp_path / "maps")) == 3
        assert "no heat map of" in caplog.text

    def test_different_long_names_stay_different(self) -> None:
        found = {sinks.fitting_name(Path("b") / ("a" * 300 + str(i) + ".heatmap.png")) for i in range(9)}
        assert len(found) == 9
        assert all(
            len(os.fsencode(path.name)) <= 255 and path.name.endswith(".heatmap.png") for path in found
        )


class TestFolders:
    def test_linked_folders_are_watched_and_rings_end(self, tmp_path: Path, wafer: Wafer) -> None:
        drop, elsewhere = tmp_path / "drop", tmp_path / "lot 2"
        save(drop / "lot 1" / "a.png", wafer(1))
        save(elsewhere / "b.png", wafer(2))
        (drop / "linked").symlink_to(elsewhere)
        (drop / "lot 1" / "back").symlink_to(drop)
        (drop / "again").symlink_to(drop / "lot 1")
        folder = WatchedFolder(drop, Done())
        for _ in range(2):  # a thorough look and a quick one
            assert sorted(os.path.relpath(path, drop) for path in folder.new_files()) in (
                ["linked/b.png", "lot 1/a.png"],
                [],
            )

    def test_thumbnails_of_network_storage_are_passed_over(self, tmp_path: Path, wafer: Wafer) -> None:
        save(tmp_path / "a.png", wafer(1))
        save(tmp_path / "@eaDir" / "a.png" / "SYNOPHOTO_THUMB_M.png", wafer(1))
        save(tmp_path / "#recycle" / "b.png", wafer(1))
        assert [Path(path).name for path in WatchedFolder(tmp_path, Done()).new_files()] == ["a.png"]

    def test_the_root_of_a_drive_needs_a_results_file(self, bundle: Path) -> None:
        with pytest.raises(InputError, match="--json-lines"):
            run_watch(bundle, "/", WatchOptions(once=True))


class TestSize:
    """An image of another size or aspect ratio than the recipe's is REVIEW: a thumbnail, a crop, another camera."""

    @pytest.fixture(scope="class")
    def sized(self, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Inspector]:
        def make(*shapes: tuple[int, int], **options: Any) -> Inspector:
            loaded = load_bundle(bundle)
            source = SourceSize.of(shapes).to_dict()
            preprocessing = replace(loaded.preprocessing, source=source)
            return Inspector(replace(loaded, preprocessing=preprocessing), **options)

        return make

    @pytest.mark.parametrize("shape", [(150, 300), (100, 100), (300, 301), (600, 600)])
    def test_where_all_training_images_had_one_size_it_is_that_one(
        self, sized: Callable[..., Inspector], wafer: Wafer, tmp_path: Path, shape: tuple[int, int]
    ) -> None:
        inspector = sized((300, 300))
        image = Image.fromarray(wafer(1))
        image.resize((300, 300)).save(tmp_path / "fits.png")
        image.resize(shape[::-1]).save(tmp_path / "other.png")
        assert inspector.inspect(tmp_path / "fits.png").route != "none"
        result = inspector.inspect(tmp_path / "other.png")
        assert (result.decision, result.judged, result.unreadable) == ("REVIEW", False, False)
        assert result.reasons == (
            f"it cannot be compared with the training images: {shape[0]} x {shape[1]} pixels (height x width), trained "
            "on 300 x 300",
        )
        assert inspector.inspect(np.asarray(image.resize(shape[::-1]))).decision == "REVIEW"

    @pytest.mark.parametrize(("shape", "fits"), [((300, 400), True), ((260, 470), True), ((90, 120), False),
                                                 ((300, 150), False), ((600, 800), False)])  # fmt: skip
    def test_where_they_differed_a_range(
        self, sized: Callable[..., Inspector], wafer: Wafer, shape: tuple[int, int], fits: bool
    ) -> None:
        inspector = sized((300, 400), (280, 420), (330, 390))
        image = np.asarray(Image.fromarray(wafer(1)).resize(shape[::-1]))
        assert (inspector.inspect(image).route != "none") == fits

    def test_jpeg_files_that_are_decoded_smaller_keep_their_size(
        self, sized: Callable[..., Inspector], wafer: Wafer, tmp_path: Path
    ) -> None:
        Image.fromarray(wafer(1)).resize((1024, 1024)).save(tmp_path / "a.jpg", quality=95)
        assert sized((1024, 1024), reduced_decoding=True).inspect(tmp_path / "a.jpg").route != "none"
        assert sized((300, 300), reduced_decoding=True).inspect(tmp_path / "a.jpg").route == "none"

    @pytest.mark.parametrize("side", [256, 512])
    def test_reduced_decoding_lets_no_thumbnail_through(
        self, sized: Callable[..., Inspector], wafer: Wafer, tmp_path: Path, side: int
    ) -> None:
        """A half or a quarter of the size is what a JPEG of the right size is reduced to, and what a thumbnail has."""
        inspector, small = (
            sized((1024, 1024), reduced_decoding=True),
            Image.fromarray(wafer(1)).resize((side, side)),
        )
        small.save(tmp_path / "a.png")
        small.save(tmp_path / "a.jpg", quality=95)
        for image in (tmp_path / "a.png", tmp_path / "a.jpg", np.asarray(small), small):
            assert f"{side} x {side} pixels" in inspector.inspect(image).reasons[0]

    def test_a_bundle_that_does_not_say_takes_any(self, bundle: Path, wafer: Wafer) -> None:
        assert Inspector(bundle).inspect(wafer(1)[:200]).route != "none"

    @pytest.mark.parametrize(
        "content", [{}, {"height": [1, 2]}, {"height": [2, 1], "width": [1, 1], "aspect": [1, 1]}]
    )
    def test_a_malformed_size_is_refused(self, content: dict) -> None:
        with pytest.raises(InputError, match="size of the training images"):
            SourceSize.from_dict(content)


def waferroute(*arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | more.pop("env", {})
    command = [sys.executable, "-m", "waferroute.cli", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, encoding="cp1252", **more
    )


class TestConsoles:
    def test_a_name_that_the_console_cannot_show(self, bundle: Path, tmp_path: Path, wafer: Wafer) -> None:
        for i, name in enumerate(("a", "晶圆_é", "鿀")):
            save(tmp_path / "drop" / f"{name}.png", wafer(i))
        narrow = {"PYTHONIOENCODING": "cp1252"}
        ended = waferroute("inspect", str(bundle), str(tmp_path / "drop"), env=narrow)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.count("PASS") == 4
        assert r"\u6676" in ended.stdout

    def test_no_standard_output(self, bundle: Path, tmp_path: Path, wafer: Wafer) -> None:
        path = save(tmp_path / "drop" / "a.png", wafer(1))
        code = (
            "import sys; sys.stdout = sys.stderr = None\n"
            "from waferroute.cli import main\n"
            f"status = main(['inspect', {str(bundle)!r}, '--watch', {str(path.parent)!r}, '--once'])\n"
            f"raise SystemExit(status or main(['inspect', {str(bundle)!r}, {str(path)!r}]))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=120
        )
        assert ended.returncode == 0
        assert len(path.parent.with_name("drop.results.jsonl").read_text().splitlines()) == 1

    @pytest.mark.parametrize("mode", ["r", "w"])
    def test_a_standard_error_that_takes_nothing(self, tmp_path: Path, mode: str) -> None:
        (tmp_path / "log").touch()
        place = Path("/dev/full") if mode == "w" and Path("/dev/full").exists() else tmp_path / "log"
        with place.open(mode) as nowhere:
            ended = subprocess.run(
                [sys.executable, "-m", "waferroute.cli", "inspect", "no bundle", "no file"],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stderr=nowhere,
                timeout=120,
            )
        assert ended.returncode == 2

    @pytest.mark.parametrize("world", [None, "1", "", "nonsense", "4"])
    def test_a_rank_that_was_left_behind_silences_nothing(
        self, world: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
    ) -> None:
        from waferroute.cli import main

        monkeypatch.setenv("RANK", "1")
        monkeypatch.delenv("WORLD_SIZE", raising=False)
        if world is not None:
            monkeypatch.setenv("WORLD_SIZE", world)
        assert main(["inspect", "no bundle", "no file"]) == 2
        assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture(autouse=True)
def listened_to() -> None:
    logging.getLogger("tool_side").setLevel(logging.INFO)
