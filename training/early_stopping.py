"""When to stop a training that no longer gets better, and which of its epochs to keep."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor


class EarlyStopping:
    """Keeps the weights of the epoch with the lowest held-out loss; says when to stop.

    Prechelt 1998, "Early Stopping - But When?". The loss must come from images that nothing is trained, calibrated
    or tested on. A loss that is not finite is never the best.

    Args:
        patience: epochs without a lower loss until `stop` is true; 0: it never is, and the best epoch is kept.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_loss = math.inf
        self.best_epoch = -1
        self.last_epoch = -1
        self.tensors: dict[str, Tensor] = {}

    @property
    def stop(self) -> bool:
        """Whether the last `patience` judged epochs brought nothing lower."""
        return 0 < self.patience <= self.last_epoch - self.best_epoch

    def judge(self, epoch: int, loss: float, weights: dict[str, Tensor]) -> None:
        """Take note of the held-out loss after `epoch` (from 0, one more each time); copies the weights of the best."""
        self.last_epoch = epoch
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch
            self.tensors = {k: v.detach().clone() for k, v in weights.items()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides `tensors`, JSON-friendly; floats survive JSON to the bit."""
        best = self.best_loss if self.tensors else None
        return {"best_loss": best, "best_epoch": self.best_epoch, "last_epoch": self.last_epoch}

    def restore(self, state: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Go on from what `state` returned, with the tensors that belong to it."""
        self.best_loss = math.inf if state["best_loss"] is None else state["best_loss"]
        self.best_epoch, self.last_epoch = state["best_epoch"], state["last_epoch"]
        self.tensors = tensors
