"""A file is either the old one or the new one, never something between, and nothing else is left behind."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never

import numpy as np
import pytest

from wafer_data import files
from wafer_data.errors import InputError, WriteError


def raising(error: BaseException) -> Callable[..., Never]:
    def fail(*args: Any, **kwargs: Any) -> Never:
        raise error

    return fail


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestWriting:
    def test_writes_bytes_text_and_json_and_creates_parents(self, tmp_path: Path) -> None:
        files.write_bytes(tmp_path / "a/b/bytes", b"\x00\xff")
        files.write_text(tmp_path / "a/text", "Übergang\n")
        files.write_json(tmp_path / "a/object.json", {"b": [1, None], "a": "é"})
        assert (tmp_path / "a/b/bytes").read_bytes() == b"\x00\xff"
        assert (tmp_path / "a/text").read_text(encoding="utf-8") == "Übergang\n"
        assert files.read_json(tmp_path / "a/object.json") == {"b": [1, None], "a": "é"}

    def test_replaces_an_old_file_and_leaves_nothing_else(self, tmp_path: Path) -> None:
        files.write_text(tmp_path / "f", "old")
        files.write_text(tmp_path / "f", "new")
        assert (tmp_path / "f").read_text() == "new"
        assert names(tmp_path) == ["f"]

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    def test_a_full_disk_keeps_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        files.write_text(tmp_path / "f", "old")
        if step == "fsync":
            monkeypatch.setattr(os, "fsync", raising(DISK_FULL))
        else:
            monkeypatch.setattr(Path, "replace", raising(DISK_FULL))
        with pytest.raises(InputError, match=r"disk full while writing .*free some space"):
            files.write_text(tmp_path / "f", "new")
        assert (tmp_path / "f").read_text() == "old"
        assert names(tmp_path) == ["f"]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the always full device of Linux")
    def test_a_really_full_device_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files.write_text(tmp_path / "f", "old")
        real_open = Path.open

        def open_full(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if "x" not in mode:
                return real_open(self, mode, *args, **kwargs)
            real_open(self, mode).close()
            return real_open(Path("/dev/full"), "wb")

        monkeypatch.setattr(Path, "open", open_full)
        with pytest.raises(InputError, match="disk full"):
            files.write_text(tmp_path / "f", "new")
        assert names(tmp_path) == ["f"]
        assert (tmp_path / "f").read_text() == "old"

    def test_ctrl_c_keeps_the_old_file_and_stays_ctrl_c(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        files.write_text(tmp_path / "f", "old")
        monkeypatch.setattr(os, "fsync", raising(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            files.write_text(tmp_path / "f", "new")
        assert (tmp_path / "f").read_text() == "old"
        assert names(tmp_path) == ["f"]

    def test_missing_permission_says_so(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        denied = PermissionError(errno.EACCES, "Permission denied")
        monkeypatch.setattr(Path, "open", raising(denied))
        with pytest.raises(InputError, match="no permission to write"):
            files.write_text(tmp_path / "f", "new")

    def test_a_file_in_place_of_a_folder_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_text("a file")
        with pytest.raises(InputError, match="cannot write"):
            files.write_text(tmp_path / "f" / "g", "new")

    @pytest.mark.parametrize("path", [".", "/"])
    def test_a_path_without_a_name_says_so(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        said = "cannot be replaced: give the name of a file or folder"
        with pytest.raises(WriteError, match=said):
            files.write_text(path, "new")
        with pytest.raises(WriteError, match=said), files.new_file(path):
            pass
        with pytest.raises(WriteError, match=said), files.new_directory(path):
            pass

    def test_what_a_killed_process_left_is_removed(self, tmp_path: Path) -> None:
        kill = (
            "import os, signal, sys; from pathlib import Path; from wafer_data import files\n"
            "os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)\n"
            "files.write_text(sys.argv[1], 'half')"
        )
        subprocess.run([sys.executable, "-c", kill, str(tmp_path / "f")], check=False)
        assert len(names(tmp_path)) == 1  # only the temporary file
        files.write_text(tmp_path / "f", "whole")
        assert names(tmp_path) == ["f"]

    def test_leftovers_of_a_living_process_are_left_alone(self, tmp_path: Path) -> None:
        ours = files._temporary_name(tmp_path / "f")
        ours.write_text("in the middle of it")
        files.write_text(tmp_path / "f", "whole")
        assert ours.exists()


class TestJson:
    def test_numpy_values_and_paths_are_written_plainly(self, tmp_path: Path) -> None:
        value = {"n": np.int64(3), "x": np.float32(0.5), "v": np.arange(2), "p": Path("a/b")}
        files.write_json(tmp_path / "f.json", value)
        assert json.loads((tmp_path / "f.json").read_text()) == {"n": 3, "x": 0.5, "v": [0, 1], "p": "a/b"}

    def test_not_a_number_is_refused_and_the_old_file_stays(self, tmp_path: Path) -> None:
        files.write_json(tmp_path / "f.json", 1)
        with pytest.raises(ValueError):
            files.write_json(tmp_path / "f.json", float("nan"))
        assert files.read_json(tmp_path / "f.json") == 1

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"{'a': 1}", b"[" * 100_000])
    def test_broken_json_names_the_file(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "f.json").write_bytes(content)
        with pytest.raises(InputError, match=r"f\.json is not valid JSON"):
            files.read_json(tmp_path / "f.json")

    def test_missing_json_and_a_folder_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="does not exist"):
            files.read_json(tmp_path / "f.json")
        with pytest.raises(InputError, match="cannot be read"):
            files.read_json(tmp_path)


class TestHashes:
    def test_file_hash_is_sha256(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert files.sha256_file(tmp_path / "f") == expected
        with pytest.raises(InputError, match="cannot be read"):
            files.sha256_file(tmp_path / "missing")

    def test_object_hash_ignores_the_order_of_keys_only(self) -> None:
        assert files.sha256_json({"a": 1, "b": [1, 2]}) == files.sha256_json({"b": [1, 2], "a": 1})
        assert files.sha256_json({"a": [1, 2]}) != files.sha256_json({"a": [2, 1]})


class TestNewDirectory:
    def test_appears_whole_and_replaces_the_old_one(self, tmp_path: Path) -> None:
        for content in ("one", "two"):
            with files.new_directory(tmp_path / "out" / "run") as folder:
                (folder / content).write_text(content)
        assert names(tmp_path / "out") == ["run"]
        assert names(tmp_path / "out/run") == ["two"]

    @pytest.mark.parametrize(
        "error", [KeyboardInterrupt(), RuntimeError("bug"), FileNotFoundError(2, "gone")]
    )
    def test_any_failure_keeps_the_old_one_and_the_error(self, tmp_path: Path, error: BaseException) -> None:
        with files.new_directory(tmp_path / "run") as folder:
            (folder / "old").write_text("old")
        with pytest.raises(type(error)), files.new_directory(tmp_path / "run") as folder:
            (folder / "new").write_text("half")
            raise error
        assert names(tmp_path) == ["run"]
        assert names(tmp_path / "run") == ["old"]

    def test_a_full_disk_inside_is_reported_as_such(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="disk full"), files.new_directory(tmp_path / "run"):
            raise DISK_FULL
        assert names(tmp_path) == []

    def test_what_is_wrong_with_a_file_inside_is_said_of_its_lasting_name(self, tmp_path: Path) -> None:
        said = f"disk full while writing {tmp_path / 'run' / 'f'}: free"
        with pytest.raises(WriteError, match=said), files.new_directory(tmp_path / "run") as folder:
            raise files.write_error(folder / "f", DISK_FULL)

    def test_the_old_one_comes_back_if_the_swap_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with files.new_directory(tmp_path / "run") as folder:
            (folder / "old").write_text("old")
        real_rename, calls = Path.rename, []

        def rename(self: Path, target: Path) -> Path:
            calls.append(target)
            if len(calls) == 2:  # old one stepped aside, the new one takes its place
                raise PermissionError(errno.EACCES, "Permission denied")
            return real_rename(self, target)

        monkeypatch.setattr(Path, "rename", rename)
        with (
            pytest.raises(InputError, match="no permission"),
            files.new_directory(tmp_path / "run") as folder,
        ):
            (folder / "new").write_text("new")
        assert names(tmp_path) == ["run"]
        assert names(tmp_path / "run") == ["old"]

    def test_never_replaces_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "run").write_text("mine")
        with pytest.raises(InputError, match="is not a folder"), files.new_directory(tmp_path / "run"):
            pass
        assert (tmp_path / "run").read_text() == "mine"
        assert names(tmp_path) == ["run"]


def test_bytes_that_are_no_text_come_back_from_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"lot\xff\n\\x.png")
    files.write_json(tmp_path / "names.json", {name: [name]})
    assert files.read_json(tmp_path / "names.json") == {name: [name]}
    assert files.sha256_json([name]) != files.sha256_json([os.fsdecode(b"lot\xfe\n\\x.png")])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_as_windows_writes_it_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_text('{"é": 1}', encoding=encoding)
    assert files.read_json(tmp_path / "a.json") == {"é": 1}
