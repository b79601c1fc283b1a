"""Features of many images, read several times: kept in a file while there is room for it, else computed anew.

The file remembers how far it got, so a fit that was killed goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.ahead import ahead
from wafer_data.files import read_json, write_json
from wafer_data.mapped import new_mapped, open_mapped
from wafer_data.progress import track

READ = 64
"""Images a batch of what is given out."""
BLOCK = 256
"""Images that something elsewhere computes at a time, at least one forward pass."""
Elsewhere = Callable[[Sequence[np.ndarray]], Iterator[tuple[int, np.ndarray]]]


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
        elsewhere: (lists of positions) -> number and (B, d, h, h) float16 features of each list, as they are done: what
            computes instead of `compute` while the file is filled, such as a cluster.
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
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._compute, self._count, self._step, self._threads = compute, count, step, threads
        self._features: np.ndarray | None = None
        if count * int(np.prod(shape)) * 2 <= most_gb * 1e9:
            self._features = self._filled(folder, key, shape, elsewhere)

    def _filled(
        self, folder: Path, key: str, shape: tuple[int, int, int], elsewhere: Elsewhere | None
    ) -> np.ndarray:
        folder.mkdir(parents=True, exist_ok=True)
        path, progress = folder / "features.npy", folder / "progress.json"
        done = 0
        if path.is_file() and progress.is_file() and read_json(progress).get("key") == key:
            done = int(read_json(progress)["done"])
            features = open_mapped(path)
        else:
            progress.unlink(missing_ok=True)
            features = new_mapped(path, np.float16, (self._count, *shape))
        if elsewhere is not None:
            self._fill_elsewhere(features, progress, key, done, elsewhere)
            return features
        parts = _parts(done, self._count, self._step)
        made = ahead(lambda rows: _rounded(self._compute(rows)), parts, self._threads)
        for number, (rows, found) in enumerate(zip(track(parts, "teacher features"), made, strict=True)):
            features[rows] = found
            if number % 50 == 49 or rows[-1] == self._count - 1:
                features.flush()  # before the note that says it is there
                write_json(progress, {"key": key, "done": int(rows[-1]) + 1})
        return features

    def _fill_elsewhere(
        self, features: np.ndarray, progress: Path, key: str, done: int, elsewhere: Elsewhere
    ) -> None:
        """Blocks as they come; each is noted, so that a killed call loses those that were being computed."""
        kept = set(read_json(progress).get("apart", [])) if progress.is_file() else set()
        # whole steps, so that each forward pass sees the images that it would see here
        size = self._step * max(1, BLOCK // self._step)
        blocks = [block for block in _parts(done, self._count, size) if int(block[0]) not in kept]
        for number, found in track(elsewhere(blocks), "teacher features", total=len(blocks)):
            features[blocks[number]] = found
            features.flush()  # type: ignore[attr-defined]
            kept.add(int(blocks[number][0]))
            write_json(progress, {"key": key, "done": done, "apart": sorted(kept)})
        write_json(progress, {"key": key, "done": self._count})

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


def _parts(start: int, stop: int, size: int) -> list[np.ndarray]:
    return [np.arange(first, min(first + size, stop)) for first in range(start, stop, size)]


def _rounded(features: Tensor) -> np.ndarray:
    return features.float().half().cpu().numpy()  # rounded where it was computed: half of it travels
