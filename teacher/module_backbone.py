"""A network of one's own as the teacher's backbone: any `nn.Module` that turns images into feature maps."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from teacher.backbones import Backbone
from wafer_data.errors import InputError

_REGISTERED: dict[str, nn.Module] = {}


def register_backbone(module: nn.Module | type[nn.Module]) -> str:
    """Make a network of one's own known to this process, so that `load_teacher` can build it again.

    A teacher's files hold its weights and never code: a process that loads a teacher which was fitted around such a
    network says first which class that is. `fit_teacher` does this by itself.

    Args:
        module: The network, or its class if that can be made without arguments. Only its architecture counts.

    Returns:
        The name under which teachers find it: module and class.

    Raises:
        InputError: It is no network, or a class that needs arguments.
    """
    if not (isinstance(module, nn.Module) or (isinstance(module, type) and issubclass(module, nn.Module))):
        what = getattr(module, "__qualname__", None) or repr(module)
        raise InputError(
            f"{what} is no torch.nn.Module but of type {type(module).__name__}: give a network or its class; a "
            "function goes into the `forward` of one"
        )
    if isinstance(module, type):
        try:
            module = module()
        except TypeError as error:
            raise InputError(
                f"{module.__name__} cannot be made without arguments ({error}): give an instance of it"
            ) from error
    name = f"{type(module).__module__}:{type(module).__qualname__}"
    _REGISTERED[name] = module
    return name


class ModuleBackbone(Backbone):
    """A network that returns one feature map, or several of different sizes. It computes in 32-bit floats.

    Args:
        name: What `register_backbone` returned.
        map_size: Side of the map that `forward` returns, in cells.
        mean: Mean of each input channel that the weights expect, of values in [0, 1].
        std: Standard deviation of each input channel.

    Raises:
        InputError: The network is not registered, takes something else than (B, C, H, W) images, fails, or returns
            something else than (B, C, h, w) maps.
    """

    def __init__(
        self,
        name: str,
        map_size: int,
        mean: tuple[float, ...] = (0.485, 0.456, 0.406),
        std: tuple[float, ...] = (0.229, 0.224, 0.225),
    ) -> None:
        super().__init__(map_size, mean, std)
        if name not in _REGISTERED:
            raise InputError(
                f"the teacher was fitted around {name.replace(':', '.')}, and files hold no code: call "
                "waferroute.register_backbone with that class or an instance of it first"
            )
        self.name, self.statistics = name, (list(mean), list(std))
        try:
            # a network of 16-bit floats or on a GPU is as good: its weights are kept as 32-bit ones
            self.net = copy.deepcopy(_REGISTERED[name]).cpu().float().eval()
        except Exception as error:  # whatever a stranger's network says
            raise InputError(f"{name} cannot be copied as 32-bit floats ({_said(error)})") from error
        first = next((m for m in self.net.modules() if isinstance(m, nn.Conv2d)), None)
        self.inputs = first.in_channels if first is not None else 3
        if self.inputs not in (1, 3):
            raise InputError(f"{name}: takes {self.inputs} channels; a backbone takes grey images, 1 or 3")
        try:
            with torch.no_grad():
                found = self.forward(torch.zeros(2, 1, 256, 256))
        except InputError:
            raise
        except Exception as error:  # whatever a stranger's network says
            raise InputError(
                f"{name} fails on (2, {self.inputs}, 256, 256) images of 32-bit floats: {_said(error)}"
            ) from error
        if len(found) != 2:
            raise InputError(f"{name} returned maps of {len(found)} images when given 2")
        self.channels = found.shape[1]

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, 256, 256) in [0, 1], grey or colour -> (B, channels, map_size, map_size)."""
        if image.shape[1] > self.inputs:
            raise InputError(
                f"{self.name} takes grey images only; with data.colour=true a backbone takes three channels"
            )
        found = self.net(self.normalise(image)[:, : self.inputs])
        maps = list(found.values()) if isinstance(found, dict) else found
        maps = list(maps) if isinstance(maps, list | tuple) else [maps]
        if not maps:
            raise InputError(f"{self.name} returned no feature map")
        for one in maps:
            if isinstance(one, Tensor) and not one.is_floating_point():
                raise InputError(f"{self.name} returned values of type {one.dtype}; feature maps are floats")
            if not isinstance(one, Tensor) or one.ndim != 4:
                shape = tuple(one.shape) if isinstance(one, Tensor) else type(one).__name__
                raise InputError(
                    f"{self.name} returned {shape}; a backbone returns feature maps (B, C, h, w), one or a list: "
                    "leave out its pooling and its head"
                )
        return self.assemble(maps)

    def describe(self) -> dict[str, Any]:
        """What `rebuild` needs beside the registered network."""
        return {"kind": "module", "name": self.name, "mean_std": self.statistics}


def _said(error: Exception) -> str:
    """Kind and first line of what a network raised."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
