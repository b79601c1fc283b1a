"""Large constant tables of a graph in 16 bits: half the bytes on the disk, single precision in memory.

A table becomes whole numbers of 16 bits with a factor for each of its rows or columns, followed by a cast and a
product that onnxruntime computes once, when it loads the graph; nothing of that is left when images arrive. No
entry is off by more than a 65 534th of the largest one in its row or column. Half precision takes the same room
and keeps 11 bits of each number; both are measured in docs/tool_side.md, "Export, precision and size".
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

LARGEST = 32_767
SMALLEST_TABLE = 4_096
"""Tables of fewer entries stay as they are: the two extra nodes would cost more than they save."""


def pack_tables(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with the large tables of its likelihood in 16 bits; `model` is not changed.

    The weights of convolutions are a small part of a student and stay as they are.
    """
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    graph = packed.graph
    weights = {name for node in graph.node if node.op_type == "Conv" for name in node.input}
    kept, nodes = [], []
    for table in graph.initializer:
        if table.name not in weights and _is_large(table):
            whole, factor = to_whole_numbers(numpy_helper.to_array(table))
            kept += [
                numpy_helper.from_array(whole, f"{table.name}_16"),
                numpy_helper.from_array(factor, f"{table.name}_unit"),
            ]
            nodes += [
                helper.make_node(
                    "Cast",
                    [f"{table.name}_16"],
                    [f"{table.name}_cast"],
                    name=f"n_{table.name}_cast",
                    to=onnx.TensorProto.FLOAT,
                ),
                helper.make_node(
                    "Mul", [f"{table.name}_cast", f"{table.name}_unit"], [table.name], name=f"n_{table.name}"
                ),
            ]
        else:
            kept.append(table)
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)
    onnx.checker.check_model(packed, full_check=True)
    return packed


def to_whole_numbers(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int16 numbers of the table's shape, (..., n, m), and float32 factors (..., n, 1) or (..., 1, m).

    Their product is the table, rounded. Rows or columns: those whose sizes differ more, so that small ones are
    rounded as little as large ones.
    """
    choices = [_rounded(table.astype(np.float64), axis) for axis in (-1, -2)]
    return min(choices, key=lambda pair: float(np.square(pair[0] * pair[1].astype(np.float64) - table).sum()))


def _rounded(table: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    largest = np.abs(table).max(axis=axis, keepdims=True)
    factor = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    whole = np.rint(table / factor).clip(-LARGEST, LARGEST).astype(np.int16)
    return whole, factor


def _is_large(table: onnx.TensorProto) -> bool:
    return (
        table.data_type == onnx.TensorProto.FLOAT
        and len(table.dims) > 1
        and int(np.prod(table.dims)) >= SMALLEST_TABLE
    )
