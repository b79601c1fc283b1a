"""The imitation phase: a trunk learns to give its teacher's features for every image of the pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
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
from likelihood.answers import PAINTED, PLACE
from training.ahead import ahead, threads_for
from training.batches import epoch_batches, hold_out
from training.loop import Inputs, Part, Settings, Training, train


@dataclass(frozen=True)
class ImitationTask:
    """What one stage's imitation phase needs.

    name: stage. model: maps (B, 1, 256, 256) images in [0, 1] to (B, d, map, map) features.
    targets: features of the teacher, aligned with the pool; averaged down to the student's map. directions: how many
    of them are imitated, the first ones; None: all. asked: "place" and the answers that they begin with, and their
    weights in the score; empty: none. answer_targets: of the model whose answers are imitated; default: `targets`.
    from_paint: whether the answer to painted defects is learned from the paint itself (see `Imitation`). compiled:
    whether the model is compiled, on a GPU.
    """

    name: str
    model: nn.Module
    pool: Pool
    targets: Targets
    config: StageConfig
    seed: int
    directions: int | None = None
    asked: Mapping[str, float] = field(default_factory=dict)
    answer_targets: Targets | None = None
    from_paint: bool = False
    compiled: bool = False

    @property
    def answers(self) -> list[str]:
        """Names of the answers."""
        return list(self.asked)[1:]

    @property
    def is_cached(self) -> bool:
        """Whether all targets are read and none is computed."""
        used = (self.targets, self.answer_targets or self.targets)
        return all(isinstance(one, CachedTargets) for one in used)

    def target(self, rows: np.ndarray) -> Tensor:
        """What the teacher says about images `rows`, (B, d, map, map) float32."""
        targets = self.targets.rows(rows, self.directions)
        own = None if self.answer_targets is None else self.answer_targets.rows(rows, len(self.answers))
        return self._of_student(targets, own)

    def stored(self, rows: np.ndarray) -> tuple[Tensor, ...]:
        """Images and cached features of `rows` as they are stored, in memory that a GPU reads at once."""
        assert isinstance(self.targets, CachedTargets)
        parts = [self.pool.counts(rows), self.targets.stored(rows, self.directions)]
        if isinstance(self.answer_targets, CachedTargets):
            parts.append(self.answer_targets.stored(rows, len(self.answers)))
        found = [torch.from_numpy(part) for part in parts]
        return tuple(part.pin_memory() if torch.cuda.is_available() else part for part in found)

    def on(self, device: torch.device, stored: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Images and targets on `device` from what `stored` returned: the numbers of `pool.batch` and `target`."""
        image, targets, *own = stored
        features, *answers = (part.to(device, non_blocking=True).float() for part in (targets, *own))
        return grey_on(device, image), self._of_student(features, answers[0] if answers else None)

    def _of_student(self, targets: Tensor, answers: Tensor | None) -> Tensor:
        """What a student is to learn of features (B, Q + d, h, h), and of answers (B, Q, h, h) in place of theirs."""
        if answers is not None:
            targets = torch.cat([answers.to(targets.device), targets[:, len(self.answers) :]], 1)
        factor = targets.shape[-1] // self.config.student.map_size
        if factor == 1:
            return targets
        count = len(self.answers)
        # a defect of one cell would vanish in a mean of its neighbours; the directions say what a cell looks like
        mean = F.avg_pool2d(targets[:, count:], factor)
        return torch.cat([F.max_pool2d(targets[:, :count], factor), mean], 1) if count else mean

    def painted(self, rows: np.ndarray) -> Tensor:
        """Which cells of images `rows` show a defect, (B, map, map): 1 yes, 0 no, `UNKNOWN` where nobody knows."""
        side, pool = self.config.student.map_size, self.pool
        known = torch.from_numpy(pool.is_normal[rows] if pool.known is None else pool.known[rows])
        if pool.cover is None:
            return torch.where(known[:, None, None], 0.0, UNKNOWN).expand(-1, side, side).clone()
        cover = torch.from_numpy(pool.cover[rows].astype(np.float32) / 255.0)
        found = cells_of(cover, side)
        found[~known & (found <= 0).flatten(1).all(1)] = UNKNOWN
        return found


DEFECTIVE = 0.1
"""A cell shows a defect from this share of its pixels on, or from half the share of the most covered cell."""
UNKNOWN = -1.0
POSITIVE = 3.0
"""Weight of a defective cell against a normal one: there are few."""
PAINTED_LOSS = 10.0
"""Brings the cross-entropy of all cells, some hundredths, to the size of the other losses."""
LEAST_PLACE = 0.25
"""Of the loss of the directions, where places do not count: the latent is taken from them in any case."""
SURE = 4.0
"""What a sure answer is, in standard deviations of normal cells."""
HUBER = 1.0
"""Errors of answers count by their square up to here, beyond it by their size: those on defects are large."""


