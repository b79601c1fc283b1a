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
        InputError: The class needs arguments.
    """
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
    """A network that returns one feature map, or several of different sizes.

    Args:
        name: What `register_backbone` returned.
        map_size: Side of the map that `forward` returns, in cells.
        mean: Mean of each input channel that the weights expect, of values in [0, 1].
        std: Standard deviation of each input channel.

    Raises:
        InputError: The network is not registered, takes something else than (B, C, H, W) images, or returns
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
        self.net = copy.deepcopy(_REGISTERED[name]).eval()
        first = next((m for m in self.net.modules() if isinstance(m, nn.Conv2d)), None)
        self.inputs = first.in_channels if first is not None else 3
        if self.inputs not in (1, 3):
            raise InputError(f"{name}: takes {self.inputs} channels; a backbone takes grey images, 1 or 3")
        with torch.no_grad():
            self.channels = self.forward(torch.zeros(1, 1, 256, 256)).shape[1]

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, 256, 256) in [0, 1], grey or colour -> (B, channels, map_size, map_size)."""
        if image.shape[1] > self.inputs:
            raise InputError(
                f"{self.name} takes grey images only; with data.colour=true a backbone takes three channels"
            )
        found = self.net(self.normalise(image)[:, : self.inputs])
        maps = list(found.values()) if isinstance(found, dict) else found
        maps = list(maps) if isinstance(maps, list | tuple) else [maps]
        for one in maps:
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
