"""`waferroute export --triton DIR`: a bundle as a model repository for the Triton Inference Server.

    DIR/lowres/{config.pbtxt, 1/model.onnx}      the students; with the Python backend 1/model.py beside the graph
    DIR/full/...
    DIR/routed/{config.pbtxt, 1/model.py, 1/bundle/}   the router, which calls them conditionally

Needs what the tool needs: numpy, onnxruntime and Pillow.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import onnxruntime

from tool_side.bundle.load import MANIFEST, MODEL_NAMES, Bundle, load_bundle
from tool_side.runtime.inspector import Inspector
from tool_side.triton.model_config import BACKENDS, Tensor, routed_config, student_config
from tool_side.triton.vendored import own_files
from wafer_data.errors import InputError
from wafer_data.files import new_directory, write_bytes, write_text

MAX_BATCH = 32
_KINDS = {"tensor(float)": "FP32", "tensor(uint8)": "UINT8"}
_HERE = Path(__file__).parent
_NAME = re.compile(r"[A-Za-z0-9_\-]*")


def export_triton(
    bundle: Bundle | str | Path,
    out_dir: str | Path,
    *,
    backend: str = "onnxruntime",
    prefix: str = "",
    max_batch: int = MAX_BATCH,
) -> list[str]:
    """Write the model repository `out_dir` as a whole, replacing an older one; returns the models' names.

    Args:
        bundle: A verified Bundle, or the path of one.
        backend: What runs the students' graphs, the server's ONNX Runtime backend ("onnxruntime") or its
            Python backend with onnxruntime inside ("python").
        prefix: Put before the names `lowres`, `full` and `routed`, so that one server can hold several
            bundles.
        max_batch: Images that the server may judge at once, >= 1.

    Raises:
        InputError: For a refused bundle, an unknown backend, a prefix or batch that the server would refuse,
            and a folder that holds something else than a repository written here.
    """
    if backend not in BACKENDS:
        raise InputError(f"Triton backend {backend!r}: use one of {', '.join(BACKENDS)}")
    if not _NAME.fullmatch(prefix):
        raise InputError(f"prefix {prefix!r}: use letters, digits, - and _ only")
    if max_batch < 1:
        raise InputError(f"the largest batch must be at least 1, got {max_batch}")
    if not isinstance(bundle, Bundle):
        bundle = load_bundle(bundle)
    bundle.preprocessing.require_squares("the model repository of Triton")
    bundle.preprocessing.require_grey("the model repository of Triton")
    Inspector(bundle)  # refuses graphs that do not run, before anything is written
    out_dir = Path(out_dir)
    names = {name: f"{prefix}{name}" for name in (*MODEL_NAMES, "routed")}
    _refuse_foreign(out_dir)
    with new_directory(out_dir) as folder:
        sides = [
            _write_student(folder / names[name], bundle, name, backend, max_batch) for name in MODEL_NAMES
        ]
        _write_routed(folder / names["routed"], bundle, names, max(sides), max_batch)
    return list(names.values())


def _write_student(folder: Path, bundle: Bundle, name: str, backend: str, max_batch: int) -> int:
    """One student's model folder. Returns the side of its map."""
    graph = bundle.contents[bundle.models[name].file]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    inputs, outputs = (
        [_tensor(node) for node in nodes] for nodes in (session.get_inputs(), session.get_outputs())
    )
    config = student_config(
        folder.name,
        backend,
        inputs,
        outputs,
        max_batch=max_batch,
        sha256=hashlib.sha256(graph).hexdigest(),
    )
    write_text(folder / "config.pbtxt", config)
    write_bytes(folder / "1" / "model.onnx", graph)
    if backend == "python":
        _write_code(folder / "1", "student_model.py", "tool_side.runtime.session")
    return next(int(tensor.dims[0]) for tensor in outputs if tensor.name == "map")


def _write_routed(folder: Path, bundle: Bundle, names: dict[str, str], side: int, max_batch: int) -> None:
    students = {name: names[name] for name in MODEL_NAMES}
    write_text(folder / "config.pbtxt", routed_config(folder.name, students, side, max_batch=max_batch))
    write_bytes(folder / "1" / "bundle" / MANIFEST, (bundle.path / MANIFEST).read_bytes())
    for name, content in bundle.contents.items():
        write_bytes(folder / "1" / "bundle" / name, content)
    _write_code(folder / "1", "routed_model.py", "tool_side.triton.served")


def _write_code(folder: Path, template: str, module: str) -> None:
    """model.py, and in vendor/ the project's own modules that it needs."""
    write_bytes(folder / "model.py", (_HERE / template).read_bytes())
    for path, content in own_files(module).items():
        write_bytes(folder / "vendor" / path, content)


def _tensor(node: onnxruntime.NodeArg) -> Tensor:
    if node.type not in _KINDS or not node.shape or isinstance(node.shape[0], int):
        raise InputError(f"graph tensor {node.name}: {node.type} {node.shape} cannot be served in batches")
    dims = list(node.shape[1:])
    return Tensor(node.name, _KINDS[node.type], dims or [1], scalar=not dims)


def _refuse_foreign(out_dir: Path) -> None:
    """A folder with anything but models in it is not replaced: it may be somebody's work."""
    if not out_dir.is_dir():
        return
    for entry in out_dir.iterdir():
        if not (entry / "config.pbtxt").is_file():
            raise InputError(
                f"{out_dir} is not empty and {entry.name} in it is no Triton model: choose another folder"
            )
