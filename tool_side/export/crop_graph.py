"""The look at a crop around a defect as an ONNX graph: the teacher's backbone, from which types are told.

What the students computed says that a place is strange, and hardly what it is: they learned normal images alone. The
pretrained backbone knows shapes. Its maps at strides 4, 8 and 16 of a small crop take a fraction of its time on a whole
image, and only the defects of flagged images are looked at.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from timm.layers import BatchNormAct2d, Conv2dSame
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from timm.models.efficientnet import EfficientNetFeatures
from torch import nn

from classify.crops import SIDE
from teacher.backbones import Backbone, TimmBackbone
from tool_side.export.graph_builder import GraphBuilder, fold
from tool_side.runtime.session import CROP_INPUT, CROP_OUTPUTS

LOOKED_AT = 128
"""Side to which a crop is brought, pixels."""
STRIDES = (4, 8, 16)
_HIGHEST = 6.0  # of ReLU6


def crop_graph(backbone: Backbone, channels: int = 1) -> onnx.ModelProto | None:
    """Crops [N,C,96,96] in [0, 1] -> looks [N,f]: mean, maximum and mean of the middle of the maps at `STRIDES`.

    Args:
        backbone: Its normalisations are folded as in evaluation mode.
        channels: C, of the crops: 1 of grey, 3 of colour.

    Returns:
        None for a backbone that is not made of the plain blocks of EfficientNet-Lite and MobileNetV2.
    """
    net: Any = backbone.net if isinstance(backbone, TimmBackbone) else None
    if not isinstance(net, EfficientNetFeatures) or not _is_plain(net):
        return None
    wanted = {
        info["module"]: info["num_chs"] for info in net.feature_info.info if info["reduction"] in STRIDES
    }
    b = GraphBuilder("waferroute_crops")
    scales = b.constant(np.array([1, 1, LOOKED_AT / SIDE, LOOKED_AT / SIDE]))
    x = b.node("Resize", CROP_INPUT, "", scales, mode="linear", coordinate_transformation_mode="half_pixel")
    if channels == 1:
        x = b.node("Concat", x, x, x, axis=1)
    x = b.node("Div", b.node("Sub", x, b.constant(backbone.mean)), b.constant(backbone.std))
    x, side = _conv(b, x, LOOKED_AT, net.conv_stem, net.bn1)
    looks: list[str] = []
    stages: Any = net.blocks
    for number, stage in enumerate(stages):
        for block in stage:
            x, side = _block(b, x, side, block)
        if f"blocks.{number}" in wanted:
            looks += _pooled(b, x, side)
        if len(looks) == 3 * len(wanted):
            break
    b.node("Concat", *looks, axis=1, out=CROP_OUTPUTS[0])
    return b.model(
        {CROP_INPUT: ["N", channels, SIDE, SIDE]}, {CROP_OUTPUTS[0]: ["N", 3 * sum(wanted.values())]}
    )


def _is_plain(net: Any) -> bool:
    """Only blocks that `_block` knows, with ReLU or ReLU6, no attention, and maps at all `STRIDES`."""
    blocks = [block for stage in net.blocks for block in stage]
    norms = [part for part in net.modules() if isinstance(part, BatchNormAct2d)]
    return (
        all(type(block) in (DepthwiseSeparableConv, InvertedResidual) for block in blocks)
        and all(isinstance(getattr(block, name), nn.Identity) for block in blocks for name in ("se", "aa"))
        and all(type(norm.act) in (nn.ReLU, nn.ReLU6, nn.Identity) for norm in norms)
        and {info["reduction"] for info in net.feature_info.info}.issuperset(STRIDES)
    )


def _block(b: GraphBuilder, x: str, side: int, block: Any) -> tuple[str, int]:
    names = (
        ["conv_pw", "conv_dw", "conv_pwl"] if isinstance(block, InvertedResidual) else ["conv_dw", "conv_pw"]
    )
    inner, smaller = x, side
    for number, name in enumerate(names, 1):
        inner, smaller = _conv(b, inner, smaller, getattr(block, name), getattr(block, f"bn{number}"))
    return (b.node("Add", x, inner) if block.has_skip else inner), smaller


def _conv(b: GraphBuilder, x: str, side: int, conv: nn.Conv2d, norm: BatchNormAct2d) -> tuple[str, int]:
    """A convolution with its normalisation and activation; the side of what comes out."""
    kernel, stride = int(conv.kernel_size[0]), int(conv.stride[0])
    if isinstance(conv, Conv2dSame):  # as TensorFlow pads: what is odd goes to the end
        smaller = math.ceil(side / stride)
        missing = max((smaller - 1) * stride + kernel - side, 0)
        before, after = missing // 2, missing - missing // 2
    else:
        before = after = int(conv.padding[0])
        smaller = (side + 2 * before - kernel) // stride + 1
    weight, bias = (b.constant(part) for part in fold(conv, norm))
    x = b.node(
        "Conv", x, weight, bias, strides=[stride] * 2, pads=[before] * 2 + [after] * 2, group=conv.groups
    )
    if isinstance(norm.act, nn.ReLU6):
        x = b.node("Clip", x, b.constant(0.0), b.constant(_HIGHEST))
    elif isinstance(norm.act, nn.ReLU):
        x = b.node("Relu", x)
    return x, smaller


def _pooled(b: GraphBuilder, x: str, side: int) -> list[str]:
    half, reach = side // 2, max(1, side // 8)
    start, stop = b.constant([half - reach] * 2), b.constant([half + reach] * 2)
    middle = b.node("Slice", x, start, stop, b.constant([2, 3]))
    axes = b.constant([2, 3])
    return [b.node(kind, of, axes, keepdims=0) for kind, of in
            (("ReduceMean", x), ("ReduceMax", x), ("ReduceMean", middle))]  # fmt: skip
