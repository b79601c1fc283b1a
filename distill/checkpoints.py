"""Checkpoints inside a stage: all tensors in one safetensors file, the epoch and a few numbers in a JSON beside it.

The tensors are the model's, AdamW's moments, and where they are in use the averaged weights and the best epoch's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.early_stopping import EarlyStopping
from distill.ema import WeightAverage
from student_vae.checkpoint import load_tensors, save_tensors
from wafer_data.files import new_directory, read_json, write_json


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Any,
    epochs_done: int,
    average: WeightAverage | None = None,
    stopping: EarlyStopping | None = None,
) -> None:
    """Replace the checkpoint in `folder` as a whole."""
    tensors: dict[str, Tensor] = _named("model", model.state_dict())
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= _named(f"optimizer.{index}", {k: torch.as_tensor(v) for k, v in state.items()})
    about: dict[str, Any] = {"epochs_done": epochs_done}
    if average is not None:
        tensors |= _named("ema", average.tensors)
    if stopping is not None:
        tensors |= _named("best", stopping.tensors)
        about["early_stopping"] = stopping.state()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(folder) as new:
        save_tensors(tensors, new / "state.safetensors")
        write_json(new / "state.json", about)


def load_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: Any,
    average: WeightAverage | None = None,
    stopping: EarlyStopping | None = None,
) -> int:
    """Restore everything in place; the number of epochs done, 0 without a checkpoint.

    The checkpoint must be of the same configuration, which the stage makes sure of.
    """
    if not (folder / "state.json").is_file():
        return 0
    about = read_json(folder / "state.json")
    tensors = load_tensors(folder / "state.safetensors")
    model.load_state_dict(_of("model", tensors))
    _load_moments(optimizer, _of("optimizer", tensors))
    if average is not None:
        for name, tensor in _of("ema", tensors).items():
            average.tensors[name].copy_(tensor)
    if stopping is not None:
        stopping.restore(about["early_stopping"], _of("best", tensors))
    return int(about["epochs_done"])


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
