"""Stacks of images on disk, written and read row by row, so that memory does not grow with their number."""

import hashlib
import math
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from wafer_data.errors import DataError

_STEPS = {8: 255, 16: 65535}
_TYPES = {8: np.uint8, 16: np.uint16}


def to_counts(square: np.ndarray, bits: int) -> np.ndarray:
    """Grey in [0, 1] as uint8 (bits=8) or uint16 (bits=16); exact for what `to_square` returns."""
    return np.rint(square * np.float32(_STEPS[bits])).astype(_TYPES[bits])


def to_grey(counts: np.ndarray) -> np.ndarray:
    """The inverse of `to_counts`: float32 in [0, 1] from uint8 or uint16."""
    steps = _STEPS[8 * counts.dtype.itemsize]
    return counts.astype(np.float32) / np.float32(steps)


def stack_shape(size: int, channels: int = 1) -> tuple[int, ...]:
    """Of one stored image: (size, size) of grey, (3, size, size) of colour."""
    return (size, size) if channels == 1 else (channels, size, size)


class Spool:
    """Square images parked in one file until it is known which of them stay and whether 8 bits suffice.

    Rows are appended in the depth of their own and read back in any order. Use as a context manager; the file
    is removed at the end.
    """

    def __init__(self, path: Path, size: int, channels: int = 1) -> None:
        self.path, self.shape = path, stack_shape(size, channels)
        self._file = path.open("w+b")
        self._places: list[tuple[int, int]] = []  # offset in bytes, bits

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def append(self, square: np.ndarray, bits: int) -> None:
        """Park float32 (size, size) in [0, 1], or (3, size, size)."""
        self._places.append((self._file.tell(), bits))
        self._file.write(to_counts(square, bits).tobytes())

    def row(self, index: int, bits: int) -> np.ndarray:
        """Row `index` as uint8 or uint16, of its shape; asking for more bits than it has loses nothing."""
        offset, own = self._places[index]
        self._file.seek(offset)
        data = self._file.read(math.prod(self.shape) * own // 8)
        counts = np.frombuffer(data, _TYPES[own]).reshape(self.shape)
        return counts if own == bits else counts.astype(np.uint16) * np.uint16(257)  # 65535 = 255 * 257


def write_stack(
    path: Path, rows: Iterable[np.ndarray], count: int, size: int, bits: int, channels: int = 1
) -> str:
    """Write `count` rows of `stack_shape` as one .npy file of shape (count, *stack_shape); return its SHA-256.

    Written through ordinary file writes: on a full disk these raise OSError, where a memory map would kill
    the process.

    Raises:
        ValueError: If the number of rows differs from `count`.
    """
    dtype = np.dtype(_TYPES[bits])
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (count, *stack_shape(size, channels)),
    }
    written = 0
    with path.open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row in rows:
            file.write(np.ascontiguousarray(row, dtype).tobytes())
            written += 1
        if written != count:
            raise ValueError(f"{written} rows for a stack of {count}")
        file.flush()
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_stack(path: Path) -> np.ndarray:
    """Memory-map a stack for reading, (count, size, size) or (count, 3, size, size).

    Raises:
        DataError: If it is missing or broken.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): remove its folder and prepare the data again"
        ) from error
