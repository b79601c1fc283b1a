"""Both students' outputs on the calibration and test images of a finished run, for the other routing benchmarks.

Everything is scored with the run's own students, not read from its report, so that what is compared comes from
one program. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distill.calibration import synthetic_anomaly
from router.gate import measure_quality
from router.policy import RoutingPolicy
from student_vae import StudentVAE, load_student
from wafer_data.files import read_json
from wafer_data.progress import track
from wafer_data.store import ImageStore

BATCH = 32
CLUES = (
    "log_score", "map_mean", "map_spread", "map_peak", "kl", "latent_distance",
    "mean", "std", "black_share", "white_share", "sharpness",
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """N images: raw scores of both students (N,), and what else is known after the low-resolution one (N, 11)."""

    lowres: np.ndarray
    full: np.ndarray
    clues: np.ndarray
    labels: np.ndarray
    refused: np.ndarray


@dataclass(frozen=True)
class RunScores:
    """A finished run. `synthetic[i]` is an anomaly painted into calibration normal i, SYNTHETIC and nothing else."""

    name: str
    policy: RoutingPolicy
    calibration: Part
    synthetic: Part
    test: Part


def score_run(run_dir: Path) -> RunScores:
    """Score the images of the finished run `run_dir`."""
    store = ImageStore.open(run_dir / "data")
    policy = RoutingPolicy.from_dict(read_json(run_dir / "router" / "policy.json"))
    lowres, full = load_student(run_dir / "lowres"), load_student(run_dir / "full")
    normals, tests = store.indices("calibration", label=0), store.indices("test")
    known = torch.cat(
        [_latents(lowres, store, normals[i : i + BATCH]) for i in range(0, len(normals), BATCH)]
    )

    def part(
        count: int, image: Callable[[int], np.ndarray], own: bool, labels: np.ndarray, title: str
    ) -> Part:
        return _score(lowres, full, policy, count, image, known, own, labels, f"{store.name}: {title}")

    return RunScores(
        store.name,
        policy,
        part(
            len(normals), lambda i: store.grey(int(normals[i])), True, np.zeros(len(normals)), "calibration"
        ),
        part(
            len(normals),
            lambda i: synthetic_anomaly(store, normals, i),
            True,
            np.ones(len(normals)),
            "synthetic",
        ),
        part(
            len(tests),
            lambda i: store.grey(int(tests[i])),
            False,
            np.array([store.records[i].label for i in tests]),
            "test",
        ),
    )


@torch.no_grad()
def _latents(student: StudentVAE, store: ImageStore, indices: np.ndarray) -> torch.Tensor:
    return student.score(torch.from_numpy(store.batch(indices))).latent


@torch.no_grad()
def _score(
    lowres: StudentVAE,
    full: StudentVAE,
    policy: RoutingPolicy,
    count: int,
    image: Callable[[int], np.ndarray],
    known: torch.Tensor,
    own: bool,
    labels: np.ndarray,
    title: str,
) -> Part:
    """`own`: image i was made from the i-th of the `known` latents, which does not count as its neighbour."""
    low, high, clues, refused = [], [], [], []
    for start in track(range(0, count, BATCH), title):
        images = np.stack([image(i) for i in range(start, min(start + BATCH, count))])
        batch = torch.from_numpy(np.stack([policy.gate.cleaned(one) for one in images]))[:, None]
        result = lowres.score(batch)
        low.append(result.score.numpy())
        high.append(full.score(batch).score.numpy())
        heat = result.map.flatten(1)
        distance = torch.cdist(result.latent, known)
        if own:
            distance[torch.arange(len(images)), torch.arange(start, start + len(images))] = torch.inf
        figures = [measure_quality(one) for one in images]
        refused += [bool(policy.gate.reasons(figure)) for figure in figures]
        columns = [
            result.score.log().numpy(),
            heat.mean(1).numpy(),
            heat.std(1).numpy(),
            heat.amax(1).numpy(),
            _kl(lowres, result.latent).numpy(),
            distance.amin(1).numpy(),
            *np.array([(f.mean, f.std, f.black_share, f.white_share, f.sharpness) for f in figures]).T,
        ]
        clues.append(np.stack(columns, 1))
    return Part(
        np.concatenate(low).astype(float),
        np.concatenate(high).astype(float),
        np.concatenate(clues).astype(float),
        labels,
        np.array(refused, dtype=bool),
    )


def _kl(student: StudentVAE, latent: torch.Tensor) -> torch.Tensor:
    """KL(q(z|x) || N(0, I)), (B,); a student without the ELBO phase has no variance, so its q has variance 1."""
    if student.log_variance is None:
        return 0.5 * latent.square().sum(1)
    log_variance = student.log_variance_at(latent)
    return 0.5 * (latent.square() + log_variance.exp() - 1 - log_variance).sum(1)
