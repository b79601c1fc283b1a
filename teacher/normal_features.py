"""Features of many images, read several times: kept in a file while there is room for it, else computed anew.

The file remembers how far it got, so a fit that was killed goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.ahead import ahead
from wafer_data.files import read_json, write_json
from wafer_data.progress import track

READ = 64
"""Images a batch of what is given out."""


class NormalFeatures:
    """Features of a list of images, float16-rounded, in order.

    Args:
        compute: (positions in the list) -> (B, d, h, h) features on any device.
        count: length of the list.
        shape: d, h, h of one image's features.
        folder: holds `features.npy` and `progress.json`; made if missing.
        key: changes whenever the features would; work of another key is not gone on with.
        most_gb: a larger file is not written; features are then computed in every pass.
        step: images a call of `compute`.
        threads: that call `compute`, beside a GPU; 0: none.
    """

    def __init__(
        self,
        compute: Callable[[np.ndarray], Tensor],
        count: int,
        shape: tuple[int, int, int],
        folder: Path,
        key: str,
        most_gb: float,
        step: int,
        threads: int = 0,
    ) -> None:
        self._compute, self._count, self._step, self._threads = compute, count, step, threads
        self._features: np.ndarray | None = None
        if count * int(np.prod(shape)) * 2 <= most_gb * 1e9:
            self._features = self._filled(folder, key, shape)

    def _filled(self, folder: Path, key: str, shape: tuple[int, int, int]) -> np.ndarray:
        folder.mkdir(parents=True, exist_ok=True)
        path, progress = folder / "features.npy", folder / "progress.json"
        done = 0
        if path.is_file() and progress.is_file() and read_json(progress).get("key") == key:
            done = int(read_json(progress)["done"])
            features = np.lib.format.open_memmap(path, mode="r+")
        else:
            progress.unlink(missing_ok=True)
            features = np.lib.format.open_memmap(
                path, mode="w+", dtype=np.float16, shape=(self._count, *shape)
            )
        parts = [
            np.arange(start, min(start + self._step, self._count))
            for start in range(done, self._count, self._step)
        ]
        made = ahead(lambda rows: _rounded(self._compute(rows)), parts, self._threads)
        for number, (rows, found) in enumerate(zip(track(parts, "teacher features"), made, strict=True)):
            features[rows] = found
            if number % 50 == 49 or rows[-1] == self._count - 1:
                features.flush()  # before the note that says it is there
                write_json(progress, {"key": key, "done": int(rows[-1]) + 1})
        return features

    def rows(self, positions: np.ndarray) -> Tensor:
        """Features of the images at `positions`, (B, d, h, h) float32 on the CPU."""
        if self._features is not None:
            return torch.from_numpy(self._features[positions].astype(np.float32))
        starts = range(0, len(positions), self._step)
        parts = [_rounded(self._compute(positions[start : start + self._step])) for start in starts]
        return torch.from_numpy(np.concatenate(parts).astype(np.float32))

    def batches(self) -> Iterator[Tensor]:
        """All of them in order, (B, d, h, h) float32."""
        starts = range(0, self._count, READ)
        # reading a file needs no bar, computing does
        for start in starts if self._features is not None else track(starts, "teacher features"):
            yield self.rows(np.arange(start, min(start + READ, self._count)))


def _rounded(features: Tensor) -> np.ndarray:
    return features.float().half().cpu().numpy()  # rounded where it was computed: half of it travels
