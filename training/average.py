"""An exponential moving average of a model's weights along its training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from training.tensors import learned_state, set_learned_state


class WeightAverage:
    """average <- d * average + (1 - d) * weights, after every step.

    Averaging the weights along the path of SGD takes out the noise of its single steps (Polyak & Juditsky 1992,
    "Acceleration of Stochastic Approximation by Averaging"; as a moving average in Tarvainen & Valpola 2017, "Mean
    teachers are better role models"). Running statistics of batch normalisation are averaged along with the weights
    they belong to.

    Args:
        model: whose present weights are where the average starts.
        decay: d of the long run, in [0, 1). The first steps use less, see `decay_at`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors: dict[str, Tensor] = {k: v.detach().clone() for k, v in learned_state(model).items()}

    def decay_at(self, step: int) -> float:
        """D after step number `step` (from 0): min(decay, (1 + step) / (10 + step)).

        A pure function of the step, so that a resumed run needs no counter. The short memory at first lets go of
        the random initial weights, which otherwise would make up a part d^n of the average after n steps.
        """
        return min(self.decay, (1 + step) / (10 + step))

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the model's weights after step number `step` of the whole training."""
        weight = 1.0 - self.decay_at(step)
        for name, value in learned_state(model).items():
            if value.is_floating_point():
                self.tensors[name].lerp_(value, weight)
            else:
                self.tensors[name].copy_(value)

    @contextmanager
    def in_place_of(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights while the block runs, and its own again afterwards, to the bit."""
        own = {k: v.detach().clone() for k, v in learned_state(model).items()}
        set_learned_state(model, self.tensors)
        try:
            yield
        finally:
            set_learned_state(model, own)
