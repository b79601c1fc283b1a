"""One ONNX graph of a bundle, run with explicit onnxruntime settings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnxruntime

from wafer_data.errors import BundleError
from wafer_data.imaging.planes import alone

STUDENT_OUTPUTS = ("score", "map", "latent")
CELL_OUTPUTS = ("fine", "deep")
"""Optional ones: the trunk's activations, which the classifier of defect types looks at."""
DECODER_OUTPUTS = ("reconstruction",)
CROP_INPUT, CROP_OUTPUTS = "crops", ("looks",)


class StudentOutput(NamedTuple):
    """Raw outputs for one image: score, map float32 (h, w), latent float32 (k,), cells float32 (c, m, m) each.

    cells: the trunk's activations, the finest first; empty where they were not asked for or the graph has none.
    """

    score: float
    map: np.ndarray
    latent: np.ndarray
    cells: tuple[np.ndarray, ...] = ()


class BatchOutput(NamedTuple):
    """The same for B images: score float64 (B,), map (B, h, w), latent (B, k)."""

    score: np.ndarray
    map: np.ndarray
    latent: np.ndarray


class _Graph:
    def __init__(
        self, name: str, data: bytes, inputs: tuple[str, ...], outputs: tuple[str, ...], threads: int
    ):
        self.name = name
        self._outputs = outputs
        try:
            self._session = onnxruntime.InferenceSession(
                data, session_options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions share no base class but this one
            raise BundleError(f"graph {name} cannot be loaded by onnxruntime: {error}") from error
        found = tuple(node.name for node in self._session.get_inputs())
        self._given = {node.name for node in self._session.get_outputs()}
        missing = set(outputs) - self._given
        if found != inputs or missing:
            raise BundleError(
                f"graph {name} must have the input {inputs[0]} and the outputs {', '.join(outputs)}; "
                f"it has the inputs {', '.join(found)} and lacks {', '.join(sorted(missing)) or 'no output'}"
            )

    def _run(self, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._session.run(self._outputs, feed)


class StudentGraph(_Graph):
    """`image` float32 [1, C, S, S] in [0, 1] -> raw `score`, `map`, `latent`. Thread-safe.

    cells: also give the trunk's activations, where the graph has them.
    """

    def __init__(self, name: str, data: bytes, threads: int, *, cells: bool = False) -> None:
        super().__init__(name, data, ("image",), STUDENT_OUTPUTS, threads)
        if cells and self._given.issuperset(CELL_OUTPUTS):
            self._outputs = (*STUDENT_OUTPUTS, *CELL_OUTPUTS)

    def __call__(self, image: np.ndarray) -> StudentOutput:
        """image: float32 (S, S) of grey, (3, S, S) of colour."""
        score, anomaly_map, latent, *cells = self._run({"image": alone(image)})
        return StudentOutput(float(score[0]), anomaly_map[0], latent[0], tuple(one[0] for one in cells))

    def batch(self, images: np.ndarray) -> BatchOutput:
        """images: float32 (B, C, S, S), one after the other: the same to the last bit as on the tool."""
        score, heat, latent, _ = zip(*(self(_one(image)) for image in images), strict=True)
        return BatchOutput(np.array(score), np.stack(heat), np.stack(latent))


class DecoderGraph(_Graph):
    """`latent` float32 [1, k] -> `reconstruction` [1, C, R, R] in [0, 1]. Thread-safe."""

    def __init__(self, name: str, data: bytes, threads: int) -> None:
        super().__init__(name, data, ("latent",), DECODER_OUTPUTS, threads)

    def __call__(self, latent: np.ndarray) -> np.ndarray:
        """latent: float32 (k,). Returns float32 (R, R), of colour (3, R, R)."""
        return _one(self._run({"latent": latent[np.newaxis]})[0][0])


class CropGraph(_Graph):
    """`crops` float32 [N, C, s, s] in [0, 1] -> `looks` float32 [N, f]. Thread-safe."""

    def __init__(self, name: str, data: bytes, threads: int) -> None:
        super().__init__(name, data, (CROP_INPUT,), CROP_OUTPUTS, threads)

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """crops: float32 (n, C, s, s). Returns float32 (n, f); one after the other, the same to the last bit."""
        return np.concatenate([self._run({CROP_INPUT: crops[i : i + 1]})[0] for i in range(len(crops))])


def _one(planes: np.ndarray) -> np.ndarray:
    """(C, S, S) as an image: (S, S) of grey."""
    return planes[0] if len(planes) == 1 else planes


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Settings for a computer shared with other software.

    `threads` inside an operator, one operator after the other, and no spinning: an idle runtime must not
    eat a core.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options
