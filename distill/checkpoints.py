"""Checkpoints inside a stage: weights and AdamW moments in one safetensors file, the epoch in its name's JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from student_vae.checkpoint import load_tensors, save_tensors
from wafer_data.files import new_directory, read_json, write_json


def save_checkpoint(folder: Path, model: nn.Module, optimizer: Any, epochs_done: int) -> None:
    """Replace the checkpoint in `folder` as a whole."""
    tensors: dict[str, Tensor] = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_directory(folder) as new:
        save_tensors(tensors, new / "state.safetensors")
        write_json(new / "state.json", {"epochs_done": epochs_done})


def load_checkpoint(folder: Path, model: nn.Module, optimizer: Any) -> int:
    """Restore model and optimiser in place; the number of epochs done, 0 without a checkpoint."""
    if not (folder / "state.json").is_file():
        return 0
    tensors = load_tensors(folder / "state.safetensors")
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return int(read_json(folder / "state.json")["epochs_done"])
