"""How to whiten fastest: one small matrix for each cell, or block of cells, of a residual. Prints Markdown.

    .venv/bin/python experiments/whitening_layout.py

Three ways to the same numbers, on random matrices of the sizes of the default students: a batched product W r, a
batched product r' W', and the product written out (every entry of W times its direction, summed). Processor time of
one image on one thread, in turn; microseconds.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tool_side.runtime.session import session_options

SIZES = (
    ("full, 8x8 grid", 32, 8, 1),
    ("full, 4x4 grid", 32, 4, 1),
    ("full, 32x32 grid in blocks", 8, 16, 2),
    ("low-resolution, 8x8 grid", 8, 8, 1),
    ("low-resolution, 16x16 grid", 2, 16, 1),
)
"""Name, directions, blocks a side, cells a side of a block."""
RUNS = 1000


def session(nodes: list[Any], constants: dict[str, np.ndarray], shape: list[Any]) -> Any:
    """X of `shape` to y, as onnxruntime runs it."""
    graph = helper.make_graph(
        nodes,
        "whitening",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return onnxruntime.InferenceSession(
        model.SerializeToString(), session_options(1), providers=["CPUExecutionProvider"]
    )


def _in_blocks(node: Any) -> tuple[list[Any], list[Any]]:
    """Nodes of both batched products where blocks of cells share a matrix."""
    columns = [
        node("Reshape", ["x", "split"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[2, 4, 1, 0, 3, 5]),
        node("Reshape", ["b", "rows"], ["c"]),
        node("MatMul", ["W", "c"], ["e"]),
        node("Reshape", ["e", "back"], ["f"]),
        node("Transpose", ["f"], ["h"], perm=[3, 2, 0, 4, 1, 5]),
        node("Reshape", ["h", "whole"], ["y"]),
    ]
    rows = [
        node("Reshape", ["x", "split"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[2, 4, 0, 3, 5, 1]),
        node("Reshape", ["b", "rows"], ["c"]),
        node("MatMul", ["c", "W"], ["e"]),
        node("Reshape", ["e", "back"], ["f"]),
        node("Transpose", ["f"], ["h"], perm=[2, 5, 0, 3, 1, 4]),
        node("Reshape", ["h", "whole"], ["y"]),
    ]
    return columns, rows


def ways(d: int, g: int, block: int) -> dict[str, Any]:
    """The three sessions, x [N, d, side, side] -> y of the same shape."""
    side, node = g * block, helper.make_node
    matrices = np.random.default_rng(0).normal(size=(g * g, d, d)).astype(np.float32)
    split = np.array([-1, d, g, block, g, block])
    whole = np.array([-1, d, side, side])
    spread_out = matrices.reshape(g, g, d, d).transpose(2, 3, 0, 1).repeat(block, 2).repeat(block, 3)
    if block == 1:  # the same with fewer dimensions to transpose
        around = node("Reshape", ["x", "split"], ["a"]), node("Reshape", ["h", "whole"], ["y"])
        split = np.array([-1, d, g * g])
        columns = [
            around[0],
            node("Transpose", ["a"], ["b"], perm=[2, 1, 0]),
            node("MatMul", ["W", "b"], ["e"]),
            node("Transpose", ["e"], ["h"], perm=[2, 1, 0]),
            around[1],
        ]
        rows = [
            around[0],
            node("Transpose", ["a"], ["b"], perm=[2, 0, 1]),
            node("MatMul", ["b", "W"], ["e"]),
            node("Transpose", ["e"], ["h"], perm=[1, 2, 0]),
            around[1],
        ]
    else:
        columns, rows = _in_blocks(node)
    written = [
        node("Unsqueeze", ["x", "one"], ["a"]),
        node("Mul", ["a", "W"], ["b"]),
        node("ReduceSum", ["b", "two"], ["y"], keepdims=0),
    ]
    shape = ["N", d, side, side]
    return {
        "W r": session(
            columns,
            {
                "W": matrices,
                "split": split,
                "whole": whole,
                "rows": np.array([g * g, d, -1]),
                "back": np.array([g, g, d, -1, block, block]),
            },
            shape,
        ),
        "r' W'": session(
            rows,
            {
                "W": np.ascontiguousarray(matrices.transpose(0, 2, 1)),
                "split": split,
                "whole": whole,
                "rows": np.array([g * g, -1, d]),
                "back": np.array([g, g, -1, block, block, d]),
            },
            shape,
        ),
        "written out": session(
            written,
            {"W": np.ascontiguousarray(spread_out[None]), "one": np.array([1]), "two": np.array([2])},
            shape,
        ),
    }


def main() -> None:
    """Measure and print."""
    print(f"| level | directions | matrices | W r | r' W' | written out |\n|{'---|' * 6}")
    for name, d, g, block in SIZES:
        sessions = ways(d, g, block)
        x = np.random.default_rng(1).normal(size=(1, d, g * block, g * block)).astype(np.float32)
        first, *others = (run.run(None, {"x": x})[0] for run in sessions.values())
        assert all(np.allclose(first, other, atol=1e-4) for other in others)
        times: dict[str, list[float]] = {way: [] for way in sessions}
        for _ in range(RUNS):
            for way, run in sessions.items():
                started = time.thread_time()
                run.run(None, {"x": x})
                times[way].append(time.thread_time() - started)
        cells = " | ".join(f"{1e6 * np.median(taken):.0f}" for taken in times.values())
        print(f"| {name} | {d} | {g * g} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
