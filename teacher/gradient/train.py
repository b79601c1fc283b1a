"""The training loop: a module whose `forward` returns its losses, batches that depend on the seed and epoch alone.

Everything random is drawn anew from the seed and the epoch, and a checkpoint after every epoch holds the weights,
their running mean and the optimiser's moments: a training that was killed goes on as if it had not been. One
process; the stage that adapts the teacher is not run under a launcher.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from student_vae.schedule import one_cycle
from teacher.gradient.checkpoints import (
    Progress,
    forget_other_work,
    load_progress,
    save_progress,
    set_weights,
    trained_weights,
)
from teacher.gradient.config import TrainingConfig
from wafer_data.errors import InputError
from wafer_data.files import write_text
from wafer_data.progress import track

Batch = tuple[Tensor, ...]
HELD_OUT_IMAGES = 256
"""At most this many held-out images are judged after each epoch."""


@dataclass(frozen=True)
class Training:
    """One training.

    title: for the progress bar. section: of the configuration, for messages. module: its trainable parameters are
    trained; `forward(*batch)` returns named losses, means over the batch, of which `loss` is minimised. batches:
    given arrays of rows and the epoch (None: the held-out images, the same each time), yields one batch an array.
    rows, held_out: what is trained on and what decides when to stop. key: hash of all that the result depends on.
    """

    title: str
    section: str
    module: nn.Module
    batches: Callable[[list[np.ndarray], int | None], Iterable[Batch]]
    rows: np.ndarray
    held_out: np.ndarray
    config: TrainingConfig
    seed: int
    bf16: bool
    key: str


def hold_out(count: int, share: float, seed: int, draw: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Indices 0 to count - 1 in two parts, ascending: the others, and about `share` of them (at least one).

    `draw` tells several splits with one seed apart.
    """
    order = np.random.default_rng((seed, 11, draw)).permutation(count)
    held = max(1, round(share * count))
    return np.sort(order[held:]), np.sort(order[:held])


def train(training: Training, work: Path) -> list[dict[str, float]]:
    """Train `training.module` in place and leave the best epoch's weights in it, on the CPU.

    Args:
        work: folder of the checkpoint and of `losses.csv`; work of another training in it is cleared.

    Returns:
        One row an epoch: mean losses over the training and, as `held_out_*`, over the held-out images.

    Raises:
        InputError: a loss is not finite.
    """
    forget_other_work(work, training.key)
    with _accelerator(training.bf16) as accelerator:
        progress = _run(training, accelerator, work)
        module = accelerator.unwrap_model(training.module, keep_fp32_wrapper=False)
    set_weights(module, progress.best)
    module.cpu().eval()
    return progress.history


def _run(training: Training, accelerator: Accelerator, work: Path) -> Progress:
    config = training.config
    parameters = list(trained_weights(training.module).values())
    optimizer: Any = torch.optim.AdamW(parameters, lr=1.0, weight_decay=config.weight_decay)
    model, optimizer = accelerator.prepare(training.module, optimizer)
    progress = load_progress(work / "state", model, optimizer)
    while progress.epochs_done < config.epochs:
        if config.early_stopping and progress.epochs_since_best >= config.early_stopping:
            break
        epoch = progress.epochs_done
        with seeded(training.seed, epoch + 1):
            row = _epoch(training, accelerator, model, optimizer, progress, epoch)
        judged = _judge(training, accelerator, model, progress)
        row |= {f"held_out_{name}": value for name, value in judged.items()}
        if not all(math.isfinite(value) for value in row.values()):
            raise InputError(
                f"{training.section}: the loss of epoch {epoch + 1} is not finite; lower {training.section}."
                "learning_rate, or set teacher.gradient.bf16=false"
            )
        progress.record(row, row["held_out_loss"])
        # the log first: a run killed in between writes that row again, the other way round it would lack it
        write_text(work / "losses.csv", _as_csv(progress.history))
        save_progress(work / "state", model, optimizer, progress)
    return progress


