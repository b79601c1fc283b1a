"""Stacks on disk: exact, row by row, and in the depth that the sources need."""

from pathlib import Path

import numpy as np
import pytest

from wafer_data.arrays import Spool, open_stack, to_grey, write_stack
from wafer_data.errors import InputError
from wafer_data.files import sha256_file

SQUARES = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.float32) / np.float32(255)


def test_a_stack_is_an_ordinary_npy_file_and_its_hash_is_returned(tmp_path: Path) -> None:
    rows = np.arange(2 * 16 * 16, dtype=np.uint16).reshape(2, 16, 16)
    digest = write_stack(tmp_path / "a.npy", rows, 2, 16, 16)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows)
    np.testing.assert_array_equal(open_stack(tmp_path / "a.npy"), rows)
    assert digest == sha256_file(tmp_path / "a.npy")


def test_an_empty_stack_can_be_read_back(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.npy", [], 0, 16, 8)
    assert open_stack(tmp_path / "a.npy").shape == (0, 16, 16)


def test_a_wrong_number_of_rows_is_a_programming_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 rows for a stack of 2"):
        write_stack(tmp_path / "a.npy", np.zeros((1, 16, 16), np.uint8), 2, 16, 8)


def test_broken_stacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prepare the data again"):
        open_stack(tmp_path / "gone.npy")
    write_stack(tmp_path / "a.npy", np.zeros((2, 16, 16), np.uint8), 2, 16, 8)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-1])
    with pytest.raises(InputError, match="prepare the data again"):
        open_stack(tmp_path / "a.npy")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError):
        open_stack(tmp_path / "a.npy")


@pytest.mark.parametrize("bits", [8, 16])
def test_the_spool_gives_rows_back_in_any_order_without_loss(tmp_path: Path, bits: int) -> None:
    with Spool(tmp_path / "spool", 16) as spool:
        for square, own in zip(SQUARES, (8, bits, 8), strict=True):
            spool.append(square, own)
        for index in (2, 0, 1):
            np.testing.assert_array_equal(to_grey(spool.row(index, bits)), SQUARES[index])
    assert list(tmp_path.iterdir()) == []
