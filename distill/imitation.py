"""The imitation phase: a trunk learns to give its teacher's features for every image of the pool.

One loop for every stage. Everything random depends on the seed and the epoch alone and every checkpoint holds the
weights and the optimiser's moments, so a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from distill.checkpoints import load_checkpoint, save_checkpoint
from distill.config import StageConfig
from distill.pool import Pool
from distill.schedule import one_cycle
from wafer_data.progress import track


@dataclass(frozen=True)
class ImitationTask:
    """What one stage's imitation phase needs.

    name: stage. model: maps (B, 1, 256, 256) images in [0, 1] to (B, d, map, map) features.
    targets: (M, d, side, side) of the teacher, aligned with the pool; averaged down to the student's map.
    """

    name: str
    model: nn.Module
    pool: Pool
    targets: np.ndarray
    config: StageConfig
    seed: int

    def target(self, rows: np.ndarray) -> Tensor:
        """What the teacher says about images `rows`, (B, d, map, map) float32."""
        targets = torch.from_numpy(self.targets[rows].astype(np.float32))
        factor = targets.shape[-1] // self.config.student.map_size
        return F.avg_pool2d(targets, factor) if factor > 1 else targets


def direction_weights(task: ImitationTask) -> Tensor:
    """(1, d, 1, 1) weights 1 / std of each direction on normals.

    Plain squared error would spend the trunk on the few directions of largest variance; full whitening would spend
    it on noise. The root of whitening lies between.
    """
    std = task.target(np.flatnonzero(task.pool.is_normal)[:200]).std((0, 2, 3))
    return (1.0 / std.clamp_min(1e-3)).view(1, -1, 1, 1)


def imitate(
    task: ImitationTask,
    accelerator: Accelerator,
    checkpoint_dir: Path,
    checkpoint_epochs: int,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> None:
    """Train `task.model` in place, resuming from the newest checkpoint in `checkpoint_dir`.

    Args:
        on_epoch: called in the main process after each epoch with the mean losses of it.
    """
    config, pool = task.config, task.pool
    weights = direction_weights(task).to(accelerator.device)
    model: nn.Module = task.model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=config.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    inner = accelerator.unwrap_model(model)
    done = load_checkpoint(checkpoint_dir, inner, optimizer)
    per_epoch = len(pool) // config.batch_size
    for epoch in range(done, config.epochs):
        model.train()
        order = np.random.default_rng((task.seed, epoch)).permutation(len(pool))
        sums = torch.zeros(4, device=accelerator.device)
        title = f"{task.name}: imitation {epoch + 1}/{config.epochs}"
        rate = 0.0
        for step in track(range(per_epoch), title):
            rate = one_cycle(epoch * per_epoch + step, config.epochs * per_epoch, config.learning_rate)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = order[step * config.batch_size : (step + 1) * config.batch_size]
            share = np.sort(batch[accelerator.process_index :: accelerator.num_processes])
            loss, parts = _loss(model, task, share, weights, accelerator.device)
            optimizer.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), config.gradient_clip)
            optimizer.step()
            sums += parts
        sums = accelerator.reduce(sums, reduction="sum").cpu()
        if accelerator.is_main_process:
            # the log first: a run killed in between writes that row again, the other way round it would lack it
            on_epoch(epoch, {**_means(sums), "learning_rate": rate})
            if (epoch + 1) % checkpoint_epochs == 0:
                save_checkpoint(checkpoint_dir, inner, optimizer, epoch + 1)
    accelerator.wait_for_everyone()


def _loss(
    model: nn.Module, task: ImitationTask, rows: np.ndarray, weights: Tensor, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Weighted squared error of a batch, and [normal sum, normal count, synthetic sum, synthetic count]."""
    images = torch.from_numpy(task.pool.batch(rows)).to(device)
    targets = task.target(rows).to(device)
    normal = torch.from_numpy(task.pool.is_normal[rows]).to(device)
    error = ((model(images).float() - targets) * weights).square().flatten(1).mean(1)
    detached = error.detach()
    parts = torch.stack([detached[normal].sum(), normal.sum(), detached[~normal].sum(), (~normal).sum()])
    return error.mean(), parts


def _means(sums: Tensor) -> dict[str, float]:
    normal, n_normal, synthetic, n_synthetic = sums.tolist()
    losses = {"distill": (normal + synthetic) / (n_normal + n_synthetic)}
    if n_normal:
        losses["distill_normal"] = normal / n_normal
    if n_synthetic:
        losses["distill_synthetic"] = synthetic / n_synthetic
    return losses
