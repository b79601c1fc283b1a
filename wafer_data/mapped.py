"""Arrays in files that are written through a memory map."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from wafer_data.files import DISK_FULL, write_error


def new_mapped(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> "np.memmap[Any, Any]":
    """A new .npy file of zeros to write through, its room on the disk claimed.

    Args:
        path: Of the file, in a folder that is there; an older one is replaced.
        dtype: Of the array.
        shape: Of the array.

    Raises:
        WriteError: The disk has no room for all of it (the file is then removed), or it cannot be written.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=np.dtype(dtype), shape=shape)
        try:
            _claim(path)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise write_error(path, error) from error
    return array


def open_mapped(path: Path) -> "np.memmap[Any, Any]":
    """A file of `new_mapped` to write on with, what it holds left as it is.

    Raises:
        WriteError: The disk has no room for the rest of a file that was not claimed whole, or it cannot be written.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r+")
        _claim(path)
    except OSError as error:
        raise write_error(path, error) from error
    return array


def _claim(path: Path) -> None:
    """Claim a file's blocks now: a memory map that runs out of disk ends the process without a word (SIGBUS)."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            # some file systems cannot reserve, which is no reason to stop
            if error.errno in DISK_FULL:
                raise
