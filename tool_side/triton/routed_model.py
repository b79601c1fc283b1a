"""The router as a model of Triton's Python backend; stands in the model repository as `routed/1/model.py`.

It decodes, judges the quality, asks the low-resolution student, and asks the full one only for the images that the
policy escalates. Both are models of the same server, called by their names. All else is the runtime of the tool,
copied into `vendor/`, on the sealed bundle in `bundle/`; the server's Python needs numpy, onnxruntime and Pillow.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "vendor"))

from tool_side.bundle.sections import MODEL_NAMES  # noqa: E402
from tool_side.runtime.inspection import Inspection  # noqa: E402
from tool_side.runtime.session import CELL_OUTPUTS, STUDENT_OUTPUTS, StudentOutput  # noqa: E402
from tool_side.triton.served import served_inspector  # noqa: E402

INPUTS = ("image", "image16", "encoded")
# What waits for the students' answers at once; the server joins these calls to batches.
CALLERS = 8
Given = tuple[bytes | np.ndarray, str | None]


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the bundle. Raises if it, or a student's graph that can be seen from here, is not what was exported."""
        parameters = {k: v["string_value"] for k, v in json.loads(args["model_config"])["parameters"].items()}
        models = {name: parameters[name] for name in MODEL_NAMES}
        students = {name: ServedStudent(model) for name, model in models.items()}
        self._inspector = served_inspector(HERE / "bundle", students)
        students["full"].cells = self._inspector.needs_cells
        self._map_side = int(parameters["map_side"])
        self._pool = ThreadPoolExecutor(CALLERS)
        manifest = json.loads((HERE / "bundle" / "manifest.json").read_text(encoding="utf-8"))
        for name, model in models.items():
            sealed = manifest["files"][self._inspector.models[name].file]["sha256"]
            # A server that copies models from afar shows each of them its own folder only.
            graph = HERE.parents[1] / model / "1" / "model.onnx"
            if graph.is_file() and hashlib.sha256(graph.read_bytes()).hexdigest() != sealed:
                raise RuntimeError(f"{graph} is not the graph of the bundle")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request."""
        given = [_images(request) for request in requests]
        found = iter(self._inspect([one for some in given if not isinstance(some, str) for one in some]))
        responses = []
        for request, some in zip(requests, given, strict=True):
            if isinstance(some, str):
                responses.append(pb_utils.InferenceResponse([], error=pb_utils.TritonError(some)))
                continue
            outputs = self._outputs([next(found) for _ in some], set(request.requested_output_names()))
            responses.append(pb_utils.InferenceResponse([pb_utils.Tensor(k, v) for k, v in outputs.items()]))
        return responses

    def finalize(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _inspect(self, images: Sequence[Given]) -> list[Inspection]:
        def inspect(one: Given) -> Inspection:
            image, recipe = one
            return self._inspector.inspect(image, recipe=recipe)

        return [inspect(images[0])] if len(images) == 1 else list(self._pool.map(inspect, images))

    def _outputs(self, results: Sequence[Inspection], names: set[str]) -> dict[str, np.ndarray]:
        """The requested outputs, (n, 1) or (n, side, side)."""
        columns: dict[str, Callable[[Inspection], object]] = {
            "decision": lambda r: r.decision.encode(),
            "route": lambda r: r.route.encode(),
            "reasons": lambda r: "; ".join(r.reasons).encode(),
            "score": lambda r: _number(r.score),
            "lowres_score": lambda r: _number(r.lowres_score),
            "full_score": lambda r: _number(r.full_score),
            "map_unit": lambda r: np.nan if r.map is None else self._inspector.map_reference(r.route),
        }
        kinds = dict.fromkeys(("decision", "route", "reasons"), np.object_)
        found = {
            name: np.array([[value(result)] for result in results], dtype=kinds.get(name, np.float64))
            for name, value in columns.items()
            if name in names
        }
        if "map" in names:
            found["map"] = np.stack([enlarged(result.map, self._map_side) for result in results])
        return found


class ServedStudent:
    """A student that is another model of this server.

    Attributes:
        cells: Whether its trunk's activations are asked for, too.

    Raises:
        RuntimeError: With what the server says when it fails.
    """

    def __init__(self, model: str) -> None:
        self.model, self.cells = model, False

    def __call__(self, image: np.ndarray) -> StudentOutput:
        """image: float32 (S, S)."""
        names = [*STUDENT_OUTPUTS, *(CELL_OUTPUTS if self.cells else ())]
        request = pb_utils.InferenceRequest(
            model_name=self.model,
            requested_output_names=names,
            inputs=[pb_utils.Tensor("image", np.ascontiguousarray(image[np.newaxis, np.newaxis]))],
        )
        response = request.exec()
        if response.has_error():
            raise RuntimeError(f"{self.model}: {response.error().message()}")
        score, anomaly_map, latent, *cells = (
            pb_utils.get_output_tensor_by_name(response, name).as_numpy() for name in names
        )
        return StudentOutput(
            float(score.reshape(-1)[0]), anomaly_map[0], latent[0], tuple(one[0] for one in cells)
        )


def enlarged(anomaly_map: np.ndarray | None, side: int) -> np.ndarray:
    """float32 (side, side): each value repeated, none changed; all NaN where there is no map."""
    if anomaly_map is None:
        return np.full((side, side), np.nan, dtype=np.float32)
    rows, columns = (np.arange(side) * length // side for length in anomaly_map.shape)
    return np.ascontiguousarray(anomaly_map[np.ix_(rows, columns)], dtype=np.float32)


def _images(request: Any) -> list[Given] | str:
    """The images of a request with their recipes, or what is wrong with it."""
    tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in (*INPUTS, "recipe")}
    given = [name for name in INPUTS if tensors[name] is not None]
    if len(given) != 1:
        return f"give exactly one of the inputs {', '.join(INPUTS)}; given: {', '.join(given) or 'none'}"
    values = tensors[given[0]].as_numpy()
    images = [bytes(value) for value in values.reshape(-1)] if given[0] == "encoded" else list(values)
    if tensors["recipe"] is None:
        return [(image, None) for image in images]
    recipes = [value.decode("utf-8", "replace") for value in tensors["recipe"].as_numpy().reshape(-1)]
    return list(zip(images, recipes, strict=True))


def _number(value: float | None) -> float:
    return np.nan if value is None else value
