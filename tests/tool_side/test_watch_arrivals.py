"""When watch mode looks at a folder, into a file, and when it gives up: without waiting, by a clock of our own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tool_side.watch import folder as watch_folder
from tool_side.watch.arrivals import Arrival, Arrivals, FileChangedError, read_unchanged
from tool_side.watch.done import Done, FileState
from tool_side.watch.folder import WatchedFolder

LONG_AGO = 1_600_000_000


def state_of(path: Path) -> FileState:
    return FileState.of(path.stat())


class Waiting:
    """One file in a waiting room with 1 s to settle and 10 s to give up."""

    def __init__(self, path: Path) -> None:
        self.path, self.done = path, Done()
        path.write_bytes(b"half")
        self.room = Arrivals(self.done, settle=1, give_up=10)
        self.room.add(str(path))

    def due(self, now: float) -> list[Arrival]:
        return self.room.due(now)


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    return Waiting(tmp_path / "a.png")


class TestArrivals:
    def test_a_file_is_due_once_it_stood_still(self, waiting: Waiting) -> None:
        assert [waiting.due(now) for now in (0, 0.5, 0.99)] == [[], [], []]
        (arrival,) = waiting.due(1)
        assert (arrival.path, arrival.state) == (str(waiting.path), state_of(waiting.path))
        assert not arrival.last_chance

    @pytest.mark.parametrize("change", ["grow", "touch", "replace"])
    def test_every_change_starts_the_wait_again(self, waiting: Waiting, change: str, tmp_path: Path) -> None:
        assert waiting.due(0) == []
        if change == "grow":
            with waiting.path.open("ab") as file:
                file.write(b"more")
        elif change == "touch":
            os.utime(waiting.path, (LONG_AGO, LONG_AGO))
        else:
            state = waiting.path.stat()
            (tmp_path / "new").write_bytes(b"full")
            os.utime(tmp_path / "new", ns=(state.st_atime_ns, state.st_mtime_ns))
            (tmp_path / "new").replace(waiting.path)
        assert [waiting.due(now) for now in (1, 1.9)] == [[], []]
        assert len(waiting.due(2)) == 1

    def test_what_cannot_be_decoded_is_tried_after_a_change_and_at_the_end(self, waiting: Waiting) -> None:
        waiting.due(0)
        waiting.room.wait_on(waiting.due(1)[0])
        assert [waiting.due(now) for now in (2, 5, 9.9)] == [[], [], []]
        waiting.path.write_bytes(b"all of it")
        assert waiting.due(9.95) == []
        (arrival,) = waiting.due(11)
        assert not arrival.last_chance
        waiting.room.wait_on(arrival)
        assert waiting.due(19.9) == []
        assert waiting.due(19.96)[0].last_chance

    def test_what_changed_while_it_was_read_starts_over(self, waiting: Waiting) -> None:
        waiting.due(0)
        waiting.room.start_over(waiting.due(1)[0])
        assert [len(waiting.due(now)) for now in (5, 5.5, 6)] == [0, 0, 1]

    def test_what_was_inspected_in_this_state_needs_nothing(self, waiting: Waiting) -> None:
        waiting.done.add(str(waiting.path), state_of(waiting.path), None)
        assert waiting.due(0) == [] and len(waiting.room) == 0

    def test_a_file_that_leaves_again_is_forgotten_and_counted(self, waiting: Waiting) -> None:
        waiting.due(0)
        waiting.path.unlink()
        assert waiting.due(2) == []
        assert (len(waiting.room), waiting.room.left_again) == (0, 1)

    def test_the_oldest_file_comes_first(self, tmp_path: Path) -> None:
        room = Arrivals(Done(), settle=1, give_up=1)
        for age, name in ((10, "b"), (30, "c"), (20, "a")):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (LONG_AGO - age, LONG_AGO - age))
            room.add(str(tmp_path / name))
            room.add(str(tmp_path / name))
        room.due(0)
        assert [Path(arrival.path).name for arrival in room.due(2)] == ["c", "a", "b"]

    def test_it_says_when_to_look_again(self, waiting: Waiting) -> None:
        waiting.due(0)
        assert waiting.room.seconds_to_next(0.25) == pytest.approx(0.75)
        assert waiting.room.seconds_to_next(7) == 0
        waiting.room.wait_on(waiting.due(7)[0])
        assert waiting.room.seconds_to_next(7) is None

    def test_only_the_expected_content_is_read(self, waiting: Waiting) -> None:
        state = state_of(waiting.path)
        assert read_unchanged(str(waiting.path), state) == b"half"
        for other in (
            state._replace(size=3),
            state._replace(mtime_ns=state.mtime_ns + 1),
            state._replace(inode=1),
        ):
            with pytest.raises(FileChangedError):
                read_unchanged(str(waiting.path), other)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """A folder that has not changed for a long time, with an image, a sub-folder and things to pass over."""
    folder = tmp_path / "drop"
    (folder / "lot").mkdir(parents=True)
    (folder / ".staging").mkdir()
    for name in (
        "a.png",
        "lot/b.TIF",
        "notes.txt",
        ".hidden.png",
        "a.png.heatmap.png",
        "a.png.tmp",
        ".staging/c.png",
    ):
        (folder / name).touch()
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    age(folder, folder / "lot", folder / "folder.png")
    return folder


def age(*folders: Path) -> None:
    for folder in folders:
        os.utime(folder, (LONG_AGO, LONG_AGO))


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The folders that were listed."""
    found: list[str] = []
    scandir = os.scandir

    def counted(path: str) -> object:
        found.append(Path(path).name)
        return scandir(path)

    listdir = os.listdir

    def counted_names(path: str) -> object:
        found.append(Path(path).name)
        return listdir(path)

    monkeypatch.setattr(watch_folder.os, "scandir", counted)
    monkeypatch.setattr(watch_folder.os, "listdir", counted_names)
    return found