def _epoch(
    training: Training,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    progress: Progress,
    epoch: int,
) -> dict[str, float]:
    """One pass over the training rows; mean losses and the last learning rate."""
    config = training.config
    steps = _steps(training.rows, config, np.random.default_rng((training.seed, 12, epoch)))
    parts = [
        part for step in steps for part in np.array_split(step, config.gradient_accumulation) if len(part)
    ]
    batches = iter(training.batches(parts, epoch))
    model.train()
    sums: dict[str, Tensor] = {}
    rate = 0.0
    for number, rows in enumerate(track(steps, f"{training.title} {epoch + 1}/{config.epochs}")):
        done = epoch * len(steps) + number
        rate = one_cycle(done, config.epochs * len(steps), config.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        for part in np.array_split(rows, config.gradient_accumulation):
            if not len(part):
                continue
            losses = model(*_to(accelerator.device, next(batches)))
            accelerator.backward(losses["loss"] * (len(part) / len(rows)))
            _add(sums, losses, len(part))
        accelerator.clip_grad_norm_(model.parameters(), config.gradient_clip)
        optimizer.step()
        _follow(progress.mean, model, min(config.ema, (1 + done) / (10 + done)))
    return {**_means(sums, sum(map(len, steps))), "learning_rate": rate}


def _steps(rows: np.ndarray, config: TrainingConfig, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows of each optimiser step of an epoch, in random order; what does not fill a batch waits its turn."""
    order = rng.permutation(rows)[: config.images_per_epoch]
    size = min(config.batch_size, len(order))
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


@torch.no_grad()
def _judge(
    training: Training, accelerator: Accelerator, model: nn.Module, progress: Progress
) -> dict[str, float]:
    """Losses of the running mean of the weights on the held-out images."""
    rows = training.held_out[:: -(-len(training.held_out) // HELD_OUT_IMAGES)]
    size = max(1, training.config.batch_size // training.config.gradient_accumulation)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    latest = {name: p.detach().clone() for name, p in trained_weights(model).items()}
    set_weights(model, progress.mean)
    model.eval()
    sums: dict[str, Tensor] = {}
    for part, batch in zip(parts, training.batches(parts, None), strict=True):
        _add(sums, model(*_to(accelerator.device, batch)), len(part))
    set_weights(model, latest)
    return _means(sums, len(rows))


@torch.no_grad()
def _follow(mean: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Exponential moving average; `decay` rises over the first steps so that the start is soon forgotten."""
    for name, parameter in trained_weights(model).items():
        mean[name].lerp_(parameter, 1 - decay)


@contextlib.contextmanager
def _accelerator(bf16: bool) -> Iterator[Accelerator]:
    """An accelerator whose precision no later one of this process is bound to: the students choose their own."""
    AcceleratorState._reset_state()
    usable = bf16 and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    accelerator = Accelerator(mixed_precision="bf16" if usable else "no")
    try:
        yield accelerator
    finally:
        accelerator.free_memory()
        AcceleratorState._reset_state()


@contextlib.contextmanager
def seeded(seed: int, draw: int = 0) -> Iterator[None]:
    """Random numbers of torch that depend on the arguments alone; the caller's generators stay as they were.

    draw: 0 for initial weights, 1 + epoch for what an epoch draws.
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence((13, seed, draw)).generate_state(1)[0]))
        yield


def _to(device: torch.device, batch: Batch) -> Batch:
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch)


def _add(sums: dict[str, Tensor], losses: dict[str, Tensor], count: int) -> None:
    for name, loss in losses.items():
        sums[name] = sums.get(name, torch.zeros((), device=loss.device)) + loss.detach().float() * count


def _means(sums: dict[str, Tensor], count: int) -> dict[str, float]:
    return {name: float(value) / count for name, value in sums.items()}


def _as_csv(history: list[dict[str, float]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    for epoch, row in enumerate(history):
        writer.writerow({"epoch": epoch, **{name: f"{value:.6g}" for name, value in row.items()}})
    return out.getvalue()
