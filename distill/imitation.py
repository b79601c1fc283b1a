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
from distill.targets import CachedTargets, LiveTargets, Targets, grey_on
from likelihood.answers import PAINTED
from training.ahead import ahead, threads_for
from training.batches import epoch_batches, hold_out
from training.loop import Inputs, Part, Settings, Training, train


@dataclass(frozen=True)
class ImitationTask:
    """What one stage's imitation phase needs.

    name: stage. model: maps (B, 1, 256, 256) images in [0, 1] to (B, d, map, map) features.
    targets: features of the teacher, aligned with the pool; averaged down to the student's map. directions: how many
    of them are imitated, the first ones; None: all. answers: names of the answers that they begin with.
    compiled: whether the model is compiled, on a GPU.
    """

    name: str
    model: nn.Module
    pool: Pool
    targets: Targets
    config: StageConfig
    seed: int
    directions: int | None = None
    answers: tuple[str, ...] = ()
    compiled: bool = False

    def target(self, rows: np.ndarray) -> Tensor:
        """What the teacher says about images `rows`, (B, d, map, map) float32."""
        return self._of_student(self.targets.rows(rows, self.directions), self._cover(rows))

    def stored(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """Images, cached features and defects of `rows` as they are stored, in memory that a GPU reads at once."""
        assert isinstance(self.targets, CachedTargets)
        parts = [self.pool.counts(rows), self.targets.stored(rows, self.directions)]
        cover = self._cover(rows)
        found = [torch.from_numpy(part) for part in parts] + ([] if cover is None else [cover])
        return tuple(part.pin_memory() if torch.cuda.is_available() else part for part in found)

    def on(self, device: torch.device, stored: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Images and targets on `device` from what `stored` returned: the numbers of `pool.batch` and `target`."""
        targets = stored[1].to(device, non_blocking=True).float()
        return grey_on(device, stored[0]), self._of_student(targets, stored[2] if stored[2:] else None)

    def _of_student(self, targets: Tensor, cover: Tensor | None) -> Tensor:
        """What a student is to learn of features (B, d, h, h), which change."""
        if cover is not None:
            _correct(targets[:, self.answers.index(PAINTED)], cover)
        factor = targets.shape[-1] // self.config.student.map_size
        if factor == 1:
            return targets
        count = len(self.answers)
        # a defect of one cell would vanish in a mean of its neighbours; the directions say what a cell looks like
        mean = F.avg_pool2d(targets[:, count:], factor)
        return torch.cat([F.max_pool2d(targets[:, :count], factor), mean], 1) if count else mean

    def _cover(self, rows: np.ndarray) -> Tensor | None:
        """Share of each part of the images that is known to be defective, if a target depends on it, uint8."""
        if self.pool.cover is None or PAINTED not in self.answers:
            return None
        return torch.from_numpy(self.pool.cover[rows])


SURE = 4.0
"""What a sure answer is, in standard deviations of normal cells."""
DEFECTIVE = 0.1
"""A cell shows a defect from this share of its pixels on."""
HUBER = 1.0
"""Errors of answers count by their square up to here, beyond it by their size: those on defects are large."""


def _correct(answer: Tensor, cover: Tensor) -> None:
    """Where the teacher overlooks a defect that is known to be there, its answer becomes `SURE`, in place."""
    share = cover.to(answer.device, non_blocking=True).float() / 255.0
    share = F.interpolate(share[:, None], size=answer.shape[-2:], mode="area")[:, 0]
    answer.copy_(torch.where(share > DEFECTIVE, answer.clamp_min(SURE), answer))


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

    def forward(
        self, images: Tensor, targets: Tensor, normal: Tensor, synthetic: Tensor
    ) -> dict[str, Tensor]:
        """Losses of (B, 1, S, S) images against (B, d, h, h) features.

        normal, synthetic: places of the ones and of the others in the batch. Places and no mask: a GPU would have to
        be waited for until it is known how many there are.
        """
        difference = (self.model(images).float() - targets) * self.weights
        error = difference[:, self.answers :].square().flatten(1).mean(1)
        if self.answers:
            asked = difference[:, : self.answers].flatten(1)
            error = error + 2 * F.huber_loss(
                asked, torch.zeros_like(asked), reduction="none", delta=HUBER
            ).mean(1)
        return {"loss": error, "normal": error[normal], "synthetic": error[synthetic]}


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

    device = accelerator.device

    def inputs(parts: list[Part]) -> Iterator[Inputs]:
        every = [np.sort(part.rows) for part in parts]  # neighbours on the disk are read together
        if device.type == "cpu" or not isinstance(task.targets, CachedTargets):
            for rows in every:
                yield torch.from_numpy(pool.batch(rows)), task.target(rows), *_places(pool.is_normal[rows])
            return
        for rows, stored in zip(every, ahead(task.stored, every, threads_for(device)), strict=True):
            yield *task.on(device, stored), *_places(pool.is_normal[rows])

    slow = ", its teacher computed along" if isinstance(task.targets, LiveTargets) else ""
    model = task.model.to(memory_format=torch.channels_last)
    if task.compiled and device.type == "cuda":
        model.compile()
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


def _places(normal: np.ndarray) -> tuple[Tensor, Tensor]:
    """Where `normal` holds, and where it does not."""
    return torch.from_numpy(np.flatnonzero(normal)), torch.from_numpy(np.flatnonzero(~normal))


def _logged(row: dict[str, float]) -> dict[str, float]:
    """The row of the loop under the names of `losses.csv`."""
    names = {"loss": "distill", "normal": "distill_normal", "synthetic": "distill_synthetic"}
    names |= {"held_out_loss": "held_out", "learning_rate": "learning_rate"}
    return {names[name]: value for name, value in row.items() if name in names}
