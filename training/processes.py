"""The part of `accelerate.Accelerator` that the loop uses, for a training that one process does alone.

A stage under `accelerate launch` has phases that the first process does while the others wait: there, an accelerator
would wait for them.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


class OneProcess:
    """Stands in for an accelerator; every method does what its name says, here and now."""

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def prepare(self, *parts: Any) -> tuple[Any, ...]:
        """The parts as they are."""
        return parts

    def unwrap_model(self, model: nn.Module, keep_fp32_wrapper: bool = True) -> nn.Module:
        """The model as it is."""
        return model

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """There is nobody to synchronise with."""
        return contextlib.nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Accumulate gradients."""
        loss.backward()

    def clip_grad_norm_(self, parameters: Any, most: float) -> None:
        """Scale gradients to a norm of `most` at most."""
        nn.utils.clip_grad_norm_(parameters, most)

    def reduce(self, tensor: Tensor, reduction: str = "sum") -> Tensor:
        """The sum over one process."""
        return tensor

    def wait_for_everyone(self) -> None:
        """Everyone is here."""
