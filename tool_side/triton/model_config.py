"""The `config.pbtxt` of each model: its inputs and outputs, batching, warm-up.

Fields: https://github.com/triton-inference-server/common, protobuf/model_config.proto. Standard library only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BACKENDS = ("onnxruntime", "python")


@dataclass(frozen=True)
class Tensor:
    """An input or output without its batch dimension.

    Attributes:
        kind: E.g. "FP32".
        dims: -1 where any length will do.
        scalar: The graph has no dimension beside the batch; the server then adds one.
        optional: An input that a request may leave out, and that may differ in size between the requests of a
            batch.
    """

    name: str
    kind: str
    dims: Sequence[int]
    scalar: bool = False
    optional: bool = False


def student_config(
    name: str,
    backend: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    *,
    max_batch: int,
    sha256: str,
) -> str:
    """A student, warmed up at load with one image and with a full batch of random pixels."""
    warm_up = "".join(
        f'model_warmup [{{ name: "{count} at once" batch_size: {count} inputs {{ key: "{tensor.name}" value {{ '
        f"data_type: TYPE_{tensor.kind} dims: {list(tensor.dims)} random_data: true }} }} }}]\n"
        for tensor in inputs
        for count in sorted({1, max_batch})
    )
    # One thread, as on the tool: the graphs are small, and two instances serve better than two threads of one.
    parameters = {"intra_op_thread_count": "1"} | ({"sha256": sha256} if backend == "python" else {})
    return _config(name, backend, inputs, outputs, max_batch, parameters) + warm_up


def routed_config(name: str, students: Mapping[str, str], map_side: int, *, max_batch: int) -> str:
    """The router.

    Args:
        students: "lowres" and "full" -> the names of their models.
    """
    inputs = [
        Tensor("image", "UINT8", (-1, -1), optional=True),
        Tensor("image16", "UINT16", (-1, -1), optional=True),
        Tensor("encoded", "STRING", (1,), optional=True),
        Tensor("recipe", "STRING", (1,), optional=True),
    ]
    words = [Tensor(output, "STRING", (1,)) for output in ("decision", "route", "reasons")]
    numbers = [Tensor(output, "FP64", (1,)) for output in ("score", "lowres_score", "full_score", "map_unit")]
    outputs = [*words, *numbers, Tensor("map", "FP32", (map_side, map_side))]
    parameters = {**students, "map_side": str(map_side)}
    return _config(name, "python", inputs, outputs, max_batch, parameters)


def _config(
    name: str,
    backend: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    max_batch: int,
    parameters: Mapping[str, str],
) -> str:
    lines = [f"name: {json.dumps(name)}", f"backend: {json.dumps(backend)}", f"max_batch_size: {max_batch}"]
    lines += [f"input [{_tensor(tensor)}]" for tensor in inputs]
    lines += [f"output [{_tensor(tensor)}]" for tensor in outputs]
    # The thresholds were calibrated on the processor's arithmetic; a GPU's rounds otherwise.
    lines += ["instance_group [{ kind: KIND_CPU count: 1 }]", "dynamic_batching {}"]
    lines += [
        f"parameters {{ key: {json.dumps(key)} value {{ string_value: {json.dumps(value)} }} }}"
        for key, value in parameters.items()
    ]
    return "\n".join(lines) + "\n"


def _tensor(tensor: Tensor) -> str:
    text = f'{{ name: "{tensor.name}" data_type: TYPE_{tensor.kind} dims: {list(tensor.dims)}'
    if tensor.scalar:
        text += " reshape { shape: [] }"
    if tensor.optional:
        text += " optional: true allow_ragged_batch: true"
    return text + " }"
