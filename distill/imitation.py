"""The imitation phase: a trunk learns to give its teacher's features for every image of the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from distill.batches import check_split
from distill.config import StageConfig
from distill.pool import Pool
from distill.targets import LiveTargets, Targets
from likelihood.answers import PAINTED
from training.batches import epoch_batches, hold_out
from training.loop import Inputs, Part, Settings, Training, train


@dataclass(frozen=True)
class ImitationTask:
    """What one stage's imitation phase needs.

    name: stage. model: maps (B, 1, 256, 256) images in [0, 1] to (B, d, map, map) features.
    targets: features of the teacher, aligned with the pool; averaged down to the student's map. directions: how many
    of them are imitated, the first ones; None: all. answers: names of the answers that they begin with.
    """

    name: str
    model: nn.Module
    pool: Pool
    targets: Targets
    config: StageConfig
    seed: int
    directions: int | None = None
    answers: tuple[str, ...] = ()

    def target(self, rows: np.ndarray) -> Tensor:
        """What the teacher says about images `rows`, (B, d, map, map) float32."""
        targets = self.targets.rows(rows, self.directions)
        if PAINTED in self.answers:
            self._correct(targets[:, self.answers.index(PAINTED)], rows)
        factor = targets.shape[-1] // self.config.student.map_size
        if factor == 1:
            return targets
        count = len(self.answers)
        # a defect of one cell would vanish in a mean of its neighbours; the directions say what a cell looks like
        mean = F.avg_pool2d(targets[:, count:], factor)
        return torch.cat([F.max_pool2d(targets[:, :count], factor), mean], 1) if count else mean

    def _correct(self, answer: Tensor, rows: np.ndarray) -> None:
        """Where the teacher overlooks a defect that is known to be there, its answer becomes `SURE`, in place."""
        if self.pool.cover is None:
            return
        cover = torch.from_numpy(self.pool.cover[rows].astype(np.float32) / 255.0).to(answer.device)
        cover = F.interpolate(cover[:, None], size=answer.shape[-2:], mode="area")[:, 0]
        answer[cover > DEFECTIVE] = answer[cover > DEFECTIVE].clamp_min(SURE)


SURE = 4.0
"""What a sure answer is, in standard deviations of normal cells."""
DEFECTIVE = 0.1
"""A cell shows a defect from this share of its pixels on."""
HUBER = 1.0
"""Errors of answers count by their square up to here, beyond it by their size: those on defects are large."""


def direction_weights(task: ImitationTask, rows: np.ndarray) -> Tensor:
    """(1, d, 1, 1) weights 1 / std of each direction on the first normals among `rows`.

    Plain squared error would spend the trunk on the few directions of largest variance; full whitening would spend
    it on noise. The root of whitening lies between.
    """
    std = task.target(rows[task.pool.is_normal[rows]][:200]).std((0, 2, 3)).clamp_min(1e-3)
    std[: len(task.answers)] = 1.0  # they are standard already
    return (1.0 / std).view(1, -1, 1, 1)


class Imitation(nn.Module):
    """A model and its losses: the error of its features, each with its weight, (1, Q + d, 1, 1).

    Directions by the square of it, the `answers` (Q) that come first by Huber's loss; all answers together count as
    much as all directions.
    """

    weights: Tensor

    def __init__(self, model: nn.Module, weights: Tensor, answers: int = 0) -> None:
        super().__init__()
        self.model, self.answers = model, answers
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, images: Tensor, targets: Tensor, normal: Tensor) -> dict[str, Tensor]:
        """Losses of (B, 1, S, S) images against (B, d, h, h) features; normal: (B,) bool, the rest is synthetic."""
        difference = (self.model(images).float() - targets) * self.weights
        error = difference[:, self.answers :].square().flatten(1).mean(1)
        if self.answers:
            asked = difference[:, : self.answers].flatten(1)
            error = error + 2 * F.huber_loss(
                asked, torch.zeros_like(asked), reduction="none", delta=HUBER
            ).mean(1)
        return {"loss": error, "normal": error[normal], "synthetic": error[~normal]}


def imitate(
    task: ImitationTask,
    accelerator: Accelerator,
    checkpoint_dir: Path,
    checkpoint_epochs: int,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> None:
    """Train `task.model` in place, resuming from the newest checkpoint in `checkpoint_dir`.

    What the model holds in the end is the last epoch's weights; with `ema` their moving average; with
    `early_stopping` that of the epoch whose held-out loss was lowest. The same in every process.

    Args:
        on_epoch: called in the main process after each epoch with the mean losses of it.

    Raises:
        InputError: too few images for the processes and micro-batches, or a loss that is no longer finite.
    """
    training = imitation_training(task, accelerator, checkpoint_epochs)
    train(training, checkpoint_dir, accelerator, lambda epoch, row: on_epoch(epoch, _logged(row)))


def imitation_training(task: ImitationTask, accelerator: Accelerator, checkpoint_epochs: int = 1) -> Training:
    """What the loop is given. Raises InputError for too few images for the processes and micro-batches."""
    config, pool = task.config, task.pool
    learned, held = hold_out(pool.is_normal, config.held_out if config.early_stopping else 0.0, task.seed)
    check_split(
        task.name,
        len(learned),
        config.batch_size,
        config.gradient_accumulation,
        accelerator.num_processes,
    )

    def inputs(parts: list[Part]) -> Iterator[Inputs]:
        for part in parts:
            rows = np.sort(part.rows)  # neighbours on the disk are read together
            normal = torch.from_numpy(pool.is_normal[rows])
            yield torch.from_numpy(pool.batch(rows)), task.target(rows), normal

    slow = ", its teacher computed along" if isinstance(task.targets, LiveTargets) else ""
    model = task.model.to(memory_format=torch.channels_last)
    return Training(
        title=f"{task.name}: imitation{slow}",
        section=f"distill.{task.name}",
        remedy=f"lower distill.{task.name}.learning_rate={config.learning_rate} or its gradient_clip",
        task=Imitation(model, direction_weights(task, learned), len(task.answers)).to(accelerator.device),
        inputs=inputs,
        steps_of=lambda epoch: epoch_batches(learned, config.batch_size, (task.seed, epoch)),
        settings=Settings.of(config, checkpoint_epochs=checkpoint_epochs),
        held_out=held if config.early_stopping else None,
    )


def _logged(row: dict[str, float]) -> dict[str, float]:
    """The row of the loop under the names of `losses.csv`."""
    names = {"loss": "distill", "normal": "distill_normal", "synthetic": "distill_synthetic"}
    names |= {"held_out_loss": "held_out", "learning_rate": "learning_rate"}
    return {names[name]: value for name, value in row.items() if name in names}
