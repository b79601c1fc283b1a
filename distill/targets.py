"""What a stage's teacher says about every image of the pool, cached on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

from distill.pool import Pool
from student_vae import StudentVAE, load_student
from teacher import Teacher, load_teacher
from wafer_data.files import new_directory, read_json, sha256_file, sha256_json, write_json
from wafer_data.progress import track

CACHE = "cache"


def load_model(run_dir: Path, name: str) -> Teacher | StudentVAE:
    """The fitted teacher or a trained stage of a run."""
    return load_teacher(run_dir / "teacher") if name == "teacher" else load_student(run_dir / name)


def weights_file(run_dir: Path, name: str) -> Path:
    """Where a model of a run keeps its weights."""
    return run_dir / name / ("teacher.safetensors" if name == "teacher" else "student.safetensors")


def open_targets(cache: Path, run_dir: Path, name: str, pool: Pool) -> np.ndarray:
    """(M, d, map, map) float16 features of model `name` on the pool, memory-mapped; computed if not cached."""
    key = sha256_json({"pool": pool.key, "weights": sha256_file(weights_file(run_dir, name))})
    folder = cache / f"features-{name}"
    if not (folder / "key.json").is_file() or read_json(folder / "key.json").get("key") != key:
        _compute(folder, load_model(run_dir, name), pool, key, name)
    return np.load(folder / "features.npy", mmap_mode="r")


@torch.no_grad()
def _compute(folder: Path, model: Teacher | StudentVAE, pool: Pool, key: str, name: str) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    with new_directory(folder) as new:
        out: np.memmap | None = None
        for start in track(range(0, len(pool), 16), f"{name}: features of the pool"):
            batch = torch.from_numpy(pool.batch(np.arange(start, min(start + 16, len(pool)))))
            features = model.features(batch.to(device)).float().cpu().numpy()
            if out is None:
                shape = (len(pool), *features.shape[1:])
                out = np.lib.format.open_memmap(
                    new / "features.npy", mode="w+", dtype=np.float16, shape=shape
                )
            out[start : start + len(features)] = features
        assert out is not None
        out.flush()
        write_json(new / "key.json", {"key": key})


def drop_cache(run_dir: Path) -> None:
    """Remove the pool and all cached features of a run."""
    shutil.rmtree(run_dir / CACHE, ignore_errors=True)
