"""8-bit graphs of both students against their float graphs: speed, size, decisions, scores. Prints Markdown.

    .venv/bin/python experiments/int8.py runs/quickstart

Takes a run folder (or the bundle in it), because the images that the decisions are compared on are its calibration
images, each also with a synthetic defect. Speed: one thread, batch 1, both graphs in turn on the same images; the
ratio is that of processor times, which other programs disturb less than the wall times shown beside it. Rows: from
all inner convolutions in 8 bits to fewer, up to the first row that changes no decision or is not faster.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import onnxruntime
import torch

from distill.calibration import synthetic_anomaly
from router.route_scores import RouteScores
from tool_side.export.graph import scoring_graph
from tool_side.export.int8 import Candidate, candidates
from tool_side.export.parity import check_images, graph_scores, pytorch_scores
from tool_side.export.tables import pack_tables
from tool_side.export.write import STUDENTS, load_run, to_bytes
from wafer_data.store import ImageStore

HEAD = (
    "| student | convolutions in 8 bits | float ms | 8-bit ms | times as fast | bytes float / 8-bit | decisions, "
    "routes that differ | largest score deviation, robust standard deviations | taken |"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run, or the bundle in it")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = parser.parse_args()
    torch.set_num_threads(1)
    run_dir = args.run if (args.run / "data").is_dir() else args.run.absolute().parent
    students, policy = load_run(run_dir)
    checked = check_images(ImageStore.open(run_dir / "data"), policy, synthetic_anomaly)
    reference = pytorch_scores(students, checked.images)
    exact = {name: scoring_graph(student) for name, student in students.items()}
    graphs = {name: to_bytes(pack_tables(model)) for name, model in exact.items()}
    now = RouteScores(**{name: graph_scores(graphs[name], checked.images, name) for name in STUDENTS})
    found: dict[str, list[Candidate]] = {
        name: candidates(name, exact[name], policy, checked, graphs[name], reference, now)
        for name in STUDENTS
    }
    if args.json:
        print(json.dumps({name: [one.to_dict() for one in tried] for name, tried in found.items()}, indent=2))
        return
    images = len(checked.images)
    print(
        f"{checked.normals} calibration normals, {images - checked.normals} synthetic defects; onnxruntime "
        f"{onnxruntime.__version__}, {processor()}, one thread, batch 1\n\n{HEAD}\n|{'---|' * 9}"
    )
    for name, tried in found.items():
        for one in tried:
            print(row(name, one, len(graphs[name])))


def row(name: str, one: Candidate, float_bytes: int) -> str:
    """A line of the table."""
    inner = len(one.layers) + len(one.float_layers)
    cells = (
        name,
        f"{len(one.layers)} of {inner}",
        f"{one.speed.before_ms:.3f}",
        f"{one.speed.after_ms:.3f}",
        f"{one.speed.ratio:.2f}",
        f"{float_bytes} / {len(one.graph)}",
        f"{one.agreement.decisions_differ}, {one.agreement.routes_differ}",
        f"{one.agreement.deviation_spreads[name]:.2g}",
        "yes" if one.refusal is None else f"no: {one.refusal}",
    )
    return f"| {' | '.join(cells)} |"


def processor() -> str:
    """Name of the processor, and whether it multiplies 8-bit numbers in one instruction (VNNI)."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    lines = dict(line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    return f"{fields.get('model name', 'unknown processor')} {'with' if 'vnni' in text else 'without'} VNNI"


if __name__ == "__main__":
    main()
