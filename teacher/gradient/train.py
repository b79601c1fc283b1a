"""How the teacher is adapted by gradient descent: by the loop of `training`, in one process, the best epoch kept.

The stage that adapts the teacher is not run under a launcher.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from teacher.gradient.config import TrainingConfig
from training.checkpoints import FORMAT, forget_other_work
from training.loop import Inputs, Part, Settings, Training
from training.loop import train as run_loop
from training.tracking import write_history

HELD_OUT_IMAGES = 256
"""At most this many held-out images are scored after each epoch."""


@dataclass(frozen=True)
class Adaptation:
    """One training of a part of the teacher.

    Attributes:
        title: For the progress bar.
        section: Of the configuration, for messages.
        module: Its trainable parameters are trained; see `training.loop.Training.task`.
        inputs: Likewise.
        rows, held_out: What is trained on and what decides when to stop.
        key: Hash of all that the result depends on.
    """

    title: str
    section: str
    module: nn.Module
    inputs: Callable[[list[Part]], Iterable[Inputs]]
    rows: np.ndarray
    held_out: np.ndarray
    config: TrainingConfig
    seed: int
    bf16: bool
    key: str


def train(adaptation: Adaptation, work: Path) -> list[dict[str, float]]:
    """Train `adaptation.module` in place and leave the best epoch's weights in it, on the CPU.

    Args:
        adaptation: What to train.
        work: Folder of the checkpoint and of `losses.csv`; work of another training in it is cleared.

    Returns:
        One row an epoch: mean losses over the training and, as `held_out_*`, over the held-out images.

    Raises:
        InputError: a loss is not finite.
    """
    forget_other_work(work, f"{adaptation.key} {FORMAT}")
    config, seed, held_out = adaptation.config, adaptation.seed, adaptation.held_out
    rate = f"{adaptation.section}.learning_rate={config.learning_rate}"
    training = Training(
        title=adaptation.title,
        section=adaptation.section,
        remedy=f"lower {rate}, or set teacher.gradient.bf16=false,",
        task=adaptation.module,
        inputs=adaptation.inputs,
        steps_of=lambda epoch: _steps(adaptation.rows, config, np.random.default_rng((seed, 12, epoch))),
        settings=Settings.of(config),
        held_out=held_out[:: -(-len(held_out) // HELD_OUT_IMAGES)],
        drawing=lambda epoch: seeded(seed, epoch + 1),
    )
    history: list[dict[str, float]] = []
    with _accelerator(adaptation.bf16) as accelerator:
        history = run_loop(training, work / "state", accelerator)
    write_history(work / "losses.csv", history)
    adaptation.module.cpu().eval()
    return history


def _steps(rows: np.ndarray, config: TrainingConfig, rng: np.random.Generator) -> list[np.ndarray]:
    """The rows of each optimiser step of an epoch, in random order; what does not fill a batch waits its turn."""
    order = rng.permutation(rows)[: config.images_per_epoch]
    size = min(config.batch_size, len(order))
    return [order[start : start + size] for start in range(0, len(order) - size + 1, size)]


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

    Args:
        draw: 0 for initial weights, 1 + epoch for what an epoch draws.
    """
    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence((13, seed, draw)).generate_state(1)[0]))
        yield
