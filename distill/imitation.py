"""The imitation phase: a trunk learns to give its teacher's features for every image of the pool.

One loop for every stage. Everything random depends on the seed and the epoch alone and every checkpoint holds all
that an epoch hands to the next (weights, AdamW's moments, averaged weights, the best epoch so far), so a run that was
killed goes on as if it had not been. `docs/training.md` says what each part of the recipe is for.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from distill.batches import check_split, epoch_batches, hold_out, micro_batches
from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.config import StageConfig
from distill.early_stopping import EarlyStopping
from distill.ema import WeightAverage
from distill.pool import Pool
from distill.targets import LiveTargets, Targets
from student_vae.schedule import one_cycle
from wafer_data.errors import InputError
from wafer_data.progress import track


@dataclass(frozen=True)
class ImitationTask:
    """What one stage's imitation phase needs.

    name: stage. model: maps (B, 1, 256, 256) images in [0, 1] to (B, d, map, map) features.
    targets: features of the teacher, aligned with the pool; averaged down to the student's map. directions: how many
    of them are imitated, the first ones; None: all.
    """

    name: str
    model: nn.Module
    pool: Pool
    targets: Targets
    config: StageConfig
    seed: int
    directions: int | None = None

    def target(self, rows: np.ndarray) -> Tensor:
        """What the teacher says about images `rows`, (B, d, map, map) float32."""
        targets = self.targets.rows(rows, self.directions)
        factor = targets.shape[-1] // self.config.student.map_size
        return F.avg_pool2d(targets, factor) if factor > 1 else targets


def direction_weights(task: ImitationTask, rows: np.ndarray) -> Tensor:
    """(1, d, 1, 1) weights 1 / std of each direction on the first normals among `rows`.

    Plain squared error would spend the trunk on the few directions of largest variance; full whitening would spend
    it on noise. The root of whitening lies between.
    """
    std = task.target(rows[task.pool.is_normal[rows]][:200]).std((0, 2, 3))
    return (1.0 / std.clamp_min(1e-3)).view(1, -1, 1, 1)


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
    config, pool = task.config, task.pool
    learned, held = hold_out(pool.is_normal, config.held_out if config.early_stopping else 0.0, task.seed)
    check_split(
        task.name,
        len(learned),
        config.batch_size,
        config.gradient_accumulation,
        accelerator.num_processes,
    )
    weights = direction_weights(task, learned).to(accelerator.device)
    model: nn.Module = task.model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=config.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    inner = accelerator.unwrap_model(model)
    average = WeightAverage(inner, config.ema) if config.ema else None
    stopping = EarlyStopping(config.early_stopping) if config.early_stopping else None
    done = load_checkpoint(checkpoint_dir, inner, optimizer, average, stopping)
    slow = ", its teacher computed along" if isinstance(task.targets, LiveTargets) else ""
    for epoch in range(done, config.epochs):
        if stopping is not None and stopping.stop:
            break
        batches = epoch_batches(learned, config.batch_size, (task.seed, epoch))
        title = f"{task.name}: imitation {epoch + 1}/{config.epochs}{slow}"
        sums = torch.zeros(4, device=accelerator.device)
        steps = range(epoch * len(batches), (epoch + 1) * len(batches))
        rate = 0.0
        model.train()
        for step, batch in track(zip(steps, batches, strict=True), title, total=len(batches)):
            rate = one_cycle(step, config.epochs * len(batches), config.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = rate
            sums += _step(model, optimizer, task, batch, weights, accelerator)
            if average is not None:
                average.update(inner, step)
        losses = _means(accelerator.reduce(sums, reduction="sum").cpu())
        if not math.isfinite(losses["distill"]):
            raise InputError(
                f"distill.{task.name}: the loss of epoch {epoch + 1} is {losses['distill']}; lower "
                f"distill.{task.name}.learning_rate={config.learning_rate} or its gradient_clip and run again"
            )
        _agree(inner, average, accelerator)
        if stopping is not None:
            with average.in_place_of(inner) if average is not None else contextlib.nullcontext():
                losses["held_out"] = held_out_loss(inner, task, held, weights, accelerator)
                stopping.judge(epoch, losses["held_out"], inner.state_dict())
        if accelerator.is_main_process:
            # the log first: a run killed in between writes that row again, the other way round it would lack it
            on_epoch(epoch, {**losses, "learning_rate": rate})
            if (epoch + 1) % checkpoint_epochs == 0:
                save_checkpoint(checkpoint_dir, inner, optimizer, epoch + 1, average, stopping)
    if stopping is not None and stopping.tensors:
        inner.load_state_dict(stopping.tensors)
    elif average is not None:
        inner.load_state_dict(average.tensors)
    accelerator.wait_for_everyone()


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    task: ImitationTask,
    batch: np.ndarray,
    weights: Tensor,
    accelerator: Accelerator,
) -> Tensor:
    """One step on the gradient of the whole batch's mean loss; this process's part of `_sums`."""
    processes = accelerator.num_processes
    parts = micro_batches(batch, task.config.gradient_accumulation, accelerator.process_index, processes)
    sums = torch.zeros(4, device=accelerator.device)
    optimizer.zero_grad()
    for rows in parts:
        # gradients travel between processes once a step, with the last micro-batch
        alone = accelerator.no_sync(model) if rows is not parts[-1] else contextlib.nullcontext()
        with alone:
            error = _errors(model, task, rows, weights, accelerator.device)
            # every image weighs 1 / batch, however the batch is split; gradients are averaged over the processes
            accelerator.backward(error.sum() * (processes / len(batch)))
        sums += _sums(error.detach(), task, rows)
    accelerator.clip_grad_norm_(model.parameters(), task.config.gradient_clip)
    optimizer.step()
    return sums


@torch.no_grad()
def held_out_loss(
    model: nn.Module, task: ImitationTask, rows: np.ndarray, weights: Tensor, accelerator: Accelerator
) -> float:
    """Mean loss on the pool's images `rows` in evaluation mode, over all processes; the same number in each."""
    model.eval()
    share = rows[accelerator.process_index :: accelerator.num_processes]
    sums = torch.zeros(4, device=accelerator.device)
    size = max(1, task.config.batch_size // accelerator.num_processes // task.config.gradient_accumulation)
    for start in range(0, len(share), size):
        part = share[start : start + size]
        sums += _sums(_errors(model, task, part, weights, accelerator.device), task, part)
    return _means(accelerator.reduce(sums, reduction="sum").cpu())["distill"]


def _errors(
    model: nn.Module, task: ImitationTask, rows: np.ndarray, weights: Tensor, device: torch.device
) -> Tensor:
    """Weighted squared error of each image, (B,)."""
    images = torch.from_numpy(task.pool.batch(rows)).to(device)
    targets = task.target(rows).to(device)
    return ((model(images).float() - targets) * weights).square().flatten(1).mean(1)


def _sums(errors: Tensor, task: ImitationTask, rows: np.ndarray) -> Tensor:
    """[normal sum, normal count, synthetic sum, synthetic count] of the errors (B,) of images `rows`."""
    normal = torch.from_numpy(task.pool.is_normal[rows]).to(errors.device)
    return torch.stack([errors[normal].sum(), normal.sum(), errors[~normal].sum(), (~normal).sum()])


def _means(sums: Tensor) -> dict[str, float]:
    normal, n_normal, synthetic, n_synthetic = sums.tolist()
    losses = {"distill": (normal + synthetic) / (n_normal + n_synthetic)}
    if n_normal:
        losses["distill_normal"] = normal / n_normal
    if n_synthetic:
        losses["distill_synthetic"] = synthetic / n_synthetic
    return losses


def _agree(model: nn.Module, average: WeightAverage | None, accelerator: Accelerator) -> None:
    """Give every process the first one's running statistics of batch normalisation, and the average of them.

    Parameters are equal already, since all processes step on the same gradient; statistics come from the images
    that each one saw. Judging and resuming use what the first process has.
    """
    if accelerator.num_processes == 1:
        return
    for name, buffer in model.named_buffers():
        broadcast(buffer)
        if average is not None:
            broadcast(average.tensors[name])
