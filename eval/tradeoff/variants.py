"""The same students' graphs in 8 bits."""

from collections.abc import Mapping
from pathlib import Path

from router.policy import RoutingPolicy
from tool_side.bundle.load import MODEL_NAMES, Bundle
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
