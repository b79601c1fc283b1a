"""The likelihood's tables in 32 bits, in 16-bit whole numbers (as exported) and in half precision. Prints Markdown.

    .venv/bin/python experiments/table_precision.py runs/quickstart

For both students of a run: bytes of the graph, processor time to load it, speed against the 32-bit graph (both in
turn, one thread, batch 1), what is left of the unpacking once onnxruntime has loaded the graph, and the largest
deviation of a score on calibration images and synthetic defects, in robust standard deviations of normal log-scores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from distill.calibration import synthetic_anomaly
from router.route_scores import RouteScores
from tool_side.export.graph import scoring_graph
from tool_side.export.parity import check_images, compare_scores, graph_scores, pytorch_scores
from tool_side.export.speed import in_turn
from tool_side.export.tables import SMALLEST_TABLE, pack_tables
from tool_side.export.write import STUDENTS, load_run, to_bytes
from tool_side.runtime.session import StudentGraph, session_options
from wafer_data.store import ImageStore


def in_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same tables as `pack_tables` takes, as float16 with a cast."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    weights = {name for node in graph.node if node.op_type == "Conv" for name in node.input}
    nodes, tables = [], []
    for table in graph.initializer:
        array = numpy_helper.to_array(table)
        large = array.dtype == np.float32 and array.ndim > 1 and array.size >= SMALLEST_TABLE
        if large and table.name not in weights:
            tables.append(numpy_helper.from_array(array.astype(np.float16), f"{table.name}_half"))
            nodes.append(
                helper.make_node("Cast", [f"{table.name}_half"], [table.name], to=onnx.TensorProto.FLOAT)
            )
        else:
            tables.append(table)
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(tables)
    graph.node.extend(nodes)
    return found


def load_ms(graph: bytes) -> float:
    """Median processor time of loading, in milliseconds."""
    times = []
    for _ in range(9):
        started = time.thread_time()
        StudentGraph("graph", graph, 1)
        times.append(time.thread_time() - started)
    return 1e3 * float(np.median(times))


def casts_left(graph: bytes) -> int:
    """Casts in the graph that onnxruntime really runs."""
    with tempfile.TemporaryDirectory() as folder:
        options = session_options(1)
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        return sum(node.op_type == "Cast" for node in onnx.load(options.optimized_model_filepath).graph.node)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    students, policy = load_run(args.run)
    checked = check_images(ImageStore.open(args.run / "data"), policy, synthetic_anomaly)
    reference = pytorch_scores(students, checked.images)
    exact = {name: scoring_graph(student) for name, student in students.items()}
    print(
        "| student | tables | bytes | load, ms | times as fast | casts left | deviation, robust standard deviations | "
        f"decisions that differ |\n|{'---|' * 8}"
    )
    for name in STUDENTS:
        plain = to_bytes(exact[name])
        for tables, graph in (
            ("32 bits", plain),
            ("16-bit whole numbers", to_bytes(pack_tables(exact[name]))),
            ("half precision", to_bytes(in_half_precision(exact[name]))),
        ):
            scores = {**vars(reference), name: graph_scores(graph, checked.images)}
            found = compare_scores(policy, reference, RouteScores(**scores), checked.normals)
            ratio = in_turn(plain, graph, checked.images).ratio
            print(
                f"| {name} | {tables} | {len(graph)} | {load_ms(graph):.1f} | {ratio:.2f} | {casts_left(graph)} | "
                f"{found.deviation_spreads[name]:.1e} | {found.decisions_differ} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