def cells_of(cover: Tensor, side: int) -> Tensor:
    """(B, h, h) shares that are painted -> what `defective_cells` says of the cells of a map of `side`."""
    return defective_cells(F.interpolate(cover[:, None], size=(side, side), mode="area")[:, 0])


def defective_cells(cover: Tensor) -> Tensor:
    """(B, h, h) shares of cells that are painted -> 1 defective, 0 not touched, `UNKNOWN` in between."""
    limit = (0.5 * cover.flatten(1).max(1).values).clamp_max(DEFECTIVE)[:, None, None]
    found = torch.where(cover > 0, torch.full_like(cover, UNKNOWN), torch.zeros_like(cover))
    return torch.where((cover >= limit) & (cover > 0), torch.ones_like(cover), found)


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

    Directions by the square of it, the answers (Q) that come first by Huber's loss, each with its weight in the score.
    Where the teacher overlooks a painted defect, its answer to that question becomes `SURE`; or, `from_paint`, what it
    says there does not count at all and the truth is learned, by cross-entropy: a small network that sees the pixels
    of enough images finds specks which its teacher's coarse features do not show (docs/LOG.md).

    Args:
        asked: "place" and the answers, in their order, and their weights in the score; empty: directions alone.
    """

    weights: Tensor

    def __init__(
        self,
        model: nn.Module,
        weights: Tensor,
        asked: Mapping[str, float] | None = None,
        from_paint: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.from_paint = model, from_paint
        place, *shares = (asked or {PLACE: 1.0}).values()
        self.place, self.shares, self.answers = max(place, LEAST_PLACE), shares, list(asked or {})[1:]
        self.register_buffer("weights", weights, persistent=False)

    def forward(
        self, images: Tensor, targets: Tensor, painted: Tensor, normal: Tensor, synthetic: Tensor
    ) -> dict[str, Tensor]:
        """Losses of (B, 1, S, S) images.

        targets: (B, Q + d, h, h) features. painted: (B, h, h), see `ImitationTask.painted`. normal, synthetic: places
        of the ones and of the others in the batch. Places and no mask: a GPU would have to be waited for until it is
        known how many there are.
        """
        found = self.model(images).float()
        count = len(self.answers)
        error = self.place * ((found - targets) * self.weights)[:, count:].square().flatten(1).mean(1)
        for channel, (name, share) in enumerate(zip(self.answers, self.shares, strict=True)):
            answer, target = found[:, channel], targets[:, channel]
            if name == PAINTED and self.from_paint:
                loss = PAINTED_LOSS * painted_cross_entropy(answer, painted)
            else:
                if name == PAINTED:
                    target = torch.where(painted == 1, target.clamp_min(SURE), target)
                loss = 2 * F.huber_loss(answer, target, reduction="none", delta=HUBER).flatten(1).mean(1)
            error = error + share * loss
        return {"loss": error, "normal": error[normal], "synthetic": error[synthetic]}


def painted_cross_entropy(odds: Tensor, painted: Tensor) -> Tensor:
    """(B, h, h) log odds and truth (see `ImitationTask.painted`) -> (B,) mean over the cells that are known."""
    weight = odds.new_tensor(POSITIVE)
    loss = F.binary_cross_entropy_with_logits(odds, painted.clamp_min(0), pos_weight=weight, reduction="none")
    return (loss * (painted != UNKNOWN)).flatten(1).mean(1)


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

    def truth(rows: np.ndarray) -> Tensor:
        """Nothing where nobody asks what is painted: every step would work it out for no loss."""
        return task.painted(rows) if PAINTED in task.answers else torch.empty(len(rows), 0)

    def inputs(parts: list[Part]) -> Iterator[Inputs]:
        every = [np.sort(part.rows) for part in parts]  # neighbours on the disk are read together
        if device.type == "cpu" or not task.is_cached:
            for rows in every:
                images = torch.from_numpy(pool.batch(rows))
                yield images, task.target(rows), truth(rows), *_places(pool.is_normal[rows])
            return
        for rows, stored in zip(every, ahead(task.stored, every, threads_for(device)), strict=True):
            yield *task.on(device, stored), truth(rows), *_places(pool.is_normal[rows])

    slow = ", its teacher computed along" if isinstance(task.targets, LiveTargets) else ""
    model = task.model.to(memory_format=torch.channels_last)
    if task.compiled and device.type == "cuda":
        model.compile()
    return Training(
        title=f"{task.name}: imitation{slow}",
        section=f"distill.{task.name}",
        remedy=f"lower distill.{task.name}.learning_rate={config.learning_rate} or its gradient_clip",
        task=Imitation(model, direction_weights(task, learned), task.asked, task.from_paint).to(
            accelerator.device
        ),
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
