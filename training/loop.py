"""The training loop.

Everything random depends on the seed and the epoch alone, and a checkpoint holds all that an epoch hands to the next
(weights, AdamW's moments, averaged weights, the best epoch so far), so a training that was killed goes on as if it had
not been. `docs/training.md` says what each part of the recipe is for.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import Tensor, nn

from training.average import WeightAverage
from training.batches import micro_batches
from training.checkpoints import TrainingState, load_checkpoint, save_checkpoint
from training.early_stopping import EarlyStopping
from training.processes import OneProcess
from training.schedule import one_cycle
from training.tensors import learned_state
from wafer_data.errors import InputError
from wafer_data.progress import track

Inputs = tuple[Tensor, ...]
OnEpoch = Callable[[int, dict[str, float]], None]


class Part(NamedTuple):
    """What one forward pass sees.

    Attributes:
        step: Of the `steps` of the whole training; equal to `steps` for held-out images.
    """

    rows: np.ndarray
    step: int
    steps: int
    epoch: int | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a training goes. The fields are those that the sections of the configuration share, and mean the same."""

    epochs: int
    batch_size: int
    learning_rate: float
    gradient_clip: float
    weight_decay: float = 1e-4
    gradient_accumulation: int = 1
    ema: float = 0.0
    early_stopping: int = 0
    checkpoint_epochs: int = 1

    @classmethod
    def of(cls, config: Any, **others: Any) -> Self:
        """The settings of a section of the configuration, with some of them replaced."""
        found = {
            entry.name: getattr(config, entry.name) for entry in fields(cls) if hasattr(config, entry.name)
        }
        return cls(**{**found, **others})


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training.

    Attributes:
        title: For the progress bar.
        section: Of the configuration, for messages.
        remedy: What to change when the loss is no longer finite.
        task: The module to train. `task(*inputs)` returns named losses, one number an image; `loss` is minimised, the
            others are reported. A loss may speak of some of the images only.
        inputs: Yields the inputs of each of the given parts, in order.
        steps_of: The rows of each optimiser step of an epoch.
        settings: See :class:`Settings`.
        held_out: Rows by whose `loss` the best epoch is chosen; None keeps the last.
        generator: Random numbers that `inputs` draws in the order of the steps; its state is part of a checkpoint.
        drawing: The context of an epoch's random numbers, for tasks that draw from torch's own generator.
    """

    title: str
    section: str
    remedy: str
    task: nn.Module
    inputs: Callable[[list[Part]], Iterable[Inputs]]
    steps_of: Callable[[int], list[np.ndarray]]
    settings: Settings
    held_out: np.ndarray | None = None
    generator: torch.Generator | None = None
    drawing: Callable[[int], AbstractContextManager[None]] = lambda epoch: contextlib.nullcontext()


def train(
    training: Training,
    folder: Path | None = None,
    processes: Any = None,
    on_epoch: OnEpoch = lambda epoch, row: None,
) -> list[dict[str, float]]:
    """Train `training.task` in place.

    What it holds in the end is the last epoch's weights; with `ema` their moving average; with `held_out` that of the
    epoch whose held-out loss was lowest. The same in every process.

    Args:
        training: What to train.
        folder: Of the checkpoint; the training goes on from it. None keeps none.
        processes: An `accelerate.Accelerator`; None: this process alone, on the task's device.
        on_epoch: Called in the main process after each epoch with its row.

    Returns:
        One row an epoch: mean losses, the last learning rate, and as `held_out_*` the mean losses of held-out images.

    Raises:
        InputError: A loss is no longer finite.
    """
    settings = training.settings
    run = processes or OneProcess(next(training.task.parameters()).device)
    trained = [parameter for parameter in training.task.parameters() if parameter.requires_grad]
    on_gpu = run.device.type == "cuda"
    torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark or on_gpu
    # one kernel for all weights, where each would be several
    fused: dict[str, Any] = {"fused": True} if on_gpu else {}
    optimizer: Any = torch.optim.AdamW(trained, lr=1.0, weight_decay=settings.weight_decay, **fused)
    model, optimizer = run.prepare(training.task, optimizer)
    module = run.unwrap_model(model)
    state = TrainingState(
        module,
        optimizer,
        WeightAverage(module, settings.ema) if settings.ema else None,
        EarlyStopping(settings.early_stopping) if training.held_out is not None else None,
        training.generator,
    )
    if folder is not None:
        load_checkpoint(folder, state)
    while state.epochs_done < settings.epochs and not (state.stopping is not None and state.stopping.stop):
        epoch = state.epochs_done
        with training.drawing(epoch):
            row = _epoch(training, run, model, state)
        _check_finite(training, row, epoch)
        _agree(state, run)
        if training.held_out is not None and state.stopping is not None:
            with state.average.in_place_of(state.module) if state.average else contextlib.nullcontext():
                row |= {f"held_out_{k}": v for k, v in held_out_losses(training, run, state.module).items()}
                _check_finite(training, row, epoch)
                state.stopping.judge(epoch, row["held_out_loss"], learned_state(state.module))
        state.history.append(row)
        if run.is_main_process:
            # the log first: a run killed in between writes that row again, the other way round it would lack it
            on_epoch(epoch, row)
            if folder is not None and (epoch + 1) % settings.checkpoint_epochs == 0:
                save_checkpoint(folder, state)
    run.unwrap_model(model, keep_fp32_wrapper=False)
    state.finish()
    run.wait_for_everyone()
    return state.history


def _epoch(training: Training, run: Any, model: nn.Module, state: TrainingState) -> dict[str, float]:
    """One pass; mean losses over all processes, and the last learning rate."""
    settings, epoch = training.settings, state.epochs_done
    batches = training.steps_of(epoch)
    steps = settings.epochs * len(batches)
    numbered = list(enumerate(batches, epoch * len(batches)))
    split = [
        [Part(rows, step, steps, epoch) for rows in _micro_batches(batch, settings, run)]
        for step, batch in numbered
    ]
    stream = iter(training.inputs([part for parts in split for part in parts]))
    model.train()
    losses, rate = _Means(), 0.0
    title = f"{training.title} {epoch + 1}/{settings.epochs}"
    for (step, batch), parts in track(zip(numbered, split, strict=True), title, total=len(batches)):
        rate = one_cycle(step, steps, settings.learning_rate)
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.optimizer.zero_grad()
        for number in range(len(parts)):
            inputs = _to(run.device, next(stream))
            # gradients travel between processes once a step, with the last micro-batch
            with run.no_sync(model) if number < len(parts) - 1 else contextlib.nullcontext():
                found = model(*inputs)
                # every image weighs 1 / batch, however the batch is split; gradients are averaged over the processes
                run.backward(found["loss"].sum() * (run.num_processes / len(batch)))
            losses.add(found)
        run.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        state.optimizer.step()
        if state.average is not None:
            state.average.update(state.module, step)
    return {**losses.over(run), "learning_rate": rate}


@torch.no_grad()
def held_out_losses(training: Training, run: Any, module: nn.Module) -> dict[str, float]:
    """Mean losses on the held-out images in evaluation mode, over all processes; the same numbers in each."""
    assert training.held_out is not None
    settings = training.settings
    share = training.held_out
    if (
        len(share) >= run.num_processes
    ):  # fewer are looked at by everyone, so that nobody has nothing to add up
        share = share[run.process_index :: run.num_processes]
    size = max(1, settings.batch_size // run.num_processes // settings.gradient_accumulation)
    parts = [Part(share[i : i + size], 1, 1, None) for i in range(0, len(share), size)]
    module.eval()
    losses = _Means()
    for inputs in training.inputs(parts):
        losses.add(module(*_to(run.device, inputs)))
    return losses.over(run)


class _Means:
    """Means of named losses over images that come in parts."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, losses: dict[str, Tensor]) -> None:
        for name, loss in losses.items():
            part = torch.stack(
                [loss.detach().float().sum(), loss.new_tensor(loss.numel(), dtype=torch.float)]
            ).double()
            self._sums[name] = self._sums[name] + part if name in self._sums else part

    def over(self, run: Any) -> dict[str, float]:
        """The means over all processes; a loss that no image had is left out."""
        total = run.reduce(torch.stack(list(self._sums.values())), reduction="sum").cpu().tolist()
        return {name: value / count for name, (value, count) in zip(self._sums, total, strict=True) if count}


def _micro_batches(batch: np.ndarray, settings: Settings, run: Any) -> list[np.ndarray]:
    return micro_batches(batch, settings.gradient_accumulation, run.process_index, run.num_processes)


def _check_finite(training: Training, row: dict[str, float], epoch: int) -> None:
    broken = next((value for value in row.values() if not math.isfinite(value)), None)
    if broken is not None:
        raise InputError(
            f"{training.section}: the loss of epoch {epoch + 1} is {broken}; {training.remedy} and run again"
        )


def _agree(state: TrainingState, run: Any) -> None:
    """Give every process the first one's running statistics of batch normalisation, and the average of them.

    Parameters are equal already, since all processes step on the same gradient; statistics come from the images
    that each one saw. Judging and resuming use what the first process has.
    """
    if run.num_processes == 1:
        return
    for name, buffer in state.module.named_buffers():
        broadcast(buffer)
        if state.average is not None and name in state.average.tensors:
            broadcast(state.average.tensors[name])


def _to(device: torch.device, inputs: Inputs) -> Inputs:
    return tuple(tensor.to(device, non_blocking=True) for tensor in inputs)
