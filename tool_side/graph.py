"""Students as ONNX graphs, written node by node: grey pixels in; raw score, map and latent out.

Writing the graph ourselves, rather than tracing it, keeps it small and the same to the last byte each time,
folds batch normalisation into the convolutions, and leaves the batch dimension free. No threshold enters a
graph: a threshold baked into an export is a decision nobody can review or recalibrate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from student_vae import StudentVAE
from student_vae.decoder import ImageDecoder
from student_vae.model import IMAGE_SIZE
from student_vae.trunk import ResidualBlock

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

    def reshape(self, x: str, *shape: int, out: str | None = None) -> str:
        """Reshape; one entry may be -1."""
        return self.node("Reshape", x, self.constant(list(shape)), out=out)

    def conv(self, x: str, conv: nn.Conv2d, norm: nn.BatchNorm2d | None = None) -> str:
        """A convolution with the batch normalisation that follows it folded in."""
        weight, bias = fold(conv, norm)
        stride, pad = int(conv.stride[0]), int(conv.padding[0])
        return self.node(
            "Conv", x, self.constant(weight), self.constant(bias), strides=[stride] * 2, pads=[pad] * 4
        )

    def conv_relu(self, x: str, block: nn.Module) -> str:
        """Convolution, normalisation, ReLU (`student_vae.trunk.conv_block`)."""
        conv, norm = block[0], block[1]  # type: ignore[index]
        return self.node("Relu", self.conv(x, conv, norm))

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


def scoring_graph(student: StudentVAE) -> onnx.ModelProto:
    """`StudentVAE.score` as a graph: image [N,1,256,256] -> score [N], map [N,h,h], latent [N,k]."""
    b = GraphBuilder("waferroute_student")
    features = _trunk(b, student, _input(b, student))
    _likelihood(b, student, features)
    side = student.config.map_size
    return b.model(
        {"image": ["N", 1, IMAGE_SIZE, IMAGE_SIZE]},
        {"score": ["N"], "map": ["N", side, side], "latent": ["N", student.likelihood.latent]},
    )


def decoder_graph(decoder: ImageDecoder, latent: int) -> onnx.ModelProto:
    """`StudentVAE.reconstruct` as a graph: latent [N,k] -> reconstruction [N,1,R,R] in [0, 1]."""
    b = GraphBuilder("waferroute_decoder")
    x = b.node("Gemm", "latent", b.constant(decoder.start.weight), b.constant(decoder.start.bias), transB=1)
    x = b.reshape(x, -1, decoder.channels, 4, 4)
    for stage in decoder.stages:
        x = b.conv_relu(b.enlarge(x, 2, "nearest"), stage)
    x = b.conv(x, decoder.last)
    factor = decoder.shuffle.upscale_factor
    if factor > 1:
        x = b.node("DepthToSpace", x, blocksize=factor, mode="CRD")
    b.node("Sigmoid", x, out="reconstruction")
    return b.model({"latent": ["N", latent]}, {"reconstruction": ["N", 1, decoder.size, decoder.size]})


def _input(b: GraphBuilder, student: StudentVAE) -> str:
    x, factor = "image", IMAGE_SIZE // student.config.input_size
    if factor > 1:
        x = b.node("AveragePool", x, kernel_shape=[factor] * 2, strides=[factor] * 2)
    x = b.node("Sub", x, b.constant(0.5))
    return b.node("Mul", x, b.constant(4.0))


def _trunk(b: GraphBuilder, student: StudentVAE, x: str) -> str:
    trunk = student.trunk
    for block in trunk.stem:
        x = b.conv_relu(x, block)
    fine = _residual_blocks(b, x, trunk.fine)
    deep = _residual_blocks(b, b.conv_relu(fine, trunk.down), trunk.deep)
    return b.conv(b.node("Concat", fine, b.enlarge(deep, 2), axis=1), trunk.head)


def _residual_blocks(b: GraphBuilder, x: str, blocks: nn.Sequential) -> str:
    for block in blocks:
        assert isinstance(block, ResidualBlock)
        conv, norm = block.second[0], block.second[1]
        inner = b.conv(b.conv_relu(x, block.first), conv, norm)  # type: ignore[arg-type]
        x = b.node("Relu", b.node("Add", x, inner))
    return x


def _likelihood(b: GraphBuilder, student: StudentVAE, features: str) -> None:
    lik = student.likelihood
    d, h, block = lik.channels, lik.map_size, lik.block
    g, window = h // block, h // lik.latent_grid
    pooled = b.node("AveragePool", features, kernel_shape=[window] * 2, strides=[window] * 2)
    pooled = b.reshape(pooled, -1, d * lik.latent_grid**2)
    latent = b.node("Sub", pooled, b.constant(lik.pooled_mean))
    latent = b.node("MatMul", latent, b.constant(lik.encoder), out="latent")
    coarse = b.node("MatMul", latent, b.constant(lik.weight))
    coarse = b.reshape(coarse, -1, d, lik.mean_grid, lik.mean_grid)
    predicted = b.node("Add", b.enlarge(coarse, h // lik.mean_grid), b.constant(lik.mean[None]))
    residual = b.node("Sub", features, predicted)
    # positions of one block go side by side, so that one small matrix whitens them all at once
    rows = b.node("Transpose", b.reshape(residual, -1, d, g, block, g, block), perm=[2, 4, 1, 0, 3, 5])
    rows = b.node("MatMul", b.constant(lik.whitening), b.reshape(rows, g * g, d, -1))
    squared = b.node("ReduceSumSquare", rows, b.constant([1]), keepdims=0)
    squared = b.node("Transpose", b.reshape(squared, g, g, -1, block, block), perm=[2, 0, 3, 1, 4])
    distance = b.node("Sqrt", b.reshape(squared, -1, h, h), out="map")
    b.nodes.append(
        helper.make_node(
            "TopK",
            [b.reshape(distance, -1, h * h), b.constant([lik.top])],
            ["strangest", "strangest_positions"],
            name="n_topk",
            axis=1,
            sorted=0,
        )
    )
    b.node("ReduceMean", "strangest", b.constant([1]), keepdims=0, out="score")
