"""What a stage's teacher says about every image of the pool: cached on disk, or computed in every step.

Both give the same numbers: features are rounded to float16 either way. The cache pays as soon as there is a second
epoch, and takes M x d x map x map x 2 bytes: 0.3 GB for 2 200 images and 68 GB for 520 000, each with 64 directions
on a 32 x 32 map. Where that is more than `distill.cache_gb`, the teaching model runs along in every step.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from distill.pool import Pool, read_pool
from student_vae import StudentVAE, load_student
from teacher import Teacher, load_teacher
from teacher.normal_features import BLOCK, Elsewhere
from training.ahead import ahead, threads_for
from wafer_data.errors import InputError
from wafer_data.files import new_directory, read_json, sha256_file, sha256_json, write_json
from wafer_data.mapped import new_mapped
from wafer_data.progress import track
from wafer_data.shards.on_ray import cluster, on_ray

CACHE = "cache"
_GB = 1e9
# Images the teaching model sees at a time, in the cache and in steps alike.
_CHUNK = 16
# On a GPU, which smaller ones would leave idle.
_GPU_CHUNK = 256


class Targets(Protocol):
    """Features of the teaching model for each image of the pool."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, d, map, map)."""

    def rows(self, indices: np.ndarray, directions: int | None = None) -> Tensor:
        """Features of the images `indices` of the pool, (B, d, map, map) float32 on the float16 grid.

        Args:
            directions: How many of them, the first ones; None: all.
        """


class CachedTargets:
    """Features read from the disk, memory-mapped.

    Attributes:
        features: (M, d, map, map) float16.
    """

    def __init__(self, features: np.ndarray) -> None:
        self._features = features

    @property
    def shape(self) -> tuple[int, ...]:
        """(M, d, map, map)."""
        return self._features.shape

    def rows(self, indices: np.ndarray, directions: int | None = None) -> Tensor:
        """On the CPU."""
        return torch.from_numpy(self.stored(indices, directions).astype(np.float32))

    def stored(self, indices: np.ndarray, directions: int | None = None) -> np.ndarray:
        """The same as they are stored, float16."""
        return self._features[indices, :directions]


class LiveTargets:
    """Features computed when asked for; nothing is written.

    Attributes:
        model: In evaluation mode, on `device`.
        bf16: Whether it computes in bfloat16; on a GPU only.
    """

    def __init__(
        self, model: Teacher | StudentVAE, pool: Pool, device: torch.device, bf16: bool = False
    ) -> None:
        self._model, self._pool, self.device = model, pool, device
        self._bf16 = bf16 and device.type == "cuda"
        self.chunk = _CHUNK if device.type == "cpu" else _GPU_CHUNK
        self.shape: tuple[int, ...] = (len(pool), *self.rows(np.arange(1)).shape[1:])

    @torch.no_grad()
    def rows(self, indices: np.ndarray, directions: int | None = None) -> Tensor:
        """On the model's device."""
        parts = []
        for start in range(0, len(indices), self.chunk):
            images = self._images(indices[start : start + self.chunk])
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16):
                found = self._model.features(images)[:, :directions]
            parts.append(found.half().float())
        return torch.cat(parts)

    def _images(self, indices: np.ndarray) -> Tensor:
        if self.device.type == "cpu":
            return torch.from_numpy(self._pool.batch(indices))
        return grey_on(self.device, torch.from_numpy(self._pool.counts(indices)))


def grey_on(device: torch.device, counts: Tensor) -> Tensor:
    """Stored grey levels, 8 or 16 bit, as float32 in [0, 1] on `device`; travels as it is stored."""
    top = float(torch.iinfo(counts.dtype).max)
    return counts.to(device, non_blocking=True).float() / top


def load_model(run_dir: Path, name: str) -> Teacher | StudentVAE:
    """The fitted teacher or a trained stage of a run."""
    return load_teacher(run_dir / "teacher") if name == "teacher" else load_student(run_dir / name)


def weights_file(run_dir: Path, name: str) -> Path:
    """Where a model of a run keeps its weights."""
    return run_dir / name / ("teacher.safetensors" if name == "teacher" else "student.safetensors")


