"""Checkpoints of a training: all that the next epoch depends on, in one folder that is replaced as a whole."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from student_vae.checkpoint import load_tensors, save_tensors
from wafer_data.files import new_directory, read_json, write_json, write_text


@dataclass
class Progress:
    """How far a training has come.

    history: one row of losses an epoch. best_loss: lowest held-out loss so far; epochs_since_best counts from it.
    mean: running mean of the trained weights. best: that mean when best_loss was reached.
    """

    mean: dict[str, Tensor]
    best: dict[str, Tensor]
    history: list[dict[str, float]] = field(default_factory=list)
    best_loss: float | None = None
    epochs_since_best: int = 0

    @property
    def epochs_done(self) -> int:
        """Number of whole epochs."""
        return len(self.history)

    @classmethod
    def start(cls, module: nn.Module) -> Progress:
        """Before the first step."""
        weights = {name: p.detach().clone() for name, p in trained_weights(module).items()}
        return cls(weights, {name: w.clone() for name, w in weights.items()})

    def record(self, row: dict[str, float], held_out_loss: float) -> None:
        """End an epoch; keeps the running mean if it is the best so far."""
        self.history.append(row)
        if self.best_loss is None or held_out_loss < self.best_loss:
            self.best_loss, self.epochs_since_best = held_out_loss, 0
            self.best = {name: w.clone() for name, w in self.mean.items()}
        else:
            self.epochs_since_best += 1


def trained_weights(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that require a gradient, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


@torch.no_grad()
def set_weights(module: nn.Module, weights: dict[str, Tensor]) -> None:
    """Copy `weights` into the trained parameters of those names."""
    for name, parameter in trained_weights(module).items():
        parameter.copy_(weights[name])


def save_progress(folder: Path, module: nn.Module, optimizer: Any, progress: Progress) -> None:
    """Replace the checkpoint in `folder`. Frozen weights are not written: the training starts from them anyway."""
    tensors: dict[str, Tensor] = {f"model.{name}": p for name, p in trained_weights(module).items()}
    tensors |= {f"mean.{name}": w for name, w in progress.mean.items()}
    tensors |= {f"best.{name}": w for name, w in progress.best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
    about = {
        "history": progress.history,
        "best_loss": progress.best_loss,
        "epochs_since_best": progress.epochs_since_best,
    }
    with new_directory(folder) as new:
        save_tensors(tensors, new / "state.safetensors")
        write_json(new / "state.json", about)


def load_progress(folder: Path, module: nn.Module, optimizer: Any) -> Progress:
    """Restore module and optimiser in place from the checkpoint in `folder`, or start without one."""
    progress = Progress.start(module)
    if not (folder / "state.json").is_file():
        return progress
    device = next(iter(progress.mean.values())).device
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "mean": {}, "best": {}, "optimizer": {}}
    for name, tensor in load_tensors(folder / "state.safetensors").items():
        part, rest = name.split(".", 1)
        parts[part][rest] = tensor.to(device)
    set_weights(module, parts["model"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    about = read_json(folder / "state.json")
    return Progress(
        parts["mean"], parts["best"], about["history"], about["best_loss"], about["epochs_since_best"]
    )


def forget_other_work(work: Path, key: str) -> None:
    """Clear `work` unless it belongs to a training with the same `key`; what it holds must not be resumed."""
    stamp = work / "key"
    if work.exists() and (not stamp.is_file() or stamp.read_text(encoding="utf-8") != key):
        shutil.rmtree(work)
    write_text(stamp, key)


def weights_digest(module: nn.Module) -> str:
    """Hexadecimal SHA-256 over every weight and buffer of `module`."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
