"""One command at a time in a run folder; other people's folders are left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from wafer_data.errors import InputError
from waferroute.run_lock import LOCK_NAME, locked

TRY = """
import sys
from pathlib import Path
from wafer_data.errors import InputError
from waferroute.run_lock import locked
try:
    with locked(Path(sys.argv[1])):
        print("got it")
except InputError as error:
    print(error)
"""

HOLD = """
import sys, time
from pathlib import Path
from waferroute.run_lock import locked
with locked(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(60)
"""


def try_in_another_process(run_dir: Path) -> str:
    command = [sys.executable, "-c", TRY, str(run_dir)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path):
    import os

    run_dir = tmp_path / "run"
    with locked(run_dir):
        said = try_in_another_process(run_dir)
        assert f"{run_dir} is in use by another waferroute command (process {os.getpid()} on " in said
    assert "got it" in try_in_another_process(run_dir)


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path):
    run_dir = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run_dir)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "holding\n"
        assert "in use" in try_in_another_process(run_dir)
        holder.kill()
        holder.wait()
    with locked(run_dir):
        pass


def test_the_lock_is_free_after_a_failure_inside(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "run"):
        raise KeyboardInterrupt
    assert "got it" in try_in_another_process(tmp_path / "run")


def test_a_folder_with_other_things_in_it_is_refused_untouched(tmp_path: Path):
    photo = tmp_path / "data" / "holiday.png"
    photo.parent.mkdir()
    photo.write_bytes(b"x")
    with pytest.raises(InputError, match="holds files that are not of a run"), locked(tmp_path):
        pytest.fail("the folder was taken")
    assert photo.exists() and not (tmp_path / LOCK_NAME).exists()


def test_an_empty_folder_and_an_earlier_run_are_taken(tmp_path: Path):
    with locked(tmp_path):
        (tmp_path / "data").mkdir()
    with locked(tmp_path):
        pass


def test_a_file_in_the_way_is_named(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("x")
    for run_dir in (file, file / "run"):
        with pytest.raises(InputError, match="file"), locked(run_dir):
            pytest.fail("a file was taken as a folder")
