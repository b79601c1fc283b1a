"""Building blocks of an ONNX graph that is written node by node."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

Shape = list[int | str]
OPSET = 18
IR_VERSION = 10


class GraphBuilder:
    """Collects nodes and constants; every method adds nodes and returns the name of their output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray | Tensor | list[int] | float) -> str:
        """Add a constant: floats as float32, integers as int64."""
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, kind: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Add a node of one output."""
        out = out or f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"n_{out}", **attributes))
        return out

    def rename(self, old: str, new: str) -> str:
        """Give a node's output another name, also where later nodes read it. Returns the new name."""
        for node in self.nodes:
            for names in (node.input, node.output):
                renamed = [new if name == old else name for name in names]
                del names[:]
                names.extend(renamed)
        return new

    def reshape(self, x: str, *shape: int, out: str | None = None) -> str:
        """Reshape; one entry may be -1."""
        return self.node("Reshape", x, self.constant(list(shape)), out=out)

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None, gain: float = 1.0) -> str:
        """A convolution of `gain` times x, with the batch normalisation that follows it folded in."""
        weight, bias = fold(conv, norm)
        weight = weight * gain
        stride, pad = int(conv.stride[0]), int(conv.padding[0])
        tables = self.constant(weight), self.constant(bias)
        return self.node("Conv", x, *tables, strides=[stride] * 2, pads=[pad] * 4, group=conv.groups)

    def conv_relu(self, x: str, block: nn.Module, gain: float = 1.0) -> str:
        """Convolution of `gain` times x, normalisation, ReLU (`student_vae.trunk.conv_block`)."""
        conv, norm = block[0], block[1]  # type: ignore[index]
        return self.node("Relu", self.conv(x, conv, norm, gain))

    def enlarge(self, x: str, factor: int, mode: str = "linear") -> str:
        """Upsample by a whole factor, bilinear with half-pixel centres or nearest."""
        if factor == 1:
            return x
        scales = self.constant(np.array([1, 1, factor, factor], np.float32))
        transform = "half_pixel" if mode == "linear" else "asymmetric"
        extra: dict[str, Any] = {} if mode == "linear" else {"nearest_mode": "floor"}
        return self.node(
            "Resize", x, "", scales, mode=mode, coordinate_transformation_mode=transform, **extra
        )

    def smoothed(self, x: str, window: int) -> str:
        """`likelihood.level.smoothed` of (N, 1, side, side)."""
        if window == 1:
            return x
        pads = [window // 2] * 4
        return self.node("AveragePool", x, kernel_shape=[window] * 2, pads=pads, count_include_pad=0)

    def model(self, inputs: dict[str, Shape], outputs: dict[str, Shape]) -> onnx.ModelProto:
        """The checked model; dimensions are integers or names."""
        as_info = [
            [helper.make_tensor_value_info(k, TensorProto.FLOAT, v) for k, v in side.items()]
            for side in (inputs, outputs)
        ]
        graph = helper.make_graph(self.nodes, self.name, as_info[0], as_info[1], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        model.producer_name = "waferroute"
        onnx.checker.check_model(model, full_check=True)
        return model


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution that does what convolution and batch normalisation did."""
    weight = conv.weight.detach().double()
    bias = conv.bias.detach().double() if conv.bias is not None else weight.new_zeros(len(weight))
    if norm is not None:
        assert norm.running_var is not None and norm.running_mean is not None
        scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        weight = weight * scale.view(-1, 1, 1, 1)
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.detach().double()
    return weight.float(), bias.float()
