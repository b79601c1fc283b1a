"""All that the next epoch of a training depends on, in one folder that is replaced as a whole.

The tensors are in one safetensors file: the learned weights, AdamW's moments, and where they are in use the averaged
weights, the best epoch's and the state of a generator of random numbers. The history is in a JSON beside it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.average import WeightAverage
from training.early_stopping import EarlyStopping
from training.tensors import learned_state, load_tensors, save_tensors, set_learned_state
from wafer_data.files import new_directory, read_json, write_json, write_text

FORMAT = 5
"""Belongs into the key of unfinished work: a checkpoint of another format is not gone on from."""


@dataclass
class TrainingState:
    """How far a training has come.

    Attributes:
        history: One row of mean losses an epoch.
        average, stopping, generator: None where the training has none.
    """

    module: nn.Module
    optimizer: Any
    average: WeightAverage | None = None
    stopping: EarlyStopping | None = None
    generator: torch.Generator | None = None
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def epochs_done(self) -> int:
        """Number of whole epochs."""
        return len(self.history)

    def finish(self) -> None:
        """Give the module what the training was for: the best epoch's weights, else the average, else the last."""
        if self.stopping is not None and self.stopping.tensors:
            set_learned_state(self.module, self.stopping.tensors)
        elif self.average is not None:
            set_learned_state(self.module, self.average.tensors)


def save_checkpoint(folder: Path, state: TrainingState) -> None:
    """Replace the checkpoint in `folder` as a whole. Frozen weights are not written."""
    tensors: dict[str, Tensor] = _named("model", learned_state(state.module))
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= _named(f"optimizer.{index}", {k: torch.as_tensor(v) for k, v in moments.items()})
    about: dict[str, Any] = {"epochs_done": state.epochs_done, "history": state.history}
    if state.average is not None:
        tensors |= _named("ema", state.average.tensors)
    if state.stopping is not None:
        tensors |= _named("best", state.stopping.tensors)
        about["early_stopping"] = state.stopping.state()
    if state.generator is not None:
        tensors["generator"] = state.generator.get_state()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(folder) as new:
        save_tensors(tensors, new / "state.safetensors")
        write_json(new / "state.json", about)


def load_checkpoint(folder: Path, state: TrainingState) -> None:
    """Restore everything in place; nothing without a checkpoint.

    The checkpoint must be of the same training, see :func:`forget_other_work`.
    """
    if not (folder / "state.json").is_file():
        return
    about = read_json(folder / "state.json")
    tensors = load_tensors(folder / "state.safetensors")
    set_learned_state(state.module, _of("model", tensors))
    _load_moments(state.optimizer, _of("optimizer", tensors))
    if state.average is not None:
        for name, tensor in _of("ema", tensors).items():
            state.average.tensors[name].copy_(tensor)
    if state.stopping is not None:
        device = next(state.module.parameters()).device
        best = {name: tensor.to(device) for name, tensor in _of("best", tensors).items()}
        state.stopping.restore(about["early_stopping"], best)
    if state.generator is not None:
        state.generator.set_state(tensors["generator"])
    state.history = about["history"]


def forget_other_work(work: Path, key: str) -> None:
    """Clear `work` unless it belongs to a training with the same `key`; what it holds must not be resumed."""
    stamp = work / "key"
    if work.exists() and (not stamp.is_file() or stamp.read_text(encoding="utf-8") != key):
        shutil.rmtree(work)
    write_text(stamp, key)


def _load_moments(optimizer: Any, tensors: dict[str, Tensor]) -> None:
    """Give AdamW its moments back, laid out in memory as its parameters are, as they were before they were saved.

    The layout decides in which order a kernel works and so, on some machines, the last bit of its result.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        like = parameters[int(index)]
        if tensor.shape == like.shape:
            tensor = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _named(group: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{group}.{name}": tensor for name, tensor in tensors.items()}


def _of(group: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k[len(group) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{group}.")}
