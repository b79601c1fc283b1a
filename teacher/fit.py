"""Adapting the teacher to normal images in closed form.

Three readings of the training images, memory independent of their number: the first (a spread of at most
`BASIS_IMAGES`) finds each channel's scale and the principal directions; the second writes projected features to a
scratch file; the likelihood then takes its two passes over that file (`student_vae.fit`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from student_vae.fit import fit_likelihood
from teacher.backbones import build_backbone
from teacher.config import TeacherConfig
from teacher.model import Teacher, save_teacher
from wafer_data.errors import InputError
from wafer_data.files import new_directory
from wafer_data.progress import track
from wafer_data.store import ImageStore

SCRATCH = ".features-"
BASIS_IMAGES = 400
"""Images that set channel scales and directions: 400 x 1 024 positions is ample for a C x C covariance."""


def fit_teacher(config: TeacherConfig, store: ImageStore, out_dir: Path) -> Teacher:
    """Fit the teacher to the training normals of `store` and write it to `out_dir`.

    Raises:
        InputError: no weights, too few images, or more directions than the backbone has channels.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    backbone = build_backbone(config)
    if config.directions > backbone.channels:
        raise InputError(
            f"teacher.directions={config.directions} is more than the backbone's {backbone.channels} channels"
        )
    normals = store.indices("train", label=0)
    teacher = Teacher(backbone, config.directions).to(device).eval()
    fit_projection(teacher, store, spread(normals, BASIS_IMAGES), config)
    shape = (len(normals), config.directions, config.map_size, config.map_size)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    for leftover in out_dir.parent.glob(f"{SCRATCH}*"):  # of a fit that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=out_dir.parent, prefix=SCRATCH) as scratch:
        features = np.lib.format.open_memmap(
            Path(scratch) / "f.npy", mode="w+", dtype=np.float16, shape=shape
        )
        write_features(teacher, store, normals, features, config, "teacher features")

        teacher.likelihood = fit_likelihood(lambda: _batches(features), config.likelihood)
    teacher = teacher.cpu().eval()
    with new_directory(out_dir) as folder:
        save_teacher(teacher, config.likelihood, folder)
    return teacher


def _batches(features: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(features), 64):
        yield torch.from_numpy(features[start : start + 64].astype(np.float32))


def spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the indices, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[np.linspace(0, len(indices) - 1, count).round().astype(int)]


@torch.no_grad()
def fit_projection(teacher: Teacher, store: ImageStore, indices: np.ndarray, config: TeacherConfig) -> None:
    """Channel means, standard deviations and top principal directions of the backbone's features, in place."""
    device = teacher.projection.device
    channels = teacher.backbone.channels
    total = torch.zeros(channels, dtype=torch.float64)
    product = torch.zeros(channels, channels, dtype=torch.float64)
    count = 0
    for start in track(range(0, len(indices), config.batch_size), "directions of the features"):
        batch = torch.from_numpy(store.batch(indices[start : start + config.batch_size]))
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and device.type == "cuda"):
            raw = teacher.backbone(batch.to(device))
        rows = raw.float().permute(0, 2, 3, 1).reshape(-1, channels)
        total += rows.sum(0, dtype=torch.float64).cpu()
        product += (rows.T @ rows).double().cpu()
        count += len(rows)
    mean = total / count
    covariance = product / count - torch.outer(mean, mean)
    std = covariance.diagonal().clamp_min(0).sqrt() + 1e-6
    _, vectors = torch.linalg.eigh(covariance / torch.outer(std, std))
    teacher.channel_mean.copy_(mean.view(1, -1, 1, 1))
    teacher.channel_std.copy_(std.view(1, -1, 1, 1))
    teacher.projection.copy_(vectors[:, -config.directions :].flip(1).T)


@torch.no_grad()
def write_features(
    teacher: Teacher,
    store: ImageStore,
    indices: np.ndarray,
    out: np.ndarray,
    config: TeacherConfig,
    title: str,
) -> None:
    """Projected features of `indices` into `out` (N, d, map, map), float16."""
    device = teacher.projection.device
    for start in track(range(0, len(indices), config.batch_size), title):
        batch = torch.from_numpy(store.batch(indices[start : start + config.batch_size])).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and device.type == "cuda"):
            features = teacher.features(batch)
        out[start : start + len(batch)] = features.float().cpu().numpy().astype(np.float16)
