"""Tensors on disk: safetensors files, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from wafer_data.errors import InputError, NotFoundError
from wafer_data.files import write_bytes


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a dictionary of tensors to a safetensors file, whole or not at all."""
    write_bytes(path, save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        InputError: If it is missing or broken.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such weights file; run the stage that writes it")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); run the stage again") from error


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a module's state.

    Raises:
        InputError: If names or shapes do not fit.
    """
    try:
        module.load_state_dict(load_tensors(path))
    except RuntimeError as error:
        raise InputError(f"{path}: weights do not fit the model described beside them: {error}") from error


def weights_digest(module: nn.Module) -> str:
    """Hexadecimal SHA-256 over every weight and buffer of `module`."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def learned_state(module: nn.Module) -> dict[str, Tensor]:
    """The tensors of a module that a training changes, by name: all of its state but frozen parameters.

    They share their memory with the module.
    """
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: value for name, value in module.state_dict().items() if name not in frozen}


@torch.no_grad()
def set_learned_state(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy `tensors` into the module.

    Raises:
        KeyError: Unless they are those of :func:`learned_state`.
    """
    for name, value in learned_state(module).items():
        value.copy_(tensors[name])
