"""Rows of the parts' array files, read on demand: neither mapped into memory nor kept."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

import numpy as np

from wafer_data.errors import DataError

OPEN_FILES = 64


class Stacks:
    """Square images of .npy files that `wafer_data.arrays.write_stack` wrote.

    Reading by `pread` rather than through a memory map keeps the process small whatever is read: pages of a map count
    as the process's own until the system needs them. Safe to use in forked and spawned workers.

    Args:
        paths: the files, by number.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, tuple[int, int, np.dtype, tuple[int, ...]]] = OrderedDict()
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, list[Path]]:
        return {"_paths": self._paths}

    def __setstate__(self, state: dict[str, list[Path]]) -> None:
        self.__init__(state["_paths"])  # type: ignore[misc]

    def row(self, file: int, row: int) -> np.ndarray:
        """Row `row` of file number `file`.

        Raises:
            InputError: If the file is missing, broken or too short.
        """
        handle, start, dtype, shape = self._file(file)
        size = int(np.prod(shape[1:])) * dtype.itemsize
        data = os.pread(handle, size, start + row * size)
        if len(data) != size or not 0 <= row < shape[0]:
            raise DataError(f"{self._paths[file]} is too short: prepare the data again")
        return np.frombuffer(data, dtype).reshape(shape[1:])

    def rows_of(self, file: int) -> int:
        """Number of rows."""
        return self._file(file)[3][0]

    def _file(self, file: int) -> tuple[int, int, np.dtype, tuple[int, ...]]:
        if (
            self._process != os.getpid()
        ):  # a fork shares descriptors, whose closing in one is none in the other
            self._open, self._process = OrderedDict(), os.getpid()
        if file in self._open:
            self._open.move_to_end(file)
            return self._open[file]
        if len(self._open) >= OPEN_FILES:
            os.close(self._open.popitem(last=False)[1][0])
        self._open[file] = opened = _open(self._paths[file])
        return opened

    def __del__(self) -> None:
        for handle, *_ in getattr(self, "_open", {}).values():
            os.close(handle)


def _open(path: Path) -> tuple[int, int, np.dtype, tuple[int, ...]]:
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"version {version}")
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
            if fortran or dtype not in (np.uint8, np.uint16) or len(shape) != 3:
                raise ValueError("not a stack of images")
            return os.dup(file.fileno()), file.tell(), dtype, shape
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): remove its folder and prepare the data again"
        ) from error
