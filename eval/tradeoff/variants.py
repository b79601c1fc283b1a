"""The same students' graphs in 8 bits, and the bundle on disk."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from router.policy import RoutingPolicy
from tool_side.bundle.load import MODEL_NAMES, Bundle
from tool_side.runtime.session import StudentGraph
from wafer_data.files import write_json
from wafer_data.progress import track
from wafer_data.store import ImageStore

RANGE_IMAGES = 64
"""At most this many calibration normals give the ranges of the activations."""


def int8_graphs(run_dir: Path, store: ImageStore, policy: RoutingPolicy) -> dict[str, bytes]:
    """Both students of a run as ONNX graphs with all convolutions in 8 bits that bear it, whatever they decide.

    An export takes such a graph only if it changes no decision (`tool_side.export.int8`); here it is measured
    either way.
    """
    from student_vae import load_student
    from tool_side.export.graph import scoring_graph
    from tool_side.export.parity import check_images
    from tool_side.export.quantize import convolutions, quantize, sensitive
    from tool_side.export.tables import pack_tables

    checked = check_images(store, policy, None)
    images = checked.images[: min(checked.normals, RANGE_IMAGES)]
    found = {}
    for name in MODEL_NAMES:
        exact = scoring_graph(load_student(run_dir / name))
        kept = sensitive(exact)
        layers = [layer for layer in convolutions(exact) if layer not in kept]
        graph = pack_tables(quantize(exact, layers, images, len(images)))
        found[name] = graph.SerializeToString(deterministic=True)
    return found


def precision_of(bundle: Bundle, name: str) -> str:
    """What the bundle's own graph of a student computes in: "int8" where the export took the 8-bit one."""
    variants = bundle.manifest.get("variants")
    int8 = variants.get("int8") if isinstance(variants, Mapping) else None
    entry = int8.get(name) if isinstance(int8, Mapping) else None
    return "int8" if isinstance(entry, Mapping) and entry.get("default") is True else "fp32"


def graph_scores(data: bytes, store: ImageStore, indices: np.ndarray, what: str) -> np.ndarray:
    """(N,) raw scores that the ONNX graph `data` gives the images `indices`."""
    graph = StudentGraph(what, data, 1)
    return np.array([graph(store.grey(int(index))).score for index in track(indices, f"scoring with {what}")])


def unpack(bundle: Bundle, folder: Path) -> Path:
    """The bundle's files written to `folder`, for a process that reads them from disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in bundle.contents.items():
        (folder / name).write_bytes(data)
    write_json(folder / "manifest.json", dict(bundle.manifest))
    return folder
