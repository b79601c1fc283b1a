"""A student's graph with 8-bit convolutions: static QDQ by onnxruntime, per channel, its mean shift corrected.

Weights are 7 bits wide (-64 to 64): on processors without VNNI instructions the sums of full 8-bit products can
overflow, and the same bundle would then score differently on the tool than where it was checked.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from tool_side.export.graph import FEATURES
from tool_side.runtime.session import session_options
from wafer_data.imaging.planes import alone

_FOLLOWERS = {"Relu", "Add"}
"""Operators between convolutions, which stay in 8 bits where all that they join is."""


def convolutions(model: onnx.ModelProto) -> list[str]:
    """Names of the graph's convolutions, in the order in which they run."""
    return [node.name for node in model.graph.node if node.op_type == "Conv"]


def sensitive(model: onnx.ModelProto) -> set[str]:
    """Convolutions that stay in float: the first, which sees pixels, and the last two, whose sum is scored.

    All of the likelihood, which compares that sum with what it expects, stays in float too.
    """
    first, *_, deep, fine = convolutions(model)
    return {first, deep, fine}


def quantize(
    model: onnx.ModelProto, layers: Collection[str], images: np.ndarray, normals: int
) -> onnx.ModelProto:
    """`model` with the convolutions `layers` in 8 bits.

    Args:
        images: (n, S, S) float32, normal and with synthetic defects, for the ranges of the activations; the
            first `normals` of them are normal and correct the mean of the features (the bias correction of
            Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction",
            section 4.2, with measured means).
    """
    chosen = _with_followers(model, layers)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, path = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, source)  # given in memory, the quantiser would move its weights out of it
        quantize_static(
            str(source),
            str(path),
            _Images(images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
        )
        found = onnx.load(path)
    _correct_bias(found, model, images[:normals])
    onnx.checker.check_model(found)
    return found


class _Images(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        self._rest = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._rest, None)
        return None if image is None else {"image": alone(image)}


def _with_followers(model: onnx.ModelProto, layers: Collection[str]) -> list[str]:
    """`layers`, and what lies between them."""
    constants = {table.name for table in model.graph.initializer} | {""}
    inside: set[str] = set()
    names: list[str] = []
    for node in model.graph.node:
        joined = [name for name in node.input if name not in constants]
        if node.name in layers or (
            node.op_type in _FOLLOWERS and joined and all(name in inside for name in joined)
        ):
            names.append(node.name)
            inside.update(node.output)
    last = convolutions(model)[-1]
    end = next(i for i, node in enumerate(model.graph.node) if node.name == last)
    trunk = {node.name for node in model.graph.node[: end + 1]}
    return [name for name in names if name in trunk]


def _correct_bias(model: onnx.ModelProto, exact: onnx.ModelProto, images: np.ndarray) -> None:
    """Shift the last convolution's bias so that every feature has its old mean over `images`."""
    last = convolutions(exact)[-1]
    shift = _means(exact, FEATURES, images) - _means(model, FEATURES, images)
    ours = next(node for node in model.graph.node if node.name == last)
    bias = next(table for table in model.graph.initializer if table.name == ours.input[2])
    bias.CopyFrom(
        numpy_helper.from_array((numpy_helper.to_array(bias) + shift).astype(np.float32), bias.name)
    )


def _means(model: onnx.ModelProto, tensor: str, images: np.ndarray) -> np.ndarray:
    """Mean of `tensor` [N, C, h, w] over images and places, (C,)."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(
        shown.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )
    rows = [session.run([tensor], {"image": alone(image)})[0].mean((0, 2, 3)) for image in images]
    mean: np.ndarray = np.mean(rows, axis=0)
    return mean


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser logs and warns about a preparation that graphs written node by node do not need."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
