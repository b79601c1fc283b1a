"""A student as a model of Triton's Python backend, for servers without the ONNX Runtime backend.

Stands in the model repository as `lowres/1/model.py` and `full/1/model.py`, beside the graph. onnxruntime runs it
in this process with the settings of the runtime on the tool, image by image: an image then gets the same scores to
the last bit as there, whatever its neighbours are. The server's Python needs numpy and onnxruntime.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "vendor"))

from tool_side.runtime.session import session_options  # noqa: E402


class TritonPythonModel:
    """What the Python backend calls."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph.

        Raises:
            RuntimeError: If it is not the bundle's.
        """
        parameters = json.loads(args["model_config"])["parameters"]
        graph = (HERE / "model.onnx").read_bytes()
        if hashlib.sha256(graph).hexdigest() != parameters["sha256"]["string_value"]:
            raise RuntimeError(f"{HERE / 'model.onnx'} is not the graph of the bundle")
        threads = int(parameters["intra_op_thread_count"]["string_value"])
        self._session = onnxruntime.InferenceSession(
            graph, session_options(threads), providers=["CPUExecutionProvider"]
        )

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request."""
        return [self._response(request) for request in requests]

    def _response(self, request: Any) -> Any:
        names = sorted(request.requested_output_names())
        try:
            images = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
            rows = [self._session.run(names, {"image": image[np.newaxis]}) for image in images]
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            return pb_utils.InferenceResponse([], error=pb_utils.TritonError(str(error)))
        outputs = {
            name: np.concatenate(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)
        }
        tensors = [pb_utils.Tensor(name, values) for name, values in outputs.items()]
        return pb_utils.InferenceResponse(tensors)
