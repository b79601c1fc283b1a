"""A backbone compiled for the GPU, block by block."""

from __future__ import annotations

from torch import nn

from teacher.backbones import Backbone


def compile_blocks(backbone: Backbone) -> None:
    """Compile the repeated blocks of `backbone` in place (torch.compile); weights and their names stay.

    A transformer's blocks share one code, so that one of them is compiled and all use it ("regional compilation" in
    PyTorch's and accelerate's manuals): seconds where the whole network takes minutes. A network without repeated
    blocks is compiled as a whole. It happens when the first image comes.
    """
    stacks = [
        part
        for part in backbone.modules()
        if isinstance(part, nn.ModuleList | nn.Sequential) and len(part) > 1 and len({*map(type, part)}) == 1
    ]
    inside = {id(inner) for stack in stacks for block in stack for inner in block.modules()}
    outermost = [stack for stack in stacks if id(stack) not in inside]
    for stack in outermost:
        for block in stack:
            block.compile()
    if not outermost:
        backbone.compile()
