"""Arrays written through a memory map: a full disk is told before anything is written into them."""

import os
from pathlib import Path

import numpy as np
import pytest

from wafer_data.errors import WriteError
from wafer_data.mapped import new_mapped, open_mapped

can_reserve = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="no way to reserve disk blocks here"
)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch):
    """Makes the reserving of blocks fail."""

    def fails(number: int) -> None:
        def refused(*_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "posix_fallocate", refused)

    return fails


def test_what_is_written_is_read_again_and_written_on(tmp_path: Path):
    path = tmp_path / "a.npy"
    first = new_mapped(path, np.float16, (3, 2))
    first[1] = 7
    first.flush()
    second = open_mapped(path)
    second[2] = 5
    second.flush()
    assert np.load(path).tolist() == [[0, 0], [7, 7], [5, 5]]


@can_reserve
def test_the_room_for_all_of_it_is_claimed_at_once(tmp_path: Path):
    path = tmp_path / "a.npy"
    new_mapped(path, np.float16, (4096, 64))
    status = path.stat()
    if not status.st_blocks:
        pytest.skip("this file system does not tell which blocks are claimed")
    assert status.st_blocks * 512 >= status.st_size > 4096 * 64 * 2


@can_reserve
def test_a_full_disk_is_told_and_gets_its_room_back(tmp_path: Path, disk):
    disk(28)
    with pytest.raises(WriteError, match=r"disk full while writing .*a\.npy"):
        new_mapped(tmp_path / "a.npy", np.float16, (4096, 64))
    assert not list(tmp_path.iterdir())


@can_reserve
def test_a_disk_that_is_full_by_now_leaves_what_was_written(tmp_path: Path, disk):
    path = tmp_path / "a.npy"
    array = new_mapped(path, np.float16, (4,))
    array[:] = 3
    array.flush()
    disk(28)
    with pytest.raises(WriteError, match="disk full"):
        open_mapped(path)
    assert np.load(path).tolist() == [3, 3, 3, 3]


@can_reserve
def test_a_file_system_that_cannot_reserve_is_no_reason_to_stop(tmp_path: Path, disk):
    disk(95)
    new_mapped(tmp_path / "a.npy", np.float16, (4,))[:] = 1
    assert np.load(tmp_path / "a.npy").tolist() == [1, 1, 1, 1]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(WriteError, match="cannot write"):
        new_mapped(tmp_path / "none" / "a.npy", np.float16, (4,))
