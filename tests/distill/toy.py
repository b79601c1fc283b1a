"""A small imitation task on random images: every part of the training loop runs, nothing of meaning is learned."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from distill.config import StageConfig
from distill.imitation import ImitationTask, imitate
from distill.pool import Pool
from distill.targets import CachedTargets
from likelihood import LevelConfig, LikelihoodConfig
from student_vae import StudentConfig

SIDE, MAP, DIRECTIONS = 32, 8, 4
LIKELIHOOD = LikelihoodConfig(
    latent_grid=4, latent_directions=None, levels=[LevelConfig(grid=4, mean_grid=4, covariance_block=2)]
)
STUDENT = StudentConfig(input_size=32, map_size=MAP, likelihood=LIKELIHOOD)


class RecordingPool(Pool):
    """A pool that remembers which images were asked for, one array a call."""

    def batch(self, indices: np.ndarray) -> np.ndarray:
        self.__dict__.setdefault("asked", []).append(np.array(indices))
        return super().batch(indices)


def plain_model() -> nn.Module:
    """Without batch normalisation: an image's features do not depend on the others in its batch."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, DIRECTIONS, 4, stride=2, padding=1)
    )


def normalised_model() -> nn.Module:
    """With batch normalisation, as the students are."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, DIRECTIONS, 4, stride=2, padding=1),
    )


def toy_task(model: nn.Module, images: int = 40, **settings) -> ImitationTask:
    """An untrained `model` and what it is to imitate; the last half of the pool counts as synthetic anomalies."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (images, SIDE, SIDE), dtype=np.uint8)
    # learnable: local means of the image, mixed differently in every direction
    local = pixels.reshape(images, 1, MAP, SIDE // MAP, MAP, SIDE // MAP).mean((3, 5)) / 255 - 0.5
    features = (local * rng.normal(0, 3, (1, DIRECTIONS, 1, 1))).astype(np.float16)
    pool = RecordingPool(pixels, np.arange(images) < images // 2, images // 2, "toy")
    config = StageConfig(student=STUDENT, **{"epochs": 3, "batch_size": 8, **settings})
    return ImitationTask("full", model, pool, CachedTargets(features), config, seed=5)


def train(
    task: ImitationTask, folder: Path, on_epoch: Callable[[int, dict[str, float]], None] | None = None
) -> list[dict[str, float]]:
    """Run the imitation phase on the CPU with checkpoints in `folder`; the losses of each epoch done now."""
    rows: list[dict[str, float]] = []

    def record(epoch: int, losses: dict[str, float]) -> None:
        rows.append({"epoch": epoch, **losses})
        if on_epoch is not None:
            on_epoch(epoch, losses)

    imitate(task, Accelerator(cpu=True), folder / "state", 1, record)
    return rows


def copy_of_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a model as it is now."""
    return {k: v.detach().clone() for k, v in model.state_dict().items()}