def open_targets(
    cache: Path,
    run_dir: Path,
    name: str,
    pool: Pool,
    limit_gb: float,
    device: torch.device,
    bf16: bool = False,
) -> Targets:
    """The features of model `name` on the pool; from the disk where they fit into `limit_gb`, else computed in steps.

    The limit holds for the features of all models together: those of another model make room first, since stages
    learn one after the other. Not in the cache yet, they are computed and written now; inside `on_cluster`, there.

    Raises:
        InputError: the model is missing, or the disk has no room for what the limit allows.
    """
    bf16 = bf16 and device.type == "cuda"
    parts = {"pool": pool.key, "weights": sha256_file(weights_file(run_dir, name))}
    key = sha256_json(parts | ({"precision": "bf16"} if bf16 else {}))
    folder = cache / f"features-{name}"
    if (folder / "key.json").is_file() and read_json(folder / "key.json").get("key") == key:
        features = np.load(folder / "features.npy", mmap_mode="r")
        if features.nbytes <= limit_gb * _GB:
            return CachedTargets(features)
    shutil.rmtree(folder, ignore_errors=True)  # of other images or weights, or over the limit of today
    live = LiveTargets(load_model(run_dir, name).to(device).eval(), pool, device, bf16)
    needed = math.prod(live.shape) * np.dtype(np.float16).itemsize
    if needed > limit_gb * _GB:
        return live
    _make_room(cache, needed, limit_gb, name)
    _write(folder, live, key, name, TargetPass(run_dir, cache, name, bf16).elsewhere())
    return CachedTargets(np.load(folder / "features.npy", mmap_mode="r"))


def drop_cache(run_dir: Path) -> None:
    """Remove the pool and all cached features of a run."""
    shutil.rmtree(run_dir / CACHE, ignore_errors=True)


def _make_room(cache: Path, needed: int, limit_gb: float, name: str) -> None:
    others = list(cache.glob("features-*/features.npy"))
    if needed + sum(path.stat().st_size for path in others) > limit_gb * _GB:
        for path in others:
            shutil.rmtree(path.parent, ignore_errors=True)
    free = shutil.disk_usage(cache).free
    if needed > free:
        raise InputError(
            f"the cached features of {name} need {needed / _GB:.2f} GB in {cache} and the disk has {free / _GB:.2f} GB "
            "free; free some space, or set distill.cache_gb=0 to compute them in every step instead (slower)"
        )


@dataclass(frozen=True)
class TargetPass:
    """Features of the pool computed elsewhere; every worker must reach the folders of run and cache."""

    run_dir: Path
    cache: Path
    name: str
    bf16: bool

    def worker(self) -> Callable[[np.ndarray], dict[str, Any]]:
        """What a worker does with a block of rows; called once in each."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model = load_model(self.run_dir, self.name).to(device).eval()
        live = LiveTargets(model, read_pool(self.cache), device, self.bf16)
        return lambda rows: {"features": live.rows(rows).half().cpu().numpy().view(np.uint16)}

    def elsewhere(self) -> Elsewhere | None:
        """Computed on the cluster; None where there is none."""
        address = cluster()
        if address is None:
            return None
        absolute = replace(self, run_dir=self.run_dir.absolute(), cache=self.cache.absolute())

        def computed(blocks: Sequence[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
            for number, row in on_ray(address, absolute.worker, blocks, gpu=True):
                yield number, np.asarray(row["features"]).view(np.float16)

        return computed


def _write(folder: Path, live: LiveTargets, key: str, name: str, elsewhere: Elsewhere | None) -> None:
    with new_directory(folder) as new:
        out = new_mapped(new / "features.npy", np.float16, live.shape)
        parts = [
            np.arange(start, min(start + live.chunk, len(out))) for start in range(0, len(out), live.chunk)
        ]
        made: Iterable[tuple[int, np.ndarray]]
        if elsewhere is not None:
            parts = [np.arange(start, min(start + BLOCK, len(out))) for start in range(0, len(out), BLOCK)]
            made = elsewhere(parts)
        else:
            threads = threads_for(live.device) // 2
            made = enumerate(ahead(lambda part: live.rows(part).half().cpu().numpy(), parts, threads))
        for number, found in track(made, f"{name}: features of the pool", total=len(parts)):
            out[parts[number]] = found
        out.flush()
        write_json(new / "key.json", {"key": key})