def names(paths: list[str]) -> list[str]:
    return sorted(Path(path).name for path in paths)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
class TestFolder:
    def looked(self, drop: Path, clock: Clock) -> tuple[WatchedFolder, Done]:
        """A folder that was looked at, all its images inspected."""
        done = Done()
        folder = WatchedFolder(drop, done, clock)
        for path in folder.new_files():
            done.add(path, FileState.of(Path(path).stat()), None)
        clock.now = 0.1
        return folder, done

    def test_images_are_found_in_sub_folders_and_other_things_passed_over(
        self, drop: Path, clock: Clock
    ) -> None:
        assert names(WatchedFolder(drop, Done(), clock).new_files()) == ["a.png", "b.TIF"]

    def test_a_folder_that_is_called_like_an_image_is_one(self, drop: Path, clock: Clock) -> None:
        folder, _ = self.looked(drop, clock)
        (drop / "folder.png" / "c.png").touch()
        (drop / "lot.tif").mkdir()
        (drop / "lot.tif" / "d.png").touch()
        clock.now = 10
        assert names(folder.new_files()) == ["c.png", "d.png"]
        clock.now = 10.5  # by names alone, without a thorough look
        (drop / "later.png").mkdir()
        (drop / "later.png" / "e.png").touch()
        assert "e.png" in names(WatchedFolder(drop, Done(), clock).new_files())

    def test_an_unchanged_folder_is_not_listed_again(
        self, drop: Path, clock: Clock, listed: list[str]
    ) -> None:
        folder, _ = self.looked(drop, clock)
        assert sorted(listed) == ["drop", "folder.png", "lot"]
        listed.clear()
        assert folder.new_files() == [] and listed == []
        (drop / "lot" / "new.png").touch()
        assert names(folder.new_files()) == ["new.png"] and listed == ["lot"]

    def test_a_folder_that_changed_just_now_is_listed_again(
        self, drop: Path, clock: Clock, listed: list[str]
    ) -> None:
        """A file that came while it was listed may have left its time as it was."""
        (drop / "lot" / "new.png").touch()
        folder, _ = self.looked(drop, clock)
        listed.clear()
        assert folder.new_files() == [] and listed == ["lot"]

    def test_a_new_sub_folder_is_found(self, drop: Path, clock: Clock) -> None:
        folder, _ = self.looked(drop, clock)
        (drop / "lot 2").mkdir()
        (drop / "lot 2" / "c.png").touch()
        assert names(folder.new_files()) == ["c.png"]

    @pytest.mark.parametrize("in_place", [True, False])
    def test_a_file_replaced_under_its_name_is_found_by_the_next_thorough_look(
        self, drop: Path, clock: Clock, in_place: bool
    ) -> None:
        folder, _ = self.looked(drop, clock)
        new = drop / ("a.png" if in_place else "next")
        new.write_bytes(b"other content")
        new.replace(drop / "a.png")
        assert folder.new_files() == []
        clock.now = 10
        assert names(folder.new_files()) == ["a.png"]

    def test_a_name_that_left_and_came_back_is_looked_at_again(self, drop: Path, clock: Clock) -> None:
        folder, _ = self.looked(drop, clock)
        (drop / "lot" / "b.TIF").unlink()
        assert folder.new_files() == []
        (drop / "lot" / "b.TIF").touch()
        assert names(folder.new_files()) == ["b.TIF"]

    def test_the_first_look_after_a_start_is_thorough(self, drop: Path, clock: Clock) -> None:
        _, done = self.looked(drop, clock)
        (drop / "a.png").write_bytes(b"changed while nobody watched")
        assert names(WatchedFolder(drop, done, clock).new_files()) == ["a.png"]

    def test_looking_takes_a_share_of_the_time_only(self, drop: Path) -> None:
        class SlowDrive(Clock):
            def __call__(self) -> float:
                self.now += 3  # seconds for a look
                return self.now

        slow = SlowDrive()
        folder = WatchedFolder(drop, Done(), slow)
        assert len(folder.new_files()) == 2
        waited = 0
        while not folder.new_files():
            waited += 1
        assert waited >= 8  # more than 27 s for a look of 3 s

    def test_a_root_that_is_gone_is_an_error_and_a_sub_folder_is_not(self, drop: Path, clock: Clock) -> None:
        folder, _ = self.looked(drop, clock)
        (drop / "lot" / "b.TIF").unlink()
        (drop / "lot").rmdir()
        assert folder.new_files() == []
        drop.rename(drop.with_name("elsewhere"))
        clock.now = 2
        with pytest.raises(OSError, match="drop"):
            folder.new_files()
        drop.with_name("elsewhere").rename(drop)
        (drop / "c.png").touch()
        clock.now = 3
        assert names(folder.new_files()) == ["c.png"]

    def test_formats_that_are_not_read_are_said_once_each(
        self, drop: Path, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        (drop / "a.webp").touch()
        folder, _ = self.looked(drop, clock)
        for name in ("b.webp", "c.PGM"):
            (drop / name).touch()
        folder.new_files()
        clock.now = 9
        folder.new_files()
        said = [record.message for record in caplog.records]
        assert len(said) == 2 and "a.webp: not looked at" in said[0] and "c.PGM: not looked at" in said[1]

    def test_folders_that_cannot_be_read_and_links_to_none_are_said_once_and_kept_in_mind(
        self,
        drop: Path,
        clock: Clock,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        (drop / "lot_2024.05").symlink_to(tmp_path / "not mounted")
        scandir, shut = os.scandir, [str(drop / "lot")]

        def refusing(path: str) -> object:
            if path in shut:
                raise PermissionError(13, "Permission denied", path)
            return scandir(path)

        monkeypatch.setattr(watch_folder.os, "scandir", refusing)
        folder = WatchedFolder(drop, Done(), clock)
        for clock.now in (0, 9):
            assert names(folder.new_files()) == ["a.png"]
        assert sorted(Path(path).name for path in folder.left_out) == ["lot", "lot_2024.05"]
        said = sorted(record.message for record in caplog.records)
        assert len(said) == 2 and "Permission denied" in said[0] and "leads nowhere" in said[1]
        shut.clear()
        (drop / "lot_2024.05").unlink()
        clock.now = 99
        assert names(folder.new_files()) == ["a.png", "b.TIF"] and not folder.left_out

    def test_a_link_to_an_image_is_followed(self, drop: Path, clock: Clock, tmp_path: Path) -> None:
        (tmp_path / "far.png").touch()
        (drop / "link.png").symlink_to(tmp_path / "far.png")
        (drop / "dangling.png").symlink_to(tmp_path / "nowhere.png")
        assert names(WatchedFolder(drop, Done(), clock).new_files()) == ["a.png", "b.TIF", "link.png"]
